package postgres

import (
	"context"
	"database/sql"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The actor of a statement must exist, be active and have its Epoch. Every statement checks this itself: a read
// selects FROM users a, the actor's row, and what it looks for joins that row; a write includes signedIn in its WHERE
// clause and touches no row without it.
const (
	actor      = "a.epoch, a.is_active"
	isSignedIn = "id = ? AND is_active AND epoch = ?"
	signedIn   = "EXISTS (SELECT FROM users WHERE " + isSignedIn + ")"
)

// actorArgs returns the values for isSignedIn and signedIn.
func actorArgs(by domain.Actor) []any { return []any{key(by.ID), by.Epoch} }

// queryAs executes a read that selects the columns of actor first, and calls row for each row of the result; row
// scans the columns after them. It returns ErrSignedOut if the actor is not signed in.
func queryAs(ctx context.Context, c session.Conn, by domain.Actor, st session.Statement,
	row func(scan func(...any) error) error) error {
	var epoch sql.NullInt64
	var active bool
	targets := []any{&epoch, &active}
	err := c.Query(ctx, st, func(scan func(...any) error) error {
		return row(func(rest ...any) error {
			targets = append(targets[:2], rest...)
			return scan(targets...)
		})
	})
	if err == nil && (!epoch.Valid || epoch.Int64 != by.Epoch || !active) {
		err = domain.ErrSignedOut
	}
	return err
}

// query returns the query that executes st, for which no actor is signed in.
func query(ctx context.Context, c session.Conn, st session.Statement) sqltable.Query {
	return func(row func(scan func(...any) error) error) error { return c.Query(ctx, st, row) }
}

// as returns the query that executes st by queryAs.
func as(ctx context.Context, c session.Conn, by domain.Actor, st session.Statement) sqltable.Query {
	return func(row func(scan func(...any) error) error) error { return queryAs(ctx, c, by, st, row) }
}
