package postgres

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// HadFirstSuperuser implements [ports.OperatorStore].
func (s *Store) HadFirstSuperuser(ctx context.Context) (bool, error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (had bool, err error) {
		st := session.Statement{SQL: "SELECT EXISTS (SELECT FROM installation)"}
		err = c.Query(ctx, st, func(scan func(...any) error) error { return scan(&had) })
		return had, err
	})
}

// install adds the row of an installation, and returns it if there was none. An account that is refused leaves no row:
// constraints undo the whole statement.
func install(u domain.User) session.Statement {
	return session.Statement{
		SQL: `installed AS (
			INSERT INTO installation (first_superuser_at)
			VALUES (?)
			ON CONFLICT DO NOTHING
			RETURNING one),`,
		Args: []any{u.CreatedAt},
	}
}

// CreateFirstSuperuser implements [ports.OperatorStore].
func (s *Store) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	return s.changed(ctx, insertUser(install(u), u, "FROM installed"))
}

// CreateSuperuserForOperator implements [ports.OperatorStore].
func (s *Store) CreateSuperuserForOperator(ctx context.Context, u domain.User) error {
	_, err := s.changed(ctx, insertUser(install(u), u, "WHERE TRUE"))
	return err
}

// UpdateUserForOperator implements [ports.OperatorStore].
func (s *Store) UpdateUserForOperator(ctx context.Context, next domain.User, version int64) error {
	st := andPassword(session.Statement{
		SQL: `UPDATE users
			SET snowflake_user = ?, version = ?, epoch = ?, updated_at = ?
			WHERE id = ?
			AND version = ?`,
		Args: []any{snowflakeUser(next), next.Version, next.Epoch, next.UpdatedAt, key(next.ID), version},
	}, next.PasswordHash)
	return s.write(ctx, statement(st), func(ctx context.Context, c session.Conn) error {
		var current int64
		found := false
		st := session.Statement{SQL: "SELECT version\nFROM users\nWHERE id = ?", Args: []any{key(next.ID)}}
		err := c.Query(ctx, st, func(scan func(...any) error) error {
			found = true
			return scan(&current)
		})
		switch {
		case err != nil:
			return err
		case !found:
			return domain.ErrNotFound
		case current != version:
			return domain.ErrStale
		}
		return nil
	})
}
