package snowflake

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The credentials of an account are its sessions and clients. Both tables have the columns id, owner_id, epoch and
// expires_at.

// isWorking is the condition that a credential is the actor's and works. A signed-in actor has the epoch of its
// account.
const isWorking = "owner_id = ? AND epoch = ? AND expires_at > ?"

// workingArgs returns the values for isWorking.
func workingArgs(by domain.Actor, now time.Time) []any { return []any{by.ID, by.Epoch, now} }

// listWorking reads a page of the actor's credentials that work at that time.
func listWorking[E any](
	ctx context.Context, s *Store, t table[E], by domain.Actor, now time.Time, req domain.PageRequest,
) (domain.Page[E], error) {
	rows := session.Statement{
		SQL:  "SELECT " + t.List("t") + "\nFROM " + t.Name + " t\nWHERE " + isWorking,
		Args: workingArgs(by, now),
	}
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Page[E], error) {
		return t.page(ctx, c, by, rows, req)
	})
}

// deleteCredential removes a credential of the actor.
func deleteCredential[E any](ctx context.Context, s *Store, t table[E], by domain.Actor, id string) error {
	st := session.Statement{SQL: "DELETE FROM " + t.Name + "\nWHERE id = ?\nAND owner_id = ?", Args: []any{id, by.ID}}.
		And(signedIn, actorArgs(by)...)
	return s.change(ctx, t.Name, st, func(ctx context.Context, c session.Conn) error {
		_, err := t.one(ctx, c, by, t.selectOwned(by, id))
		if errors.Is(err, domain.ErrNotFound) {
			err = maybeBehind{err} // a credential that lives must not seem to have ended
		}
		return err
	})
}

// withAccount reads the credential with this value in the column, and its account. Errors: ErrNotFound.
func (t table[E]) withAccount(ctx context.Context, c session.Conn, column, value string) (E, domain.User, error) {
	st := session.Statement{
		SQL: "SELECT " + t.List("t") + ", " + users.List("u") + `
			FROM ` + t.Name + ` t
			JOIN users u ON u.id = t.owner_id
			WHERE t.` + column + ` = ?`,
		Args: []any{value},
	}
	e, u, err := sqltable.Pair(t.Table, users.Table, query(ctx, c, st))
	if errors.Is(err, domain.ErrNotFound) {
		err = maybeBehind{err}
	}
	return e, u, err
}

// errOutdated is no refusal: it asks for a second read, if the session may be behind.
var errOutdated = maybeBehind{errDone}

// findCredential is withAccount. If the result is outdated, it reads once more in a session that is not behind.
func findCredential[E any](
	ctx context.Context, s *Store, t table[E], column, value string, outdated func(E, domain.User) bool,
) (E, domain.User, error) {
	type found struct {
		credential E
		account    domain.User
	}
	f, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (f found, err error) {
		f.credential, f.account, err = t.withAccount(ctx, c, column, value)
		if err == nil && outdated(f.credential, f.account) {
			err = errOutdated
		}
		return f, err
	})
	return f.credential, f.account, unlessDone(err)
}

// CleanUp implements [ports.CleanupStore]. It never resumes a warehouse: it looks first whether the session's is
// running, by a statement that needs none (Snowflake documentation, "SHOW WAREHOUSES").
func (s *Store) CleanUp(ctx context.Context, now time.Time) error {
	running, err := session.Read(ctx, s.db, warehouseRuns)
	if err != nil || !running {
		return err
	}
	for _, d := range []struct {
		table string
		st    session.Statement
	}{
		{sessions.Name, deleteDead(sessions.Name, now)},
		{sessions.Name, deleteSurplus},
		{clients.Name, deleteDead(clients.Name, now)},
	} {
		err := s.change(ctx, d.table, d.st, func(context.Context, session.Conn) error { return errDone })
		if err != nil {
			return err
		}
	}
	return nil
}

// warehouseRuns reports whether the warehouse of the session is running.
func warehouseRuns(ctx context.Context, c session.Conn) (bool, error) {
	rows, err := c.Show(ctx, "SHOW WAREHOUSES", "is_current", "state")
	for _, r := range rows {
		if r[0] == "Y" {
			return strings.EqualFold(r[1], "STARTED"), err
		}
	}
	return false, err
}

// deleteDead returns a DELETE of the credentials that do not work at that time. Whether one has expired is a condition
// on the row itself: a refresh that the DELETE waited for may have given it more time.
func deleteDead(table string, now time.Time) session.Statement {
	return session.Statement{
		SQL: `DELETE FROM ` + table + `
			WHERE expires_at <= ?
			OR id IN (
				SELECT t.id
				FROM ` + table + ` t
				LEFT JOIN users u ON u.id = t.owner_id AND u.is_active AND u.epoch = t.epoch
				WHERE u.id IS NULL)`,
		Args: []any{now},
	}
}

// deleteSurplus deletes all sessions of an account but the newest.
var deleteSurplus = session.Statement{
	SQL: `DELETE FROM sessions
		WHERE id IN (
			SELECT id
			FROM sessions
			QUALIFY ROW_NUMBER() OVER (PARTITION BY owner_id ORDER BY created_at DESC, id DESC) > ?)`,
	Args: []any{domain.MaxSessions},
}
