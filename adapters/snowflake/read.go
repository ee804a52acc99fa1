package snowflake

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// one reads the entity that st selects behind the columns of the actor. R is its row: columns says
// where the values go, entity what they mean. Errors: those of admit, then ErrNotFound.
func one[R, E any](ctx context.Context, q querier, by domain.Actor, st statement, columns func(*R) []any, entity func(*R) (E, bool, error)) (E, error) {
	var result E
	found := false
	err := queryAs(ctx, q, by, st, func(scan func(...any) error) (err error) {
		var r R
		if err := scan(columns(&r)...); err != nil {
			return err
		}
		result, found, err = read(&r, entity)
		return err
	})
	if err == nil && !found {
		err = domain.ErrNotFound
	}
	if err != nil {
		return *new(E), err
	}
	return result, nil
}

// page reads the page that req asks for of the rows that list selects, the actor and the total with
// it, in one statement. One row more than asked for tells whether others follow.
func page[R, E any](ctx context.Context, q querier, by domain.Actor, list statement, names string, req domain.PageRequest,
	columns func(*R) []any, entity func(*R) (E, bool, error)) (domain.Page[E], error) {
	args := append([]any{by.ID}, list.args...)
	behind := ""
	if after, ok := req.After.Get(); ok {
		behind = " WHERE created_at < ? OR created_at = ? AND id < ?"
		args = append(args, after.CreatedAt, after.CreatedAt, after.ID)
	}
	total := "CAST(NULL AS NUMBER(38, 0))"
	if req.Count {
		total = "(SELECT COUNT(*) FROM listed)"
	}
	st := statement{
		withMe + ", listed AS (" + list.text + ")" +
			", page AS (SELECT " + names + " FROM listed" + behind + " ORDER BY created_at DESC, id DESC" +
			// Snowflake documentation: LIMIT and OFFSET take constants.
			fmt.Sprintf(" LIMIT %d OFFSET %d)", req.Limit+1, req.Skip) +
			" SELECT me.epoch, me.is_active, " + total + " AS total, page." + strings.ReplaceAll(names, ", ", ", page.") +
			" FROM me LEFT JOIN page ON TRUE ORDER BY page.created_at DESC, page.id DESC",
		args,
	}

	var count sql.NullInt64
	p := domain.Page[E]{Rows: []E{}}
	err := queryAs(ctx, q, by, st, func(scan func(...any) error) error {
		var r R
		if err := scan(append([]any{&count}, columns(&r)...)...); err != nil {
			return err
		}
		e, found, err := read(&r, entity)
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

// read turns a row into an entity, if there is one. What breaks a rule of the domain was not
// written by this service.
func read[R, E any](r *R, entity func(*R) (E, bool, error)) (E, bool, error) {
	e, found, err := entity(r)
	if !found {
		return e, false, nil
	}
	if err != nil {
		err = fmt.Errorf("a row breaks a rule of this service: %w", err)
	}
	return e, true, err
}

// nullable is how an optional text is bound.
func nullable[T fmt.Stringer](o domain.Optional[T]) sql.NullString {
	v, ok := o.Get()
	if !ok {
		return sql.NullString{}
	}
	return sql.NullString{String: v.String(), Valid: true}
}

func optional[T any](s sql.NullString, parse func(string) (T, error)) (domain.Optional[T], error) {
	if !s.Valid {
		return domain.Optional[T]{}, nil
	}
	v, err := parse(s.String)
	return domain.Some(v), err
}
