package session

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// commitTimeout is how long a transaction may take to end after its caller's deadline. Its locks are
// held until its end is known.
const commitTimeout = 5 * time.Second

// Transact executes lock and then op in one transaction, and commits unless op returns an error or ctx
// has ended. lock is a statement that may have to wait for another transaction; op gets the number of
// rows that it changed. A caller whose deadline passes during that wait gets ErrContended. Before COMMIT
// is sent nothing takes effect; if its reply is lost, the error is ErrOutcomeUnknown.
func (d *DB) Transact(ctx context.Context, lock Statement,
	op func(ctx context.Context, tx Conn, locked int64) error) error {
	if !d.guard.Closed() {
		// A transaction that may wait for a lock must not be the call that probes whether Snowflake answers.
		if err := d.Ping(ctx); err != nil {
			return err
		}
	}
	var waiting, committing atomic.Bool
	late := func(ctx context.Context) error {
		switch {
		case committing.Load():
			return guard.Late(unconfirmed)(ctx)
		case waiting.Load():
			return domain.ErrContended.WithCause(ctx.Err())
		}
		return guard.Late(unanswered)(ctx)
	}
	_, err := run(ctx, d, late, func(ctx context.Context, pool *sql.DB) (struct{}, error) {
		return struct{}{}, d.transact(ctx, pool, &committing, func(ctx context.Context, tx Conn) error {
			waiting.Store(true)
			n, err := tx.Exec(ctx, lock)
			if err != nil && ctx.Err() != nil && !errors.As(err, new(notSent)) {
				return late(ctx)
			}
			if err != nil {
				return err
			}
			waiting.Store(false)
			return op(ctx, tx, n)
		})
	})
	return err
}

// transact runs f in a transaction. It starts again, once, if the session ended before COMMIT: the
// transaction ended with it. committing is set just before COMMIT is sent.
func (d *DB) transact(ctx context.Context, pool *sql.DB, committing *atomic.Bool,
	f func(context.Context, Conn) error) error {
	err := d.transactOnce(ctx, pool, committing, f)
	if errors.Is(err, driver.ErrBadConn) {
		err = d.transactOnce(ctx, pool, committing, f)
	}
	return err
}

func (d *DB) transactOnce(ctx context.Context, pool *sql.DB, committing *atomic.Bool,
	f func(context.Context, Conn) error) error {
	// BEGIN, COMMIT and ROLLBACK do not depend on a caller that may have gone.
	own := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		own, cancel = context.WithDeadline(own, deadline.Add(commitTimeout))
		defer cancel()
	}
	tx, err := pool.BeginTx(own, nil)
	if err != nil {
		return d.translate(err, unanswered)
	}
	err = f(ctx, Conn{d, tx, unanswered})
	committing.Store(err == nil)
	if err == nil {
		err = guard.InTime(ctx)
	}
	if err != nil {
		// Never commit after an error: the statements before it could take effect alone. A failed rollback
		// costs the connection, and its end also ends the transaction.
		_ = tx.Rollback()
		return err
	}
	return d.translate(tx.Commit(), unconfirmed)
}
