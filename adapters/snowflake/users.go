package snowflake

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const userColumns = "id, email, full_name, password_hash, is_active, is_superuser, version, epoch, created_at, updated_at"

var userColumnsOfU = "u." + strings.ReplaceAll(userColumns, ", ", ", u.")

// User implements [ports.Store].
func (s *Store) User(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	return run(ctx, s, abandonedRead, func(ctx context.Context, db *sql.DB) (domain.User, error) {
		st := statement{withMe + " SELECT me.epoch, me.is_active, " + userColumnsOfU + " FROM me LEFT JOIN users u ON u.id = ?", []any{by.ID, id}}
		return one(ctx, db, by, st, (*userRow).columns, (*userRow).user)
	})
}

// Users implements [ports.Store].
func (s *Store) Users(ctx context.Context, by domain.Actor, req domain.PageRequest) (domain.Page[domain.User], error) {
	return run(ctx, s, abandonedRead, func(ctx context.Context, db *sql.DB) (domain.Page[domain.User], error) {
		list := statement{text: "SELECT id, email, full_name, '' AS password_hash, is_active, is_superuser, version, epoch, created_at, updated_at FROM users"}
		return page(ctx, db, by, list, userColumns, req, (*userRow).columns, (*userRow).user)
	})
}

// CreateUser implements [ports.Store].
func (s *Store) CreateUser(ctx context.Context, by domain.Actor, u domain.User) error {
	st := insertUser(u).and(signedIn, asArgs(by)...)
	return s.writeAccount(ctx, !s.connector.hybrid.Load(), st, nil, func(ctx context.Context, q querier) error {
		l, err := lookAt(ctx, q, by, u.ID, u.Email)
		switch {
		case err != nil:
			return err
		case l.found:
			return errDone // our own id: an earlier try of this same statement took effect
		case l.holders > 0:
			return domain.ErrEmailTaken
		}
		return nil
	})
}

// insertUser adds u unless its e-mail is taken. The one row of account_lock is there to select from.
func insertUser(u domain.User) statement {
	return statement{"INSERT INTO users (" + userColumns + ") SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM account_lock" +
		" WHERE (SELECT COUNT(*) FROM users WHERE email = ?) = 0",
		[]any{u.ID, u.Email.String(), nullable(u.FullName), u.PasswordHash, u.Active, u.Superuser, u.Version, u.Epoch, u.CreatedAt, u.UpdatedAt, u.Email.String()}}
}

// UpdateUser implements [ports.Store].
func (s *Store) UpdateUser(ctx context.Context, by domain.Actor, next, read domain.User) error {
	moves, stepsDown := next.Email != read.Email, isActiveSuperuser(read) && !isActiveSuperuser(next)
	st := statement{"UPDATE users SET email = ?, full_name = ?, password_hash = ?, is_active = ?, is_superuser = ?, version = ?, epoch = ?, updated_at = ?" +
		" WHERE id = ? AND version = ?",
		[]any{next.Email.String(), nullable(next.FullName), next.PasswordHash, next.Active, next.Superuser, next.Version, next.Epoch, next.UpdatedAt, next.ID, read.Version}}
	if moves {
		st = st.and("(SELECT COUNT(*) FROM users WHERE email = ? AND id <> ?) = 0", next.Email.String(), next.ID)
	}
	if stepsDown {
		st = st.and(otherSuperusers+" > 0", next.ID)
	}
	st = st.and(signedIn, asArgs(by)...)
	return s.writeAccount(ctx, stepsDown || moves && !s.connector.hybrid.Load(), st, nil, func(ctx context.Context, q querier) error {
		l, err := lookAt(ctx, q, by, next.ID, next.Email)
		switch {
		case err != nil:
			return err
		case !l.found:
			return domain.ErrNotFound
		case l.version != read.Version:
			return domain.ErrStale
		case moves && l.holders > 0:
			return domain.ErrEmailTaken
		case stepsDown && l.others == 0:
			return domain.ErrLastSuperuser
		}
		return nil
	})
}

