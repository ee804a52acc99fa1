package engine

import "strings"

// expr is an expression.
type expr interface {
	// eval returns the value: nil (NULL), int64, float64, string, bool, time.Time, or what a column
	// of another type holds.
	eval(*env) (any, error)
}

type (
	literal     struct{ value any }
	placeholder int // its place among the arguments, from 0
	columnRef   struct{ qualifier, name string }

	negation struct{ operand expr }
	isNull   struct{ operand expr }
	exists   struct{ query *query }
	// binary is AND, OR, + or a comparison.
	binary struct {
		operator    string
		left, right expr
	}
	// in has either a query or values.
	in struct {
		operand expr
		values  []expr
		query   *query
	}
	subquery struct{ query *query } // of one value
	coalesce struct{ operands []expr }
	lower    struct{ operand expr }
	cast     struct {
		operand expr
		to      dataType
	}
	// count is COUNT(operand), or COUNT(*) without one.
	count struct{ operand expr }
	// context is a function without operands, in lower case.
	context string
)

// expr parses an expression up to a word or sign that cannot belong to it. Its operators, beginning
// with the one that binds least: OR; AND; NOT; comparisons, IS NULL and IN; +.
func (p *parser) expr() expr {
	x := p.conjunction()
	for p.take("or") {
		x = binary{"OR", x, p.conjunction()}
	}
	if p.peek() != "," && !p.isEnd() && !clauseWord.MatchString(p.peek()) {
		p.unknown()
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
		return negation{p.negation()}
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	x := p.sum()
	switch operator := p.peek(); {
	case comparisons[operator] != nil:
		p.next()
		return binary{operator, x, p.sum()}
	case p.take("is"):
		p.expect("null")
		return isNull{x}
	case p.take("in"):
		return p.in(x)
	}
	return x
}

func (p *parser) in(operand expr) expr {
	p.expect("(")
	x := in{operand: operand}
	if strings.EqualFold(p.peek(), "select") {
		x.query = p.query()
	} else {
		p.list(func() { x.values = append(x.values, p.expr()) })
	}
	p.expect(")")
	return x
}

func (p *parser) sum() expr {
	x := p.primary()
	for p.take("+") {
		x = binary{"+", x, p.primary()}
	}
	return x
}

func (p *parser) primary() expr {
	token := p.peek()
	switch {
	case p.take("("):
		return p.parenthesised()
	case p.take("?"):
		p.placeholders++
		return placeholder(p.placeholders - 1)
	case p.take("null"):
		return literal{nil}
	case p.take("true"):
		return literal{true}
	case p.take("false"):
		return literal{false}
	case p.take("exists"):
		p.expect("(")
		x := exists{p.query()}
		p.expect(")")
		return x
	case p.isText():
		return literal{p.text()}
	case token != "" && token[0] >= '0' && token[0] <= '9':
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

func (p *parser) parenthesised() (x expr) {
	if strings.EqualFold(p.peek(), "select") {
		x = subquery{p.query()}
	} else {
		x = p.expr()
	}
	p.expect(")")
	return x
}

// call parses the arguments of a function, behind its opening parenthesis.
func (p *parser) call(function string) (x expr) {
	switch function {
	case "coalesce":
		c := coalesce{}
		p.list(func() { c.operands = append(c.operands, p.expr()) })
		x = c
	case "cast":
		operand := p.expr()
		p.expect("as")
		x = cast{operand, p.dataType()}
	case "lower":
		x = lower{p.expr()}
	case "count":
		if p.take("*") {
			x = count{}
		} else {
			x = count{p.expr()}
		}
	case "current_user", "current_role", "sysdate":
		x = context(function)
	default:
		p.unknown("the function " + strings.ToUpper(function))
	}
	p.expect(")")
	return x
}
