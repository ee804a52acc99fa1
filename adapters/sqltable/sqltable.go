// Package sqltable describes how entities are stored in a table: one value says everything, and SELECT lists,
// INSERT, UPDATE, scan targets and the check of the schema are made from it. The stores on SQL databases share it.
// It knows no driver and no dialect: placeholders are question marks.
package sqltable

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Table says how entities of type E are stored. The first column is the key.
type Table[E any] struct {
	Name    string
	Columns []Column[E]
}

// Column is one column of a table of E.
type Column[E any] struct {
	Name string

	bind      func(*E) any // the value for a statement
	scan      func(e *E, value any) error
	updatable bool // whether UPDATE sets it
}

// Updatable returns c as a column that UPDATE sets.
func (c Column[E]) Updatable() Column[E] {
	c.updatable = true
	return c
}

// Plain is a column of a string, bool or int64.
func Plain[E, V any](name string, field func(*E) *V) Column[E] {
	return Column[E]{
		Name: name,
		bind: func(e *E) any { return *field(e) },
		scan: func(e *E, value any) error {
			if v, ok := value.(V); ok { // without the conversions of sql.Null
				*field(e) = v
				return nil
			}
			var v sql.Null[V]
			err := v.Scan(value)
			*field(e) = v.V
			return err
		},
	}
}

// Timestamp is a column of a time in UTC.
func Timestamp[E any](name string, field func(*E) *time.Time) Column[E] {
	c := Plain(name, field)
	scan := c.scan
	c.scan = func(e *E, value any) error {
		err := scan(e, value)
		*field(e) = field(e).UTC()
		return err
	}
	return c
}

// Parsed is a column of a text that has a type of its own in package domain.
func Parsed[E any, V fmt.Stringer](name string, field func(*E) *V, parse func(string) (V, error)) Column[E] {
	return Column[E]{
		Name: name,
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

// Optional is Parsed for a column that may be NULL.
func Optional[E any, V fmt.Stringer](name string, field func(*E) *domain.Optional[V],
	parse func(string) (V, error)) Column[E] {
	return Column[E]{
		Name: name,
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

// OptionalTimestamp is Timestamp for a column that may be NULL.
func OptionalTimestamp[E any](name string, field func(*E) *domain.Optional[time.Time]) Column[E] {
	return Column[E]{
		Name: name,
		bind: func(e *E) any {
			at, ok := field(e).Get()
			return sql.NullTime{Time: at, Valid: ok}
		},
		scan: func(e *E, value any) error {
			var at sql.NullTime
			err := at.Scan(value)
			if err == nil && at.Valid {
				*field(e) = domain.Some(at.Time.UTC())
			}
			return err
		},
	}
}

// Names returns the names of the columns.
func (t Table[E]) Names() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// List returns the columns as a SELECT list, of this alias.
func (t Table[E]) List(alias string) string {
	return alias + "." + strings.Join(t.Names(), ", "+alias+".")
}

// Without returns the table without a column, for statements that must not have it.
func (t Table[E]) Without(name string) Table[E] {
	t.Columns = slices.DeleteFunc(slices.Clone(t.Columns), func(c Column[E]) bool { return c.Name == name })
	return t
}

// Values returns the values of e for the columns.
func (t Table[E]) Values(e E) []any {
	values := make([]any, len(t.Columns))
	for i, c := range t.Columns {
		values[i] = c.bind(&e)
	}
	return values
}

// Insert returns an INSERT of e for each row that from selects, which is 'FROM …' and may have a WHERE clause.
func (t Table[E]) Insert(e E, from string, fromArgs ...any) (text string, args []any) {
	args = t.Values(e)
	text = "INSERT INTO " + t.Name + " (" + strings.Join(t.Names(), ", ") + ")\n" +
		"SELECT ?" + strings.Repeat(", ?", len(args)-1) + "\n" +
		from
	return text, append(args, fromArgs...)
}

// Update returns an UPDATE of the row with the key of e. It ends in its WHERE clause.
func (t Table[E]) Update(e E) (text string, args []any) {
	var set []string
	for _, c := range t.Columns {
		if c.updatable {
			set = append(set, c.Name+" = ?")
			args = append(args, c.bind(&e))
		}
	}
	key := t.Columns[0]
	text = "UPDATE " + t.Name + "\nSET " + strings.Join(set, ", ") + "\nWHERE " + key.Name + " = ?"
	return text, append(args, key.bind(&e))
}

// scanFunc implements [sql.Scanner].
type scanFunc func(value any) error

// Scan implements [sql.Scanner].
func (f scanFunc) Scan(value any) error { return f(value) }

// Row reads the rows of a result one after the other. Make one with [Table.NewRow].
type Row[E any] struct {
	entity  E
	found   bool
	targets []any
}

// NewRow returns a Row for a result that has the columns of the given targets first, and then those of the table.
func (t Table[E]) NewRow(targets ...any) *Row[E] {
	r := &Row[E]{targets: targets}
	var key any
	for i, c := range t.Columns {
		r.targets = append(r.targets, scanFunc(func(value any) error {
			if i == 0 {
				key, r.found = value, value != nil
			}
			if !r.found {
				return nil
			}
			if err := c.scan(&r.entity, value); err != nil {
				return fmt.Errorf("column %s of the row %v of table %s: %w", c.Name, key, t.Name, err)
			}
			return nil
		}))
	}
	return r
}

// Scan reads the next row. scan is [sql.Rows.Scan] or works like it. Scan reports whether there is an entity: if a join
// found none, all columns are NULL. An error names the row and the column. It is better that a list fails than that it
// hides a row.
func (r *Row[E]) Scan(scan func(...any) error) (e E, found bool, err error) {
	r.entity = *new(E)
	err = scan(r.targets...)
	return r.entity, r.found, err
}

// Query executes a SELECT and calls row for each row of its result. row calls scan once, as [sql.Rows.Scan].
type Query func(row func(scan func(...any) error) error) error

// One reads the entity that query finds. The result has the columns of targets first, and then those of the table.
// Errors: those of query, then ErrNotFound.
func (t Table[E]) One(query Query, targets ...any) (E, error) {
	var entity E
	var found bool
	row := t.NewRow(targets...)
	err := query(func(scan func(...any) error) (err error) {
		entity, found, err = row.Scan(scan)
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

// Pair reads the two entities that query finds in one row. The result has the columns of targets first, then those of
// a, and then those of b. Errors: those of query, then ErrNotFound.
func Pair[A, B any](a Table[A], b Table[B], query Query, targets ...any) (A, B, error) {
	first := a.NewRow(targets...)
	second, err := b.One(query, first.targets...)
	if err != nil {
		return *new(A), *new(B), err
	}
	return first.entity, second, nil
}

// Page reads the page that query finds. Each row of the result has the total first, which is NULL unless req asks for
// it, and then the columns of the table. A row more than requested says that others follow. Errors: those of query.
func (t Table[E]) Page(req domain.PageRequest, query Query) (domain.Page[E], error) {
	var count sql.NullInt64
	row := t.NewRow(&count)
	p := domain.Page[E]{Rows: []E{}}
	err := query(func(scan func(...any) error) error {
		e, found, err := row.Scan(scan)
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
