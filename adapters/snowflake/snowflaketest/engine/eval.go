package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (l literal) eval(*env) (any, error) { return l.value, nil }

func (n placeholder) eval(e *env) (any, error) {
	if int(n) >= len(e.args) {
		return nil, &Error{2049, "42601", "Bind variable not set."}
	}
	switch v := e.args[n].(type) {
	case int:
		return int64(v), nil
	case time.Time:
		return v.UTC().Truncate(time.Microsecond), nil
	default:
		return v, nil
	}
}

func (c columnRef) eval(e *env) (any, error) {
	for ; e != nil; e = e.outer {
		var found *scope
		for s := e.scope; s != nil; s = s.next {
			if c.of != "" && c.of != s.alias && c.of != s.table || !slices.Contains(s.columns, c.name) {
				continue
			}
			if found != nil {
				return nil, &Error{904, "42000", fmt.Sprintf("ambiguous column name '%s'", strings.ToUpper(c.name))}
			}
			found = s
		}
		switch {
		case found == nil:
		case found.row == nil:
			return nil, nil // a left join that found nothing
		default:
			return found.row[slices.Index(found.columns, c.name)], nil
		}
	}
	return nil, noSuchColumn(c.name)
}

// knows reports whether one of the sources has this alias.
func (s *scope) knows(alias string) bool {
	for ; s != nil; s = s.next {
		if s.alias == alias {
			return true
		}
	}
	return false
}

// unknown evaluates expressions on a row of NULLs and reports a name that is not known; what else
// fails there may be well on a real row.
func unknown(e *env, exprs ...expr) error {
	for _, x := range exprs {
		if x == nil {
			continue
		}
		var failed *Error
		if _, err := x.eval(e); errors.As(err, &failed) && (failed.Number == 904 || failed.Number == 2003) {
			return err
		}
	}
	return nil
}

func (u unary) eval(e *env) (any, error) {
	if u.op == "EXISTS" {
		r, err := u.x.(subquery).query.run(e)
		return len(r.rows) > 0, err
	}
	v, err := u.x.eval(e)
	if err != nil {
		return nil, err
	}
	if u.op == "IS NULL" {
		return v == nil, nil
	}
	if v == nil {
		return nil, nil
	}
	return v != true, nil
}

func (b binary) eval(e *env) (any, error) {
	x, err := b.x.eval(e)
	if err != nil {
		return nil, err
	}
	y, err := b.y.eval(e)
	if err != nil {
		return nil, err
	}
	switch b.op {
	case "AND":
		if x == false || y == false {
			return false, nil
		}
		return unlessNull(x, y, true), nil
	case "OR":
		if x == true || y == true {
			return true, nil
		}
		return unlessNull(x, y, false), nil
	}
	if x == nil || y == nil {
		return nil, nil
	}
	if m, ok := x.(int64); ok && (b.op == "+" || b.op == "-") {
		n, ok := y.(int64)
		if !ok {
			return nil, mismatch(x, y)
		}
		if b.op == "-" {
			n = -n
		}
		return m + n, nil
	}
	order, err := compare(x, y)
	if err != nil {
		return nil, err
	}
	switch b.op {
	case "=":
		return order == 0, nil
	case "<>", "!=":
		return order != 0, nil
	case "<":
		return order < 0, nil
	case "<=":
		return order <= 0, nil
	case ">":
		return order > 0, nil
	default:
		return order >= 0, nil
	}
}

func unlessNull(x, y, otherwise any) any {
	if x == nil || y == nil {
		return nil
	}
	return otherwise
}

func (c call) eval(e *env) (any, error) {
	switch c.name {
	case "count":
		return nil, &Error{1003, "42000", "COUNT is only known in a select list"}
	case "coalesce":
		var first any
		for _, a := range c.args {
			v, err := a.eval(e)
			if err != nil {
				return nil, err
			}
			if first == nil {
				first = v
			}
		}
		return first, nil
	}
	v, err := c.args[0].eval(e)
	if err != nil {
		return nil, err
	}
	if n, ok := v.(int64); ok && c.kind == "VARCHAR" {
		v = strconv.FormatInt(n, 10)
	}
	return column{name: "CAST", kind: c.kind}.hold(v)
}

func (s subquery) eval(e *env) (any, error) {
	r, err := s.query.run(e)
	switch {
	case err != nil:
		return nil, err
	case len(r.rows) > 1 || len(r.rows) == 1 && len(r.rows[0]) != 1:
		return nil, &Error{90150, "21000", "Single-row subquery returns more than one row."}
	case len(r.rows) == 0:
		return nil, nil
	}
	return r.rows[0][0], nil
}

func (a among) eval(e *env) (any, error) {
	x, err := a.x.eval(e)
	if err != nil {
		return nil, err
	}
	var values []any
	if a.of != nil {
		r, err := a.of.run(e)
		if err != nil {
			return nil, err
		}
		if len(r.columns) != 1 {
			return nil, &Error{1003, "42000", "the query of IN has more than one column"}
		}
		for _, row := range r.rows {
			values = append(values, row[0])
		}
	}
	for _, one := range a.list {
		v, err := one.eval(e)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	var result any = false
	for _, v := range values {
		if x == nil || v == nil {
			result = nil
			continue
		}
		if order, err := compare(x, v); err != nil || order == 0 {
			return true, err
		}
	}
	return result, nil
}

// compare orders two values of one kind.
func compare(x, y any) (int, error) {
	switch x := x.(type) {
	case int64:
		if y, ok := y.(int64); ok {
			return cmp.Compare(x, y), nil
		}
	case string:
		if y, ok := y.(string); ok {
			return cmp.Compare(x, y), nil
		}
	case time.Time:
		if y, ok := y.(time.Time); ok {
			return x.Compare(y), nil
		}
	case bool:
		if y, ok := y.(bool); ok {
			if x == y {
				return 0, nil
			}
			if y {
				return -1, nil
			}
			return 1, nil
		}
	}
	return 0, mismatch(x, y)
}

func mismatch(x, y any) error {
	return &Error{1046, "42601", fmt.Sprintf("cannot compare or add %T and %T", x, y)}
}
