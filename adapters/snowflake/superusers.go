package snowflake

import (
	"context"
	"database/sql"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// HadFirstSuperuser implements [ports.OperatorStore].
func (s *Store) HadFirstSuperuser(ctx context.Context) (bool, error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (bool, error) {
		var rows, marked int
		st := session.Statement{SQL: "SELECT COUNT(*), COUNT(bootstrapped_at)\nFROM account_lock"}
		err := c.Query(ctx, st, func(scan func(...any) error) error { return scan(&rows, &marked) })
		if err == nil && rows != 1 {
			err = lockRowsError(rows)
		}
		return marked > 0, err
	})
}

// CreateFirstSuperuser implements [ports.OperatorStore].
func (s *Store) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	lock := session.Statement{
		SQL: `UPDATE account_lock
			SET n = n + 1, bootstrapped_at = ?
			WHERE bootstrapped_at IS NULL`,
		Args: []any{u.CreatedAt},
	}
	err := s.withLock(ctx, lock, func(ctx context.Context, tx session.Conn, locked int64) error {
		if locked == 0 {
			return errDone // there was a first superuser
		}
		return addUser(ctx, tx, u)
	})
	return err == nil, unlessDone(err)
}

// CreateSuperuserForOperator implements [ports.OperatorStore].
func (s *Store) CreateSuperuserForOperator(ctx context.Context, u domain.User) error {
	lock := session.Statement{
		SQL: `UPDATE account_lock
			SET n = n + 1, bootstrapped_at = COALESCE(bootstrapped_at, ?)`,
		Args: []any{u.CreatedAt},
	}
	return s.withLock(ctx, lock, func(ctx context.Context, tx session.Conn, locked int64) error {
		if locked == 0 {
			return lockRowsError(0)
		}
		return addUser(ctx, tx, u)
	})
}

// addUser adds u in a transaction that holds the account lock.
func addUser(ctx context.Context, tx session.Conn, u domain.User) error {
	return emailTaken(execOrDiagnose(ctx, tx, insertUser(u), diagnoseTaken(u)))
}

// UpdateUserForOperator implements [ports.OperatorStore].
func (s *Store) UpdateUserForOperator(ctx context.Context, next domain.User, version int64) error {
	user, links := next.SnowflakeUser.Get() // perhaps a new one
	st := session.Statement{
		SQL: `UPDATE users
			SET password_hash = ?, snowflake_user = ?, version = ?, epoch = ?, updated_at = ?
			WHERE id = ?
			AND version = ?`,
		Args: []any{
			next.PasswordHash, sql.NullString{String: user.String(), Valid: links}, next.Version, next.Epoch,
			next.UpdatedAt, next.ID, version,
		},
	}
	if links {
		st = st.And(snowflakeUserHolders+" = 0", user.String(), next.ID)
	}
	return s.writeAccount(ctx, links, st, nil, func(ctx context.Context, c session.Conn) error {
		var current int64
		found := false
		var h holders
		st := session.Statement{
			SQL: `SELECT version, ` + snowflakeUserHolders + `
				FROM users
				WHERE id = ?`,
			Args: []any{user.String(), next.ID, next.ID},
		}
		err := c.Query(ctx, st, func(scan func(...any) error) error {
			found = true
			return scan(&current, &h.snowflakeUser)
		})
		switch {
		case err != nil:
			return err
		case !found:
			return domain.ErrNotFound
		case current != version:
			return domain.ErrStale
		}
		return h.taken()
	})
}
