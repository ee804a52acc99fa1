package snowflake

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var users = newTable("users",
	sqltable.Plain("id", func(u *domain.User) *string { return &u.ID }),
	sqltable.Parsed("email", func(u *domain.User) *domain.Email { return &u.Email }, domain.ParseEmail).Updatable(),
	sqltable.Optional("full_name",
		func(u *domain.User) *domain.Optional[domain.FullName] { return &u.FullName },
		domain.ParseFullName).Updatable(),
	sqltable.Plain("password_hash", func(u *domain.User) *string { return &u.PasswordHash }).Updatable(),
	sqltable.Plain("is_active", func(u *domain.User) *bool { return &u.Active }).Updatable(),
	sqltable.Plain("is_superuser", func(u *domain.User) *bool { return &u.Superuser }).Updatable(),
	sqltable.Plain("version", func(u *domain.User) *int64 { return &u.Version }).Updatable(),
	sqltable.Plain("epoch", func(u *domain.User) *int64 { return &u.Epoch }).Updatable(),
	sqltable.Timestamp("created_at", func(u *domain.User) *time.Time { return &u.CreatedAt }),
	sqltable.Timestamp("updated_at", func(u *domain.User) *time.Time { return &u.UpdatedAt }).Updatable(),
	sqltable.Optional("snowflake_user",
		func(u *domain.User) *domain.Optional[domain.SnowflakeUser] { return &u.SnowflakeUser },
		domain.ParseSnowflakeUser).Updatable(),
)

// owned are the tables whose rows belong to an account, by their column owner_id.
var owned = []string{items.Name, sessions.Name, clients.Name}

// otherSuperusers counts the active superusers beside one account.
const otherSuperusers = "(SELECT COUNT(*) FROM users WHERE is_active AND is_superuser AND id <> ?)"

// User implements [ports.UserStore].
func (s *Store) User(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.User, error) {
		return users.one(ctx, c, by, selectUsers(users, "WHERE u.id = ?", id))
	})
}

// Users implements [ports.UserStore].
func (s *Store) Users(ctx context.Context, by domain.Actor,
	req domain.PageRequest) (domain.Page[domain.User], error) {
	listed := table[domain.User]{users.Without("password_hash")}
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Page[domain.User], error) {
		return listed.page(ctx, c, by, selectUsers(listed, ""), req)
	})
}

func selectUsers(columns table[domain.User], where string, args ...any) session.Statement {
	return session.Statement{SQL: "SELECT " + columns.List("u") + "\nFROM users u\n" + where, Args: args}
}

// CreateUser implements [ports.UserStore].
func (s *Store) CreateUser(ctx context.Context, by domain.Actor, u domain.User) error {
	st := insertUser(u).And(signedIn, actorArgs(by)...)
	diagnose := func(ctx context.Context, c session.Conn) error {
		state, err := readAccountState(ctx, c, by, u)
		switch {
		case err != nil:
			return err
		case state.found:
			return errDone // its id is new: an earlier try of this statement took effect
		}
		return state.taken()
	}
	if _, links := u.SnowflakeUser.Get(); s.hybrid.Load() && !links {
		return emailTaken(s.insert(ctx, users.Name, u.ID, st, diagnose))
	}
	return s.writeAccount(ctx, true, st, nil, diagnose)
}

// insertUser adds u unless its e-mail or its user in Snowflake is taken, also by an earlier try. It selects from
// account_lock because that has one row.
func insertUser(u domain.User) session.Statement {
	const unlessTaken = `FROM account_lock
		WHERE (SELECT COUNT(*) FROM users WHERE email = ?) = 0`
	st := users.insert(u, unlessTaken, u.Email.String())
	if user, links := u.SnowflakeUser.Get(); links {
		st = st.And("(SELECT COUNT(*) FROM users WHERE snowflake_user = ?) = 0", user.String())
	}
	return st
}

// UpdateUser implements [ports.UserStore].
func (s *Store) UpdateUser(ctx context.Context, by domain.Actor, next, old domain.User) error {
	emailChanged := next.Email != old.Email
	user, linked := next.SnowflakeUser.Get()
	links := linked && next.SnowflakeUser != old.SnowflakeUser
	demotes := isActiveSuperuser(old) && !isActiveSuperuser(next)
	st := users.update(next).And("version = ?", old.Version)
	if emailChanged {
		st = st.And(emailHolders+" = 0", next.Email.String(), next.ID)
	}
	if links {
		st = st.And(snowflakeUserHolders+" = 0", user.String(), next.ID)
	}
	if demotes {
		st = st.And(otherSuperusers+" > 0", next.ID)
	}
	st = st.And(signedIn, actorArgs(by)...)
	locked := demotes || links || emailChanged && !s.hybrid.Load()
	return s.writeAccount(ctx, locked, st, nil, func(ctx context.Context, c session.Conn) error {
		state, err := readAccountState(ctx, c, by, next)
		switch {
		case err != nil:
			return err
		case !state.found:
			return domain.ErrNotFound
		case state.version != old.Version:
			return domain.ErrStale
		case emailChanged && state.email > 0:
			return domain.ErrEmailTaken
		case links && state.snowflakeUser > 0:
			return domain.ErrSnowflakeUserTaken
		case demotes && state.otherSuperusers == 0:
			return domain.ErrLastSuperuser
		}
		return nil
	})
}

