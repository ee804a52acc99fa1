package snowflake

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// table says how entities of type E are stored. SELECT lists, INSERT, UPDATE, scan targets and the schema
// check are made from it. The first column is the key.
type table[E any] struct {
	name    string
	columns []column[E]
}

// column is one column of a table of E. bind returns its value for a statement. scan sets the field of an
// entity from a value of the driver, which is nil for NULL.
type column[E any] struct {
	name      string
	bind      func(*E) any
	scan      func(e *E, value any) error
	updatable bool // whether UPDATE sets it
}

// updatable returns c as a column that UPDATE sets.
func updatable[E any](c column[E]) column[E] {
	c.updatable = true
	return c
}

// plain is a column of a string, bool or int64.
func plain[E, V any](name string, field func(*E) *V) column[E] {
	return column[E]{
		name: name,
		bind: func(e *E) any { return *field(e) },
		scan: func(e *E, value any) error {
			var v sql.Null[V]
			err := v.Scan(value)
			*field(e) = v.V
			return err
		},
	}
}

// timestamp is a column of a time in UTC.
func timestamp[E any](name string, field func(*E) *time.Time) column[E] {
	c := plain(name, field)
	scan := c.scan
	c.scan = func(e *E, value any) error {
		err := scan(e, value)
		*field(e) = field(e).UTC()
		return err
	}
	return c
}

// parsed is a column of a text that has a type of its own in package domain.
func parsed[E any, V fmt.Stringer](name string, field func(*E) *V, parse func(string) (V, error)) column[E] {
	return column[E]{
		name: name,
		bind: func(e *E) any { return (*field(e)).String() },
		scan: func(e *E, value any) (err error) {
			var text sql.NullString
			if err := text.Scan(value); err != nil {
				return err
			}
			*field(e), err = parse(text.String)
			return err
		},
	}
}

// optional is parsed for a column that may be NULL.
func optional[E any, V fmt.Stringer](name string, field func(*E) *domain.Optional[V],
	parse func(string) (V, error)) column[E] {
	return column[E]{
		name: name,
		bind: func(e *E) any {
			v, ok := field(e).Get()
			if !ok {
				return sql.NullString{}
			}
			return sql.NullString{String: v.String(), Valid: true}
		},
		scan: func(e *E, value any) error {
			var text sql.NullString
			if err := text.Scan(value); err != nil || !text.Valid {
				return err
			}
			v, err := parse(text.String)
			*field(e) = domain.Some(v)
			return err
		},
	}
}

// names returns the names of the columns.
func (t table[E]) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

// list returns the columns as a SELECT list, of this alias.
func (t table[E]) list(alias string) string {
	return alias + "." + strings.Join(t.names(), ", "+alias+".")
}

// without returns the table without a column, for reads that must not have it.
func (t table[E]) without(name string) table[E] {
	t.columns = slices.DeleteFunc(slices.Clone(t.columns), func(c column[E]) bool { return c.name == name })
	return t
}

// insert returns an INSERT of e for the one row that from selects, or for none. INSERTs do not wait for each other,
// so a repetition could add the row twice.
func (t table[E]) insert(e E, from string, fromArgs ...any) session.Statement {
	args := make([]any, len(t.columns))
	for i, c := range t.columns {
		args[i] = c.bind(&e)
	}
	return session.Statement{
		SQL: "INSERT INTO " + t.name + " (" + strings.Join(t.names(), ", ") + ")\n" +
			"SELECT ?" + strings.Repeat(", ?", len(args)-1) + "\n" +
			from,
		Args: append(args, fromArgs...),
		Once: true,
	}
}

// update returns an UPDATE of the row with the key of e.
func (t table[E]) update(e E) session.Statement {
	var set []string
	var args []any
	for _, c := range t.columns {
		if c.updatable {
			set = append(set, c.name+" = ?")
			args = append(args, c.bind(&e))
		}
	}
	key := t.columns[0]
	return session.Statement{
		SQL:  "UPDATE " + t.name + "\nSET " + strings.Join(set, ", ") + "\nWHERE " + key.name + " = ?",
		Args: append(args, key.bind(&e)),
	}
}

// scanFunc implements [sql.Scanner].
type scanFunc func(value any) error

// Scan implements [sql.Scanner].
func (f scanFunc) Scan(value any) error { return f(value) }

// scan reads a row: first the given targets, then the columns of the table. It reports whether there is an
// entity: if a join found none, all columns are NULL. An error names the row and the column. It is better that a
// list fails than that it hides a row.
func (t table[E]) scan(scan func(...any) error, targets ...any) (e E, found bool, err error) {
	var key any
	for i, c := range t.columns {
		targets = append(targets, scanFunc(func(value any) error {
			if i == 0 {
				key, found = value, value != nil
			}
			if !found {
				return nil
			}
			if err := c.scan(&e, value); err != nil {
				return fmt.Errorf("column %s of the row %v of table %s: %w", c.name, key, t.name, err)
			}
			return nil
		}))
	}
	err = scan(targets...)
	return e, found, err
}

// one reads the entity that rows, a SELECT of the table's columns, finds for the actor.
// Errors: those of queryAs, then ErrNotFound.
func (t table[E]) one(ctx context.Context, c session.Conn, by domain.Actor, rows session.Statement) (E, error) {
	st := session.Statement{
		SQL: `WITH ` + actorRow + `,
			found AS (` + rows.SQL + `)
			SELECT actor.epoch, actor.is_active, ` + t.list("found") + `
			FROM actor
			LEFT JOIN found ON TRUE`,
		Args: append([]any{by.ID}, rows.Args...),
	}
	var entity E
	var found bool
	err := queryAs(ctx, c, by, st, func(scan func(...any) error) (err error) {
		entity, found, err = t.scan(scan)
		return err
	})
	if err == nil && !found {
		err = domain.ErrNotFound
	}
	if err != nil {
		return *new(E), err
	}
	return entity, nil
}

// page reads a page of what rows, a SELECT of the table's columns, finds for the actor, and the total, in
// one statement. It reads one row more than requested to learn whether others follow. Errors: those of
// queryAs.
func (t table[E]) page(ctx context.Context, c session.Conn, by domain.Actor, rows session.Statement,
	req domain.PageRequest) (domain.Page[E], error) {
	var count sql.NullInt64
	p := domain.Page[E]{Rows: []E{}}
	err := queryAs(ctx, c, by, t.pageStatement(by, rows, req), func(scan func(...any) error) error {
		e, found, err := t.scan(scan, &count)
		if found {
			p.Rows = append(p.Rows, e)
		}
		return err
	})
	if err != nil {
		return domain.Page[E]{}, err
	}
	if req.Count {
		p.Total = domain.Some(int(count.Int64))
	}
	if len(p.Rows) > req.Limit {
		p.Rows, p.More = p.Rows[:req.Limit], true
	}
	return p, nil
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
				SELECT ` + t.list("listed") + `
				FROM listed
				WHERE ` + after + `
				ORDER BY created_at DESC, id DESC
				LIMIT ` + fmt.Sprint(req.Limit+1) + ` OFFSET ` + fmt.Sprint(req.Skip) + `)
			SELECT actor.epoch, actor.is_active, ` + total + ` AS total, ` + t.list("page") + `
			FROM actor
			LEFT JOIN page ON TRUE
			ORDER BY page.created_at DESC, page.id DESC`,
		Args: args,
	}
}
