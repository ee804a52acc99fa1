package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Import is the one transaction that fills empty tables. Constraints hold as always.
type Import struct{ tx pgx.Tx }

// Import calls fill in a transaction on a connection of its own, and commits unless fill returns an error. It returns
// an error if a table has rows, and ErrOutcomeUnknown if the commit was not confirmed. Until it ends, others can read
// the tables, but not write. It has no time limit but that of ctx.
func (s *Store) Import(ctx context.Context, fill func(*Import) error) error {
	conn, err := session.Connect(ctx, s.options)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	// The end of the connection rolls back.
	if err := checkEmpty(ctx, tx); err != nil {
		return err
	}
	if err := fill(&Import{tx}); err != nil {
		return err
	}
	err = tx.Commit(ctx)
	if err != nil && !session.IsDefinite(err) {
		err = domain.ErrOutcomeUnknown.WithCause(err)
	}
	return err
}

// checkEmpty locks the tables and returns an error if one of them has rows. What an account owns has no rows without
// it.
func checkEmpty(ctx context.Context, tx pgx.Tx) error {
	for _, st := range []string{
		// The role can have limits for the statements of requests. This transaction waits for another store.
		"SET LOCAL statement_timeout = 0",
		"SET LOCAL idle_in_transaction_session_timeout = 0",
		"SET LOCAL lock_timeout = '10s'",
		"LOCK TABLE users, credentials, items, sessions, clients, installation IN SHARE ROW EXCLUSIVE MODE",
	} {
		if _, err := tx.Exec(ctx, st); err != nil {
			return err
		}
	}
	var accounts, things, marks int
	const count = `SELECT (SELECT count(*) FROM users),
		(SELECT count(*) FROM items),
		(SELECT count(*) FROM installation)`
	if err := tx.QueryRow(ctx, count).Scan(&accounts, &things, &marks); err != nil {
		return err
	}
	if accounts+things+marks > 0 {
		return fmt.Errorf("the tables are not empty: %d accounts, %d items, %d rows in installation: "+
			"use a schema in which only migrate has run", accounts, things, marks)
	}
	return nil
}

// AddUsers adds accounts.
func (i *Import) AddUsers(ctx context.Context, all []domain.User) error {
	if err := addRows(ctx, i.tx, users.Table, all); err != nil {
		return err
	}
	credentials := pgx.CopyFromSlice(len(all), func(n int) ([]any, error) {
		return []any{all[n].ID, all[n].PasswordHash}, nil
	})
	_, err := i.tx.CopyFrom(ctx, pgx.Identifier{"credentials"}, []string{"user_id", "password_hash"}, credentials)
	return err
}

// AddItems adds items, whose owners must have been added.
func (i *Import) AddItems(ctx context.Context, all []domain.Item) error {
	return addRows(ctx, i.tx, items.Table, all)
}

// AddSessions adds sessions, whose owners must have been added.
func (i *Import) AddSessions(ctx context.Context, all []domain.Session) error {
	return addRows(ctx, i.tx, sessions.Table, all)
}

// AddClients adds clients, whose owners must have been added.
func (i *Import) AddClients(ctx context.Context, all []domain.Client) error {
	return addRows(ctx, i.tx, clients.Table, all)
}

func addRows[E any](ctx context.Context, tx pgx.Tx, t sqltable.Table[E], all []E) error {
	source := pgx.CopyFromSlice(len(all), func(n int) ([]any, error) { return t.Values(all[n]), nil })
	_, err := tx.CopyFrom(ctx, pgx.Identifier{t.Name}, t.Names(), source)
	return err
}

// SetFirstSuperuser records when the first superuser of the installation was created.
func (i *Import) SetFirstSuperuser(ctx context.Context, at time.Time) error {
	_, err := i.tx.Exec(ctx, "INSERT INTO installation (first_superuser_at) VALUES ($1)", at)
	return err
}

// EachUser calls each with every account, in the order of the ids.
func (i *Import) EachUser(ctx context.Context, each func(domain.User)) error {
	query := `SELECT c.password_hash, ` + users.List("u") + `
		FROM users u
		JOIN credentials c ON c.user_id = u.id
		ORDER BY u.id`
	var hash string
	return eachRow(ctx, i.tx, users.Table, query, func(u domain.User) {
		u.PasswordHash = hash
		each(u)
	}, &hash)
}

// EachItem calls each with every item, in the order of the ids.
func (i *Import) EachItem(ctx context.Context, each func(domain.Item)) error {
	return eachOwned(ctx, i.tx, items.Table, each)
}

// EachSession calls each with every session, in the order of the ids.
func (i *Import) EachSession(ctx context.Context, each func(domain.Session)) error {
	return eachOwned(ctx, i.tx, sessions.Table, each)
}

// EachClient calls each with every client, in the order of the ids.
func (i *Import) EachClient(ctx context.Context, each func(domain.Client)) error {
	return eachOwned(ctx, i.tx, clients.Table, each)
}

// eachOwned calls each with every row of a table, in the order of the ids.
func eachOwned[E any](ctx context.Context, tx pgx.Tx, t sqltable.Table[E], each func(E)) error {
	return eachRow(ctx, tx, t, "SELECT "+t.List("e")+"\nFROM "+t.Name+" e\nORDER BY e.id", each)
}

// eachRow calls each with the rows that query selects: targets and the columns of the table. It keeps one in memory.
func eachRow[E any](ctx context.Context, tx pgx.Tx, t sqltable.Table[E], query string, each func(E),
	targets ...any) error {
	rows, err := tx.Query(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	row := t.NewRow(targets...)
	for rows.Next() {
		e, _, err := row.Scan(rows.Scan)
		if err != nil {
			return fmt.Errorf("a row cannot be read: %w", err)
		}
		each(e)
	}
	return rows.Err()
}
