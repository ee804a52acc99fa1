package snowflake

import (
	"context"
	"fmt"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// table is a table of E, and how statements reach it in Snowflake.
type table[E any] struct{ sqltable.Table[E] }

func newTable[E any](name string, columns ...sqltable.Column[E]) table[E] {
	return table[E]{sqltable.Table[E]{Name: name, Columns: columns}}
}

// insert returns an INSERT of e for the one row that from selects, or for none. INSERTs do not wait for each other,
// so a repetition could add the row twice.
func (t table[E]) insert(e E, from string, fromArgs ...any) session.Statement {
	text, args := t.Insert(e, from, fromArgs...)
	return session.Statement{SQL: text, Args: args, Once: true}
}

// update returns an UPDATE of the row with the key of e.
func (t table[E]) update(e E) session.Statement {
	text, args := t.Update(e)
	return session.Statement{SQL: text, Args: args}
}

// selectOwned returns a SELECT of the actor's row with this id, of a table whose rows belong to accounts.
func (t table[E]) selectOwned(by domain.Actor, id string) session.Statement {
	return session.Statement{
		SQL:  "SELECT " + t.List("t") + "\nFROM " + t.Name + " t\nWHERE t.id = ?\nAND t.owner_id = ?",
		Args: []any{id, by.ID},
	}
}

// one reads the entity that rows, a SELECT of the table's columns, finds for the actor.
// Errors: those of queryAs, then ErrNotFound.
func (t table[E]) one(ctx context.Context, c session.Conn, by domain.Actor, rows session.Statement) (E, error) {
	st := session.Statement{
		SQL: `WITH ` + actorRow + `,
			found AS (` + rows.SQL + `)
			SELECT actor.epoch, actor.is_active, ` + t.List("found") + `
			FROM actor
			LEFT JOIN found ON TRUE`,
		Args: append([]any{by.ID}, rows.Args...),
	}
	return t.One(as(ctx, c, by, st))
}

// page reads a page of what rows, a SELECT of the table's columns, finds for the actor, and the total, in
// one statement. It reads one row more than requested to learn whether others follow. Errors: those of
// queryAs.
func (t table[E]) page(ctx context.Context, c session.Conn, by domain.Actor, rows session.Statement,
	req domain.PageRequest) (domain.Page[E], error) {
	return t.Page(req, as(ctx, c, by, t.pageStatement(by, rows, req)))
}

func (t table[E]) pageStatement(by domain.Actor, rows session.Statement, req domain.PageRequest) session.Statement {
	args := append([]any{by.ID}, rows.Args...)
	after := "TRUE"
	if position, ok := req.After.Get(); ok {
		after = "created_at < ? OR created_at = ? AND id < ?"
		args = append(args, position.CreatedAt, position.CreatedAt, position.ID)
	}
	total := "CAST(NULL AS NUMBER(38, 0))"
	if req.Count {
		total = "(SELECT COUNT(*) FROM listed)"
	}
	return session.Statement{
		// Snowflake documentation, LIMIT: it takes constants, not placeholders.
		SQL: `WITH ` + actorRow + `,
			listed AS (` + rows.SQL + `),
			page AS (
				SELECT ` + t.List("listed") + `
				FROM listed
				WHERE ` + after + `
				ORDER BY created_at DESC, id DESC
				LIMIT ` + fmt.Sprint(req.Limit+1) + ` OFFSET ` + fmt.Sprint(req.Skip) + `)
			SELECT actor.epoch, actor.is_active, ` + total + ` AS total, ` + t.List("page") + `
			FROM actor
			LEFT JOIN page ON TRUE
			ORDER BY page.created_at DESC, page.id DESC`,
		Args: args,
	}
}
