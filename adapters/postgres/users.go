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
	sqltable.Optional("snowflake_user",
		func(u *domain.User) *domain.Optional[domain.SnowflakeUser] { return &u.SnowflakeUser },
		domain.ParseSnowflakeUser).Updatable(),
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
	// ON CONFLICT keeps most refusals out of the server's log.
	const from = "FROM users\nWHERE " + isSignedIn + "\nON CONFLICT DO NOTHING"
	st := insertUser(session.Statement{}, u, from, actorArgs(by)...)
	return s.write(ctx, statement(st), func(ctx context.Context, c session.Conn) error {
		state, err := readAccountState(ctx, c, by, u)
		switch {
		case err != nil:
			return err
		case state.found:
			return errDone // its id is new: an earlier try of this statement took effect
		}
		return state.conflict()
	})
}

// insertUser adds u, once for the row that from selects. from may end in an ON CONFLICT clause. first is empty, or a
// common table expression and a comma. If the e-mail and the user of Snowflake are both taken, PostgreSQL names the
// e-mail: it checks unique constraints in the order of their creation.
func insertUser(first session.Statement, u domain.User, from string, fromArgs ...any) session.Statement {
	st := users.insert(u, from, fromArgs...)
	return session.Statement{
		SQL: `WITH ` + first.SQL + ` added AS (
			` + st.SQL + `
			RETURNING id)
			INSERT INTO credentials (user_id, password_hash)
			SELECT id, ?
			FROM added`,
		Args: slices.Concat(first.Args, st.Args, []any{u.PasswordHash}),
	}
}

// UpdateUser implements [ports.UserStore].
func (s *Store) UpdateUser(ctx context.Context, by domain.Actor, next, old domain.User) error {
	demotes := isActiveSuperuser(old) && !isActiveSuperuser(next)
	st := users.update(next).And("version = ?", old.Version)
	// Constraints guard the next two. The conditions keep most refusals out of the server's log.
	if next.Email != old.Email {
		st = st.And("NOT "+emailTaken, next.Email.String(), next.ID)
	}
	if next.SnowflakeUser != old.SnowflakeUser {
		st = st.And("NOT "+snowflakeUserTaken, snowflakeUser(next), next.ID)
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
		state, err := readAccountState(ctx, c, by, next)
		switch {
		case err != nil:
			return err
		case !state.found:
			return domain.ErrNotFound
		case state.version != old.Version:
			return domain.ErrStale
		case state.conflict() != nil:
			return state.conflict()
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

// DeleteUser implements [ports.UserStore]. Foreign keys delete the password hash, the items and the credentials.
func (s *Store) DeleteUser(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	st := andVersion(session.Statement{SQL: "DELETE FROM users\nWHERE id = ?", Args: []any{key(id)}}, ifVersion).
		And("(NOT (is_active AND is_superuser) OR "+anotherSuperuser+")", key(id)).
		And(signedIn, actorArgs(by)...)
	return s.write(ctx, underLock(st), func(ctx context.Context, c session.Conn) error {
		state, err := readAccountState(ctx, c, by, domain.User{ID: id})
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
	return s.userForSignIn(ctx, "u.email = ?", email.String())
}

// UserForSnowflakeSignIn implements [ports.SignInStore].
func (s *Store) UserForSnowflakeSignIn(ctx context.Context, user domain.SnowflakeUser) (domain.User, error) {
	return s.userForSignIn(ctx, "u.snowflake_user = ?", user.String())
}

// userForSignIn returns the account that meets the condition on value. Errors: ErrNotFound.
func (s *Store) userForSignIn(ctx context.Context, condition, value string) (domain.User, error) {
	st := session.Statement{
		SQL: `SELECT c.password_hash, ` + users.List("u") + `
			FROM users u
			JOIN credentials c ON c.user_id = u.id
			WHERE ` + condition,
		Args: []any{value},
	}
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.User, error) {
		var hash string
		u, err := users.One(query(ctx, c, st), &hash)
		u.PasswordHash = hash
		return u, err
	})
}

// CreateUserForSnowflakeSignIn implements [ports.SignInStore].
func (s *Store) CreateUserForSnowflakeSignIn(ctx context.Context, u domain.User) error {
	_, err := s.changed(ctx, insertUser(session.Statement{}, u, "WHERE TRUE"))
	return err
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
	_, err := s.changed(ctx, st)
	return err
}

// The conditions that an account other than one has an e-mail, or a user of Snowflake, which may be NULL.
const (
	emailTaken         = "EXISTS (SELECT FROM users WHERE email = ? AND id <> ?)"
	snowflakeUserTaken = "EXISTS (SELECT FROM users WHERE snowflake_user = ? AND id <> ?)"
)

// snowflakeUser returns the value of the column snowflake_user for u.
func snowflakeUser(u domain.User) sql.NullString {
	user, linked := u.SnowflakeUser.Get()
	return sql.NullString{String: user.String(), Valid: linked}
}

// accountState is what decides whether a change of an account is refused.
type accountState struct {
	found              bool
	version            int64
	activeSuperuser    bool
	emailTaken         bool // another account has that e-mail
	snowflakeUserTaken bool // another account has that user of Snowflake
	anotherSuperuser   bool // another account is an active superuser
}

// conflict returns ErrEmailTaken or ErrSnowflakeUserTaken if another account has what the account should have.
func (s accountState) conflict() error {
	switch {
	case s.emailTaken:
		return domain.ErrEmailTaken
	case s.snowflakeUserTaken:
		return domain.ErrSnowflakeUserTaken
	}
	return nil
}

// readAccountState reads the state of the account with the ID of u, and whether another account has the e-mail or the
// user of Snowflake of u. Errors: those of queryAs.
func readAccountState(ctx context.Context, c session.Conn, by domain.Actor, u domain.User) (accountState, error) {
	id := key(u.ID)
	st := session.Statement{
		SQL: `SELECT ` + actor + `, u.version, u.is_active AND u.is_superuser,
				` + emailTaken + `,
				` + snowflakeUserTaken + `,
				` + anotherSuperuser + `
			FROM users a
			LEFT JOIN users u ON u.id = ?
			WHERE a.id = ?`,
		Args: []any{u.Email.String(), id, snowflakeUser(u), id, id, id, key(by.ID)},
	}
	var state accountState
	err := queryAs(ctx, c, by, st, func(scan func(...any) error) error {
		var version sql.NullInt64
		var activeSuperuser sql.NullBool
		err := scan(&version, &activeSuperuser, &state.emailTaken, &state.snowflakeUserTaken, &state.anotherSuperuser)
		state.found, state.version, state.activeSuperuser = version.Valid, version.Int64, activeSuperuser.Bool
		return err
	})
	return state, err
}

func isActiveSuperuser(u domain.User) bool { return u.Active && u.Superuser }
