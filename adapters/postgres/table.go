package postgres

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// table is a table of E, and how statements reach it in PostgreSQL.
type table[E any] struct{ sqltable.Table[E] }

func newTable[E any](name string, columns ...sqltable.Column[E]) table[E] {
	return table[E]{sqltable.Table[E]{Name: name, Columns: columns}}
}

// insert returns an INSERT of e for the one row that from selects, or for none.
func (t table[E]) insert(e E, from string, fromArgs ...any) session.Statement {
	text, args := t.Insert(e, from, fromArgs...)
	return session.Statement{SQL: text, Args: args}
}

// update returns an UPDATE of the row with the key of e.
func (t table[E]) update(e E) session.Statement {
	text, args := t.Update(e)
	return session.Statement{SQL: text, Args: args}
}

// one reads the entity that st finds for the actor. st selects the columns of actor, those of targets, and those of the
// table, which are NULL if there is no such entity. Errors: those of queryAs, then ErrNotFound.
func (t table[E]) one(ctx context.Context, c session.Conn, by domain.Actor, st session.Statement,
	targets ...any) (E, error) {
	return t.One(as(ctx, c, by, st), targets...)
}

// page reads a page of the rows of the table that meet the condition where, and the total, in one statement. It reads
// one row more than requested to learn whether others follow. Errors: those of queryAs.
func (t table[E]) page(ctx context.Context, c session.Conn, by domain.Actor, req domain.PageRequest,
	where string, whereArgs ...any) (domain.Page[E], error) {
	return t.Page(req, as(ctx, c, by, t.pageStatement(by, req, where, whereArgs)))
}

func (t table[E]) pageStatement(by domain.Actor, req domain.PageRequest, where string,
	whereArgs []any) session.Statement {
	var args []any
	total := "CAST(NULL AS bigint)"
	if req.Count {
		total = "(SELECT count(*) FROM " + t.Name + " WHERE " + where + ")"
		args = append(args, whereArgs...)
	}
	args = append(args, whereArgs...)
	after := "TRUE"
	if position, ok := req.After.Get(); ok {
		after = "(created_at, id) < (?, ?)"
		args = append(args, position.CreatedAt, key(position.ID))
	}
	return session.Statement{
		SQL: `SELECT ` + actor + `, ` + total + ` AS total, ` + t.List("page") + `
			FROM users a
			LEFT JOIN LATERAL (
				SELECT *
				FROM ` + t.Name + `
				WHERE ` + where + `
				AND ` + after + `
				ORDER BY created_at DESC, id DESC
				LIMIT ? OFFSET ?) page ON TRUE
			WHERE a.id = ?
			ORDER BY page.created_at DESC, page.id DESC`,
		Args: append(args, req.Limit+1, req.Skip, key(by.ID)),
	}
}
