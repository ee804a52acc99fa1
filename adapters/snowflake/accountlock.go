package snowflake

import (
	"context"
	"fmt"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Standard tables enforce no keys. Under READ COMMITTED a single statement cannot keep a rule that depends
// on other rows either: two concurrent ones do not see each other. So a write that can break such a
// rule first updates the one row of account_lock. The next such write waits for that row. A later statement of
// the transaction checks the rule and writes. Every transaction takes this lock first, so none can deadlock.
var takeLock = session.Statement{SQL: "UPDATE account_lock\nSET n = n + 1"}

func lockRowsError(rows int) error {
	return domain.ErrUnavailable.WithCause(fmt.Errorf("account_lock has %d rows and must have 1: %s", rows, runSetup))
}

// writeAccount executes st, an UPDATE or DELETE if it is not locked. If locked, it runs in a transaction that holds
// the account lock, followed by cascade. If st touches no row, it returns what diagnose finds.
func (s *Store) writeAccount(ctx context.Context, locked bool, st session.Statement, cascade []session.Statement,
	diagnose diagnosis) error {
	if !locked {
		return emailTaken(s.change(ctx, users.Name, st, diagnose))
	}
	return s.withLock(ctx, takeLock, func(ctx context.Context, tx session.Conn, rows int64) error {
		if rows == 0 {
			return lockRowsError(0)
		}
		if err := unlessDone(execOrDiagnose(ctx, tx, st, diagnose)); err != nil {
			return emailTaken(err)
		}
		for _, next := range cascade {
			if _, err := tx.Exec(ctx, next); err != nil {
				return err
			}
		}
		return nil
	})
}

// withLock runs op in a transaction that begins with lock, which must update the row of account_lock. op
// gets the number of rows that it updated, 0 or 1.
func (s *Store) withLock(ctx context.Context, lock session.Statement,
	op func(ctx context.Context, tx session.Conn, rows int64) error) error {
	if err := s.locking.Enter(ctx); err != nil {
		return err
	}
	defer s.locking.Leave()
	return s.db.Transact(ctx, lock, func(ctx context.Context, tx session.Conn, rows int64) error {
		if rows > 1 {
			return lockRowsError(int(rows))
		}
		return op(ctx, tx, rows)
	})
}
