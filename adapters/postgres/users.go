package postgres

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var users = newTable("users",
	sqltable.Plain("id", func(u *domain.User) *string { return &u.ID }),
	sqltable.Parsed("email", func(u *domain.User) *domain.Email { return &u.Email }, domain.ParseEmail).Updatable(),
	sqltable.Optional("full_name",
		func(u *domain.User) *domain.Optional[domain.FullName] { return &u.FullName },
		domain.ParseFullName).Updatable(),
	sqltable.Plain("is_active", func(u *domain.User) *bool { return &u.Active }).Updatable(),
	sqltable.Plain("is_superuser", func(u *domain.User) *bool { return &u.Superuser }).Updatable(),
	sqltable.Plain("version", func(u *domain.User) *int64 { return &u.Version }).Updatable(),
	sqltable.Plain("epoch", func(u *domain.User) *int64 { return &u.Epoch }).Updatable(),
	sqltable.Timestamp("created_at", func(u *domain.User) *time.Time { return &u.CreatedAt }),
	sqltable.Timestamp("updated_at", func(u *domain.User) *time.Time { return &u.UpdatedAt }).Updatable(),
)

// anotherSuperuser is true if there is an active superuser beside one account.
const anotherSuperuser = "EXISTS (SELECT FROM users WHERE is_active AND is_superuser AND id <> ?)"

// User implements [ports.UserStore].
func (s *Store) User(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	st := session.Statement{
		SQL: `SELECT ` + actor + `, c.password_hash, ` + users.List("u") + `
			FROM users a
			LEFT JOIN (users u JOIN credentials c ON c.user_id = u.id) ON u.id = ?
			WHERE a.id = ?`,
		Args: []any{key(id), key(by.ID)},
	}
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.User, error) {
		var hash sql.NullString
		u, err := users.one(ctx, c, by, st, &hash)
		u.PasswordHash = hash.String
		return u, err
	})
}

// Users implements [ports.UserStore].
func (s *Store) Users(ctx context.Context, by domain.Actor,
	req domain.PageRequest) (domain.Page[domain.User], error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Page[domain.User], error) {
		return users.page(ctx, c, by, req, "TRUE")
	})
}

// CreateUser implements [ports.UserStore].
func (s *Store) CreateUser(ctx context.Context, by domain.Actor, u domain.User) error {
	st := insertUser(session.Statement{}, u, "FROM users\nWHERE "+isSignedIn, actorArgs(by)...)
	return s.write(ctx, statement(st), func(ctx context.Context, c session.Conn) error {
		state, err := readAccountState(ctx, c, by, u.ID, u.Email)
		switch {
		case err != nil:
			return err
		case state.found:
			return errDone // its id is new: an earlier try of this statement took effect
		case state.emailTaken:
			return domain.ErrEmailTaken
		}
		return nil
	})
}

// insertUser adds u, once for the row that from selects, unless its e-mail is taken. first is empty, or a common table
// expression and a comma.
func insertUser(first session.Statement, u domain.User, from string, fromArgs ...any) session.Statement {
	st := users.insert(u, from, fromArgs...)
	return session.Statement{
		SQL: `WITH ` + first.SQL + ` added AS (
			` + st.SQL + `
			ON CONFLICT (email) DO NOTHING
			RETURNING id)
			INSERT INTO credentials (user_id, password_hash)
			SELECT id, ?
			FROM added`,
		Args: slices.Concat(first.Args, st.Args, []any{u.PasswordHash}),
	}
}

// UpdateUser implements [ports.UserStore].
func (s *Store) UpdateUser(ctx context.Context, by domain.Actor, next, old domain.User) error {
	emailChanged := next.Email != old.Email
	demotes := isActiveSuperuser(old) && !isActiveSuperuser(next)
	st := users.update(next).And("version = ?", old.Version)
	if emailChanged { // the constraint guards this; the condition keeps most refusals out of the server's log
		st = st.And("NOT EXISTS (SELECT FROM users WHERE email = ? AND id <> ?)", next.Email.String(), next.ID)
	}
	if demotes {
		st = st.And(anotherSuperuser, next.ID)
	}
	st = st.And(signedIn, actorArgs(by)...)
	if next.PasswordHash != old.PasswordHash {
		st = andPassword(st, next.PasswordHash)
	}
	exec := statement(st)
	if demotes {
		exec = underLock(st)
	}
	return s.write(ctx, exec, func(ctx context.Context, c session.Conn) error {
		state, err := readAccountState(ctx, c, by, next.ID, next.Email)
		switch {
		case err != nil:
			return err
		case !state.found:
			return domain.ErrNotFound
		case state.version != old.Version:
			return domain.ErrStale
		case emailChanged && state.emailTaken:
			return domain.ErrEmailTaken
		case demotes && !state.anotherSuperuser:
			return domain.ErrLastSuperuser
		}
		return nil
	})
}

