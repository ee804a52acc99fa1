package snowflake

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The actor of a statement must exist, be active and have its Epoch. Every statement checks this itself:
// a read selects what actorRow holds beside its result, and queryAs decides; a write includes signedIn in
// its WHERE clause and touches no row without it.
const (
	actorRow   = "actor AS (SELECT epoch, is_active FROM users WHERE id = ?)"
	isSignedIn = "id = ? AND is_active AND epoch = ?"
	signedIn   = "EXISTS (SELECT 1 FROM users WHERE " + isSignedIn + ")"
)

// actorArgs returns the values for isSignedIn and signedIn.
func actorArgs(by domain.Actor) []any { return []any{by.ID, by.Epoch} }

// maybeBehind is the result of an operation that an earlier state of the tables could explain.
type maybeBehind struct{ error }

func (m maybeBehind) Unwrap() error { return m.error }

// Under READ_CONSISTENCY_MODE = SESSION an open session may not see the latest commits; a new one does.
var (
	// A token carries an Epoch that was committed. A session that reads an earlier one is behind.
	errEarlierEpoch = fmt.Errorf("%w: the session sees an earlier epoch than the token's", domain.ErrSignedOut)
	// An account that is not found was deleted, or is too new for this session.
	errNotSeen = maybeBehind{fmt.Errorf("%w: the session does not see the account", domain.ErrSignedOut)}
)

// queryAs executes a read that selects the columns of actor first, and calls row for each row of the
// result; row scans the columns after them. It returns ErrSignedOut if the actor is not signed in.
func queryAs(ctx context.Context, c session.Conn, by domain.Actor, st session.Statement,
	row func(scan func(...any) error) error) error {
	var found bool
	var epoch int64
	var active sql.NullBool
	targets := []any{&epoch, &active}
	err := c.Query(ctx, st, func(scan func(...any) error) error {
		found = true
		return row(func(rest ...any) error {
			targets = append(targets[:2], rest...)
			return scan(targets...)
		})
	})
	switch {
	case err != nil:
		return err
	case !found:
		return errNotSeen
	case epoch < by.Epoch:
		return errEarlierEpoch
	case epoch > by.Epoch || !active.Bool:
		return domain.ErrSignedOut
	}
	return nil
}

// query returns the query that executes st, for which no actor is signed in.
func query(ctx context.Context, c session.Conn, st session.Statement) sqltable.Query {
	return func(row func(scan func(...any) error) error) error { return c.Query(ctx, st, row) }
}

// as returns the query that executes st by queryAs.
func as(ctx context.Context, c session.Conn, by domain.Actor, st session.Statement) sqltable.Query {
	return func(row func(scan func(...any) error) error) error { return queryAs(ctx, c, by, st, row) }
}
