package engine

import "strings"

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
