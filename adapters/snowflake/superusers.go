package snowflake

import (
	"context"
	"database/sql"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// CreateFirstSuperuser implements [ports.OperatorStore].
func (s *Store) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	first := statement{"UPDATE account_lock SET n = n + 1, bootstrapped_at = ? WHERE bootstrapped_at IS NULL", []any{u.CreatedAt}}
	err := s.locked(ctx, first, errDone, func(ctx context.Context, tx *sql.Tx) error { return addUser(ctx, tx, u) })
	return err == nil, unlessDone(err) // done is what another instance has
}

// HadFirstSuperuser implements [ports.OperatorStore].
func (s *Store) HadFirstSuperuser(ctx context.Context) (bool, error) {
	return run(ctx, s, abandonedRead, func(ctx context.Context, db *sql.DB) (bool, error) {
		var rows, marked int
		err := query(ctx, db, statement{text: "SELECT COUNT(*), COUNT(bootstrapped_at) FROM account_lock"},
			func(scan func(...any) error) error { return scan(&rows, &marked) })
		if err == nil && rows != 1 {
			err = errLockRow(rows)
		}
		return marked > 0, err
	})
}

// CreateSuperuserForOperator implements [ports.Store].
func (s *Store) CreateSuperuserForOperator(ctx context.Context, u domain.User) error {
	mark := statement{"UPDATE account_lock SET n = n + 1, bootstrapped_at = COALESCE(bootstrapped_at, ?)", []any{u.CreatedAt}}
	return s.locked(ctx, mark, errLockRow(0), func(ctx context.Context, tx *sql.Tx) error { return addUser(ctx, tx, u) })
}

// addUser adds u under the lock.
func addUser(ctx context.Context, tx *sql.Tx, u domain.User) error {
	n, err := exec(ctx, tx, insertUser(u))
	if err == nil && n == 0 {
		err = domain.ErrEmailTaken
	}
	return err
}

// ResetPasswordForOperator implements [ports.Store].
func (s *Store) ResetPasswordForOperator(ctx context.Context, next domain.User, read int64) error {
	st := statement{"UPDATE users SET password_hash = ?, version = ?, epoch = ?, updated_at = ? WHERE id = ? AND version = ?",
		[]any{next.PasswordHash, next.Version, next.Epoch, next.UpdatedAt, next.ID, read}}
	return s.write(ctx, st, func(ctx context.Context, q querier) error {
		version, found := int64(0), false
		err := query(ctx, q, statement{"SELECT version FROM users WHERE id = ?", []any{next.ID}}, func(scan func(...any) error) error {
			found = true
			return scan(&version)
		})
		switch {
		case err != nil:
			return err
		case !found:
			return domain.ErrNotFound
		case version != read:
			return domain.ErrStale
		}
		return nil
	})
}
