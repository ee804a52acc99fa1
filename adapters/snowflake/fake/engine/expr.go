package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// expr is an expression. Its value is nil (NULL, or unknown), int64, string, bool or time.Time.
type expr interface {
	eval(*env) (any, error)
}

// env is what an expression is evaluated in.
type env struct {
	session *Session
	commits int // as of when rows are read
	args    []any
	tables  map[string]relation // of WITH
	scope   *scope              // the innermost
	outer   *env
}

// scope is a row with the names of its columns.
type scope struct {
	alias   string
	table   string
	columns []string
	row     []any
	next    *scope // another source of the same query
}

func (e *env) within(s *scope) *env {
	return &env{session: e.session, commits: e.commits, args: e.args, tables: e.tables, scope: s, outer: e}
}

type (
	literal     struct{ value any }
	placeholder int
	columnRef   struct{ of, name string }
	unary       struct {
		op string // NOT, IS NULL or EXISTS
		x  expr
	}
	binary struct {
		op   string
		x, y expr
	}
	call struct {
		name string
		args []expr
		kind string // of CAST
	}
	subquery struct{ query *query }
	among    struct { // IN
		x    expr
		list []expr
		of   *query
	}
)

// expr parses an expression; operators that bind less come first.
func (p *parser) expr() expr {
	x := p.conjunction()
	for p.take("or") {
		x = binary{"OR", x, p.conjunction()}
	}
	return x
}

func (p *parser) conjunction() expr {
	x := p.negation()
	for p.take("and") {
		x = binary{"AND", x, p.negation()}
	}
	return x
}

func (p *parser) negation() expr {
	if p.take("not") {
		return unary{"NOT", p.negation()}
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	x := p.sum()
	switch op := p.peek(); op {
	case "=", "<>", "!=", "<", "<=", ">", ">=":
		p.next()
		return binary{op, x, p.sum()}
	}
	switch {
	case p.take("is", "not", "null"):
		return unary{"NOT", unary{"IS NULL", x}}
	case p.take("is", "null"):
		return unary{"IS NULL", x}
	case p.take("not", "in"):
		return unary{"NOT", p.among(x)}
	case p.take("in"):
		return p.among(x)
	}
	return x
}

func (p *parser) among(x expr) expr {
	p.expect("(")
	a := among{x: x}
	if strings.EqualFold(p.peek(), "select") {
		a.of = p.query()
	} else {
		p.list(func() { a.list = append(a.list, p.expr()) })
	}
	p.expect(")")
	return a
}

func (p *parser) sum() expr {
	x := p.primary()
	for p.peek() == "+" || p.peek() == "-" {
		x = binary{p.next(), x, p.primary()}
	}
	return x
}

func (p *parser) primary() expr {
	t := p.peek()
	switch {
	case p.take("("):
		var x expr
		if strings.EqualFold(p.peek(), "select") || strings.EqualFold(p.peek(), "with") {
			x = subquery{p.query()}
		} else {
			x = p.expr()
		}
		p.expect(")")
		return x
	case p.take("?"):
		p.placeholders++
		return placeholder(p.placeholders - 1)
	case p.take("null"):
		return literal{nil}
	case p.take("true"):
		return literal{true}
	case p.take("false"):
		return literal{false}
	case p.take("exists", "("):
		x := unary{"EXISTS", subquery{p.query()}}
		p.expect(")")
		return x
	case strings.HasPrefix(t, "'") && len(t) > 1:
		p.next()
		return literal{strings.ReplaceAll(t[1:len(t)-1], "''", "'")}
	case t != "" && t[0] >= '0' && t[0] <= '9':
		return literal{p.number()}
	}
	name := p.name()
	switch {
	case p.take("."):
		return columnRef{name, p.name()}
	case p.take("("):
		return p.call(name)
	}
	return columnRef{"", name}
}

func (p *parser) call(name string) expr {
	c := call{name: name}
	switch name {
	case "cast":
		c.args = []expr{p.expr()}
		p.expect("as")
		c.kind, _ = p.kind()
	case "count":
		if !p.take("*") {
			c.args = []expr{p.expr()}
		}
	case "coalesce":
		p.list(func() { c.args = append(c.args, p.expr()) })
	default:
		p.at--
		p.fail()
	}
	p.expect(")")
	return c
}

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
		for s := e.scope; s != nil; s = s.next {
			if c.of != "" && c.of != s.alias && c.of != s.table {
				continue
			}
			if at := slices.Index(s.columns, c.name); at >= 0 {
				if s.row == nil {
					return nil, nil // a left join that found nothing
				}
				return s.row[at], nil
			}
		}
	}
	return nil, noSuchColumn(c.name)
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
		for _, a := range c.args {
			if v, err := a.eval(e); v != nil || err != nil {
				return v, err
			}
		}
		return nil, nil
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
