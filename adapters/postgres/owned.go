package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// works is the condition that a session or client is of the actor and works: the actor is active and has its Epoch.
const works = "owner_id = ? AND epoch = ? AND expires_at > ?"

func worksArgs(by domain.Actor, now time.Time) []any { return []any{key(by.ID), by.Epoch, now} }

// own reads the entity of the actor with this id. Errors: those of queryAs, then ErrNotFound.
func (t table[E]) own(ctx context.Context, c session.Conn, by domain.Actor, id string) (E, error) {
	return t.one(ctx, c, by, session.Statement{
		SQL: `SELECT ` + actor + `, ` + t.List("e") + `
			FROM users a
			LEFT JOIN ` + t.Name + ` e ON e.id = ? AND e.owner_id = a.id
			WHERE a.id = ?`,
		Args: []any{key(id), key(by.ID)},
	})
}

// deleteOwn returns a DELETE of the entity of the actor with this id.
func (t table[E]) deleteOwn(by domain.Actor, id string) session.Statement {
	return session.Statement{SQL: "DELETE FROM " + t.Name + "\nWHERE id = ?", Args: []any{key(id)}}.
		And("owner_id = ?", key(by.ID)).
		And(signedIn, actorArgs(by)...)
}

// diagnoseOwn finds out why a change of an entity of the actor touched no row.
func (t table[E]) diagnoseOwn(by domain.Actor, id string) diagnosis {
	return func(ctx context.Context, c session.Conn) error {
		_, err := t.own(ctx, c, by, id)
		return err
	}
}

// diagnoseCreate finds out why an INSERT of an entity of the actor added no row.
func (t table[E]) diagnoseCreate(by domain.Actor, id string) diagnosis {
	return func(ctx context.Context, c session.Conn) error {
		_, err := t.own(ctx, c, by, id)
		switch {
		case err == nil:
			return errDone // its id is new: an earlier try of this statement took effect
		case errors.Is(err, domain.ErrNotFound):
			return nil
		}
		return err
	}
}

// readWithOwner returns the entity e of t that meets the condition on value, and its account. Errors: ErrNotFound.
func readWithOwner[E any](ctx context.Context, s *Store, t table[E], condition,
	value string) (E, domain.User, error) {
	type found struct {
		entity E
		owner  domain.User
	}
	f, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (f found, err error) {
		f.entity, f.owner, err = oneWithOwner(ctx, c, t, condition, value)
		return f, err
	})
	return f.entity, f.owner, err
}

// oneWithOwner is readWithOwner on a connection.
func oneWithOwner[E any](ctx context.Context, c session.Conn, t table[E], condition,
	value string) (entity E, owner domain.User, err error) {
	st := session.Statement{
		SQL: `SELECT p.password_hash, ` + users.List("u") + `, ` + t.List("e") + `
			FROM ` + t.Name + ` e
			JOIN users u ON u.id = e.owner_id
			JOIN credentials p ON p.user_id = u.id
			WHERE ` + condition,
		Args: []any{key(value)},
	}
	var hash string
	owner, entity, err = sqltable.Pair(users.Table, t.Table, query(ctx, c, st), &hash)
	owner.PasswordHash = hash
	return entity, owner, err
}
