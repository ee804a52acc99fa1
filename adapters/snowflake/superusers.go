package snowflake

import (
	"context"
	"database/sql"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// CreateFirstSuperuser implements [ports.SignInStore]. Every start of an instance comes here, so it
// looks before it locks.
func (s *Store) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	bootstrapped, err := run(ctx, s, unanswered, func(ctx context.Context, db *sql.DB) (bool, error) {
		var rows, marked int
		err := query(ctx, db, statement{text: "SELECT COUNT(*), COUNT(bootstrapped_at) FROM account_lock"},
			func(scan func(...any) error) error { return scan(&rows, &marked) })
		if err == nil && rows != 1 {
			err = errLockRow(rows)
		}
		return marked > 0, err
	})
	if err != nil || bootstrapped {
		return false, err
	}
	return run(ctx, s, unconfirmed, func(ctx context.Context, db *sql.DB) (bool, error) {
		first := false
		err := transact(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
			n, err := exec(ctx, tx, statement{"UPDATE account_lock SET n = n + 1, bootstrapped_at = ? WHERE bootstrapped_at IS NULL", []any{u.CreatedAt}})
			if err != nil {
				return err
			}
			if n == 0 {
				return errDone // another instance was first
			}
			first = true
			return addUser(ctx, tx, u)
		})
		return first && err == nil, err
	})
}

// CreateSuperuserForOperator implements [ports.Store].
func (s *Store) CreateSuperuserForOperator(ctx context.Context, u domain.User) error {
	_, err := run(ctx, s, unconfirmed, func(ctx context.Context, db *sql.DB) (struct{}, error) {
		return struct{}{}, transact(ctx, db, func(ctx context.Context, tx *sql.Tx) error {
			if err := lock(ctx, tx, statement{"UPDATE account_lock SET n = n + 1, bootstrapped_at = COALESCE(bootstrapped_at, ?)", []any{u.CreatedAt}}); err != nil {
				return err
			}
			return addUser(ctx, tx, u)
		})
	})
	return err
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
