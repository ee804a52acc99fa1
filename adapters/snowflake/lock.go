package snowflake

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Standard tables enforce no key, and under READ COMMITTED no single statement can keep a rule that
// depends on other rows: two that run at once do not see each other. So every write that such a
// rule concerns first updates the one row of account_lock, which the next such write has to wait
// for, and only then, in a statement of its own, looks and writes. Every transaction takes this
// lock first, so none can deadlock.
var takeLock = statement{text: "UPDATE account_lock SET n = n + 1"}

// errDone ends a write that has nothing to do, or nothing left.
var errDone = errors.New("done")

func unlessDone(err error) error {
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

func errLockRow(rows int) error {
	return domain.ErrUnavailable.WithCause(fmt.Errorf("account_lock has %d rows and must have 1: %s", rows, runSetup))
}

// write executes a statement that no rule across rows concerns. When it touched no row, diagnose
// says why: a reason is returned, none means that it is worth another try.
func (s *Store) write(ctx context.Context, st statement, diagnose func(context.Context, querier) error) error {
	return s.writeAccount(ctx, false, st, nil, diagnose)
}

// writeAccount is write, under the lock if that is asked for. There, then executes as well, in the
// same transaction.
func (s *Store) writeAccount(ctx context.Context, locked bool, st statement, then *statement, diagnose func(context.Context, querier) error) error {
	if !locked {
		_, err := run(ctx, s, abandonedWrite, func(ctx context.Context, db *sql.DB) (struct{}, error) {
			return struct{}{}, settle(ctx, db, st, diagnose)
		})
		return unlessDone(err)
	}
	return unlessDone(s.locked(ctx, takeLock, errLockRow(0), func(ctx context.Context, tx *sql.Tx) error {
		err := settle(ctx, tx, st, diagnose)
		if err == nil && then != nil {
			_, err = exec(ctx, tx, *then)
		}
		return err
	}))
}

// locked runs f in a transaction that begins with take, which updates the row of account_lock; none
// is the error when it finds none to update: no row is no lock.
func (s *Store) locked(ctx context.Context, take statement, none error, f func(context.Context, *sql.Tx) error) error {
	if err := s.locking.enter(ctx); err != nil {
		return err
	}
	defer s.locking.leave()
	if s.breaker.State() != gobreaker.StateClosed {
		// Who may have to wait for the lock is no probe of whether Snowflake answers.
		if _, err := s.HadFirstSuperuser(ctx); err != nil {
			return err
		}
	}
	// Before its COMMIT nothing is written, and a wait for others is no outage.
	var waiting, committing atomic.Bool
	late := func(ctx context.Context) error {
		switch {
		case committing.Load():
			return abandonedWrite(ctx)
		case waiting.Load():
			return domain.ErrContended.WithCause(ctx.Err())
		}
		return abandonedRead(ctx)
	}
	_, err := run(ctx, s, late, func(ctx context.Context, db *sql.DB) (struct{}, error) {
		return struct{}{}, transact(ctx, db, &committing, func(ctx context.Context, tx *sql.Tx) error {
			waiting.Store(true)
			n, err := exec(ctx, tx, take)
			switch {
			case err != nil && ctx.Err() != nil && !errors.As(err, new(notSent)):
				return late(ctx)
			case err != nil:
				return err
			case n == 0:
				return none
			case n > 1:
				return errLockRow(int(n))
			}
			waiting.Store(false)
			return f(ctx, tx)
		})
	})
	return err
}

func settle(ctx context.Context, q querier, st statement, diagnose func(context.Context, querier) error) error {
	for range 2 {
		if n, err := exec(ctx, q, st); err != nil || n > 0 {
			return err
		}
		if reason := diagnose(ctx, q); reason != nil {
			return reason
		}
	}
	return domain.ErrUnavailable.WithCause(errors.New("a write touched no row, and nothing says why"))
}

// transact runs f in a transaction and commits, unless f returns an error or ctx has ended. The locks
// of a transaction are held until its end is known, so its end does not depend on a caller who may
// have gone: beginning and end have a context of their own, f has the caller's. committing is set
// before it is too late to think better of it.
func transact(ctx context.Context, db *sql.DB, committing *atomic.Bool, f func(context.Context, *sql.Tx) error) error {
	var err error
	for range 2 {
		// A session that ended took the transaction with it, so that it can be made again.
		if err = transactOnce(ctx, db, committing, f); !errors.Is(err, driver.ErrBadConn) {
			break
		}
	}
	return err
}

func transactOnce(ctx context.Context, db *sql.DB, committing *atomic.Bool, f func(context.Context, *sql.Tx) error) error {
	const longestEnd = 5 * time.Second
	own := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		own, cancel = context.WithDeadline(own, deadline.Add(longestEnd))
		defer cancel()
	}
	tx, err := db.BeginTx(own, nil)
	if err != nil {
		return translate(err, unanswered)
	}
	err = f(ctx, tx)
	committing.Store(err == nil)
	if err == nil {
		err = inTime(ctx)
	}
	if err != nil {
		// Never commit after an error: what the rest would commit is not what was meant. A failed
		// rollback costs the connection, which ends the transaction too.
		_ = tx.Rollback()
		return err
	}
	return translate(tx.Commit(), unconfirmed)
}