// andPassword returns st, an UPDATE of one account, as a statement that also replaces its password hash. It locks the
// rows of both tables in this order.
func andPassword(st session.Statement, hash string) session.Statement {
	return session.Statement{
		SQL: `WITH changed AS (
			` + st.SQL + `
			RETURNING id)
			UPDATE credentials
			SET password_hash = ?
			FROM changed
			WHERE user_id = changed.id`,
		Args: append(st.Args, hash),
	}
}

// DeleteUser implements [ports.UserStore]. Foreign keys delete the password hash and the items.
func (s *Store) DeleteUser(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	st := andVersion(session.Statement{SQL: "DELETE FROM users\nWHERE id = ?", Args: []any{key(id)}}, ifVersion).
		And("(NOT (is_active AND is_superuser) OR "+anotherSuperuser+")", key(id)).
		And(signedIn, actorArgs(by)...)
	return s.write(ctx, underLock(st), func(ctx context.Context, c session.Conn) error {
		state, err := readAccountState(ctx, c, by, id, domain.Email{})
		switch {
		case err != nil:
			return err
		case !state.found:
			return domain.ErrNotFound
		case !ifVersion.Allow(state.version):
			return domain.ErrStale
		case state.activeSuperuser && !state.anotherSuperuser:
			return domain.ErrLastSuperuser
		}
		return nil
	})
}

// UserForSignIn implements [ports.SignInStore].
func (s *Store) UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error) {
	st := session.Statement{
		SQL: `SELECT c.password_hash, ` + users.List("u") + `
			FROM users u
			JOIN credentials c ON c.user_id = u.id
			WHERE u.email = ?`,
		Args: []any{email.String()},
	}
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.User, error) {
		var hash string
		u, err := users.One(func(row func(scan func(...any) error) error) error { return c.Query(ctx, st, row) }, &hash)
		u.PasswordHash = hash
		return u, err
	})
}

// RehashForSignIn implements [ports.SignInStore].
func (s *Store) RehashForSignIn(ctx context.Context, userID, old, fresh string) error {
	st := session.Statement{
		SQL: `UPDATE credentials
			SET password_hash = ?
			WHERE user_id = ?
			AND password_hash = ?`,
		Args: []any{fresh, key(userID), old},
	}
	return s.write(ctx, statement(st), func(context.Context, session.Conn) error { return errDone })
}

// accountState is what decides whether a change of an account is refused.
type accountState struct {
	found            bool
	version          int64
	activeSuperuser  bool
	emailTaken       bool // another account has that e-mail
	anotherSuperuser bool // another account is an active superuser
}

// readAccountState reads the state of the account with this id, and whether another account has this e-mail. Errors:
// those of queryAs.
func readAccountState(ctx context.Context, c session.Conn, by domain.Actor, id string,
	email domain.Email) (accountState, error) {
	id = key(id)
	st := session.Statement{
		SQL: `SELECT ` + actor + `, u.version, u.is_active AND u.is_superuser,
				EXISTS (SELECT FROM users WHERE email = ? AND id <> ?),
				` + anotherSuperuser + `
			FROM users a
			LEFT JOIN users u ON u.id = ?
			WHERE a.id = ?`,
		Args: []any{email.String(), id, id, id, key(by.ID)},
	}
	var state accountState
	err := queryAs(ctx, c, by, st, func(scan func(...any) error) error {
		var version sql.NullInt64
		var activeSuperuser sql.NullBool
		err := scan(&version, &activeSuperuser, &state.emailTaken, &state.anotherSuperuser)
		state.found, state.version, state.activeSuperuser = version.Valid, version.Int64, activeSuperuser.Bool
		return err
	})
	return state, err
}

func isActiveSuperuser(u domain.User) bool { return u.Active && u.Superuser }