// DeleteUser implements [ports.Store].
func (s *Store) DeleteUser(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	st := ofVersion(statement{"DELETE FROM users WHERE id = ?", []any{id}}, ifVersion).
		and("NOT (is_active AND is_superuser AND "+otherSuperusers+" = 0)", id).
		and(signedIn, asArgs(by)...)
	items := statement{"DELETE FROM items WHERE owner_id = ?", []any{id}}
	return s.writeAccount(ctx, true, st, &items, func(ctx context.Context, q querier) error {
		l, err := lookAt(ctx, q, by, id, domain.Email{})
		switch {
		case err != nil:
			return err
		case !l.found:
			return domain.ErrNotFound
		case !ifVersion.Allow(l.version):
			return domain.ErrStale
		case l.activeSuperuser && l.others == 0:
			return domain.ErrLastSuperuser
		}
		return nil
	})
}

// otherSuperusers counts those who can administrate besides one account.
const otherSuperusers = "(SELECT COUNT(*) FROM users WHERE is_active AND is_superuser AND id <> ?)"

// UserForSignIn implements [ports.SignInStore].
func (s *Store) UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error) {
	return run(ctx, s, abandonedRead, func(ctx context.Context, db *sql.DB) (u domain.User, err error) {
		found := false
		st := statement{"SELECT " + userColumns + " FROM users WHERE email = ?", []any{email.String()}}
		err = query(ctx, db, st, func(scan func(...any) error) (err error) {
			var r userRow
			if err := scan(r.columns()...); err != nil {
				return err
			}
			u, found, err = read(&r, (*userRow).user)
			return err
		})
		if err == nil && !found {
			err = domain.ErrNotFound
		}
		return u, err
	})
}

// RehashForSignIn implements [ports.SignInStore].
func (s *Store) RehashForSignIn(ctx context.Context, userID, stale, fresh string) error {
	st := statement{"UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?", []any{fresh, userID, stale}}
	return s.write(ctx, st, func(context.Context, querier) error { return errDone })
}

// look is what decides about a change of an account.
type look struct {
	found           bool
	version         int64
	activeSuperuser bool
	holders         int // other accounts with that e-mail
	others          int // other active superusers
}

// lookAt reads, in one statement, all that a change of the account may have been refused for.
// Errors: those of admit.
func lookAt(ctx context.Context, q querier, by domain.Actor, id string, email domain.Email) (look, error) {
	st := statement{withMe + " SELECT me.epoch, me.is_active, u.version, u.is_active AND u.is_superuser," +
		" (SELECT COUNT(*) FROM users WHERE email = ? AND id <> ?), " + otherSuperusers +
		" FROM me LEFT JOIN users u ON u.id = ?", []any{by.ID, email.String(), id, id, id}}
	var l look
	err := queryAs(ctx, q, by, st, func(scan func(...any) error) error {
		var version sql.NullInt64
		var activeSuperuser sql.NullBool
		err := scan(&version, &activeSuperuser, &l.holders, &l.others)
		l.found, l.version, l.activeSuperuser = version.Valid, version.Int64, activeSuperuser.Bool
		return err
	})
	return l, err
}

func isActiveSuperuser(u domain.User) bool { return u.Active && u.Superuser }

// userRow is a row as it comes: all columns are NULL where a join found nothing.
type userRow struct {
	id, email, fullName, passwordHash sql.NullString
	active, superuser                 sql.NullBool
	version, epoch                    sql.NullInt64
	createdAt, updatedAt              sql.NullTime
}

func (r *userRow) columns() []any {
	return []any{&r.id, &r.email, &r.fullName, &r.passwordHash, &r.active, &r.superuser, &r.version, &r.epoch, &r.createdAt, &r.updatedAt}
}

// user reports whether there is one at all.
func (r *userRow) user() (domain.User, bool, error) {
	email, emailErr := domain.ParseEmail(r.email.String)
	fullName, fullNameErr := optional(r.fullName, domain.ParseFullName)
	return domain.User{
		ID: r.id.String, Email: email, FullName: fullName, PasswordHash: r.passwordHash.String,
		Active: r.active.Bool, Superuser: r.superuser.Bool, Version: r.version.Int64, Epoch: r.epoch.Int64,
		CreatedAt: r.createdAt.Time.UTC(), UpdatedAt: r.updatedAt.Time.UTC(),
	}, r.id.Valid, errors.Join(emailErr, fullNameErr)
}