// DeleteUser implements [ports.UserStore].
func (s *Store) DeleteUser(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	st := andVersion(session.Statement{SQL: "DELETE FROM users\nWHERE id = ?", Args: []any{id}}, ifVersion).
		And("NOT (is_active AND is_superuser AND "+otherSuperusers+" = 0)", id).
		And(signedIn, actorArgs(by)...)
	var cascade []session.Statement
	for _, name := range owned {
		st := session.Statement{SQL: "DELETE FROM " + name + "\nWHERE owner_id = ?", Args: []any{id}}
		cascade = append(cascade, st)
	}
	return s.writeAccount(ctx, true, st, cascade, func(ctx context.Context, c session.Conn) error {
		state, err := readAccountState(ctx, c, by, domain.User{ID: id})
		switch {
		case err != nil:
			return err
		case !state.found:
			return domain.ErrNotFound
		case !ifVersion.Allow(state.version):
			return domain.ErrStale
		case state.activeSuperuser && state.otherSuperusers == 0:
			return domain.ErrLastSuperuser
		}
		return nil
	})
}

// UserForSignIn implements [ports.SignInStore].
func (s *Store) UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.User, error) {
		st := selectUsers(users, "WHERE u.email = ?", email.String())
		return users.One(query(ctx, c, st))
	})
}

// UserForSnowflakeSignIn implements [ports.SignInStore].
func (s *Store) UserForSnowflakeSignIn(ctx context.Context, user domain.SnowflakeUser) (domain.User, error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.User, error) {
		st := selectUsers(users, "WHERE u.snowflake_user = ?", user.String())
		u, err := users.One(query(ctx, c, st))
		if errors.Is(err, domain.ErrNotFound) {
			err = maybeBehind{err}
		}
		return u, err
	})
}

// CreateUserForSnowflakeSignIn implements [ports.SignInStore].
func (s *Store) CreateUserForSnowflakeSignIn(ctx context.Context, u domain.User) error {
	return s.writeAccount(ctx, true, insertUser(u), nil, diagnoseTaken(u))
}

// RehashForSignIn implements [ports.SignInStore].
func (s *Store) RehashForSignIn(ctx context.Context, userID, old, fresh string) error {
	st := session.Statement{
		SQL: `UPDATE users
			SET password_hash = ?
			WHERE id = ?
			AND password_hash = ?`,
		Args: []any{fresh, userID, old},
	}
	return s.change(ctx, users.Name, st, func(context.Context, session.Conn) error { return errDone })
}

// The numbers of other accounts that have an e-mail, or a user in Snowflake.
const (
	emailHolders         = "(SELECT COUNT(*) FROM users WHERE email = ? AND id <> ?)"
	snowflakeUserHolders = "(SELECT COUNT(*) FROM users WHERE snowflake_user = ? AND id <> ?)"
)

// holders is how many other accounts have what an account wants.
type holders struct{ email, snowflakeUser int }

// holderArgs returns the values for emailHolders and snowflakeUserHolders.
func holderArgs(u domain.User) []any {
	user := u.SnowflakeUser.Or(domain.SnowflakeUser{}) // no account has an empty one
	return []any{u.Email.String(), u.ID, user.String(), u.ID}
}

func (h holders) taken() error {
	switch {
	case h.email > 0:
		return domain.ErrEmailTaken
	case h.snowflakeUser > 0:
		return domain.ErrSnowflakeUserTaken
	}
	return nil
}

// diagnoseTaken finds out why u was not added by a statement that checks no actor.
func diagnoseTaken(u domain.User) diagnosis {
	return func(ctx context.Context, c session.Conn) error {
		var h holders
		st := session.Statement{SQL: "SELECT " + emailHolders + ", " + snowflakeUserHolders, Args: holderArgs(u)}
		err := c.Query(ctx, st, func(scan func(...any) error) error { return scan(&h.email, &h.snowflakeUser) })
		if err != nil {
			return err
		}
		return h.taken()
	}
}

// accountState is what decides whether a change of an account is refused.
type accountState struct {
	found           bool
	version         int64
	activeSuperuser bool
	holders
	otherSuperusers int // other active superusers
}

// readAccountState reads the state of the account with the id of u, and how many other accounts have what u has.
// Errors: those of queryAs.
func readAccountState(ctx context.Context, c session.Conn, by domain.Actor, u domain.User) (accountState, error) {
	st := session.Statement{
		SQL: `WITH ` + actorRow + `
			SELECT actor.epoch, actor.is_active, u.version, u.is_active AND u.is_superuser,
				` + emailHolders + `,
				` + snowflakeUserHolders + `,
				` + otherSuperusers + `
			FROM actor
			LEFT JOIN users u ON u.id = ?`,
		Args: slices.Concat([]any{by.ID}, holderArgs(u), []any{u.ID, u.ID}),
	}
	var state accountState
	err := queryAs(ctx, c, by, st, func(scan func(...any) error) error {
		var version sql.NullInt64
		var activeSuperuser sql.NullBool
		err := scan(&version, &activeSuperuser, &state.email, &state.snowflakeUser, &state.otherSuperusers)
		state.found, state.version, state.activeSuperuser = version.Valid, version.Int64, activeSuperuser.Bool
		return err
	})
	return state, err
}

// emailTaken returns ErrEmailTaken if err says that a hybrid table of users has the e-mail already.
func emailTaken(err error) error {
	var duplicate *session.DuplicateKeyError
	if errors.As(err, &duplicate) && strings.Contains(strings.ToUpper(duplicate.Message), "EMAIL") {
		return domain.ErrEmailTaken.WithCause(err)
	}
	return err
}

func isActiveSuperuser(u domain.User) bool { return u.Active && u.Superuser }
