package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// env is what an expression is evaluated in.
type env struct {
	session *Session
	commits int // rows are read as they were after that many commits
	args    []any
	with    map[string]relation // results of the queries of WITH
	scope   scope
	group   *[]scope // the rows that COUNT counts; nil outside of an aggregation
	outer   *env     // of the surrounding query
}

// scope is the row of each source that a query has joined so far.
type scope []sourceRow

type sourceRow struct {
	alias   string
	columns []string
	values  []any // nil for a LEFT JOIN without a match, whose columns are all NULL
}

// within returns an environment in which columns are looked up in s first.
func (e *env) within(s scope) *env {
	return &env{session: e.session, commits: e.commits, args: e.args, with: e.with, scope: s, outer: e}
}

func (l literal) eval(*env) (any, error) { return l.value, nil }

func (p placeholder) eval(e *env) (any, error) {
	if int(p) >= len(e.args) {
		return nil, &Error{2049, "42601", "Bind variable not set."}
	}
	switch v := e.args[p].(type) {
	case int:
		return int64(v), nil
	case time.Time:
		return v.UTC(), nil
	default:
		return v, nil
	}
}

func (c columnRef) eval(e *env) (any, error) {
	for ; e != nil; e = e.outer {
		var value any
		found := 0
		for _, row := range e.scope {
			if c.qualifier != "" && c.qualifier != row.alias {
				continue
			}
			if i := slices.Index(row.columns, c.name); i >= 0 {
				found++
				if row.values != nil {
					value = row.values[i]
				}
			}
		}
		switch found {
		case 0:
		case 1:
			return value, nil
		default:
			return nil, &Error{904, "42000", fmt.Sprintf("ambiguous column name '%s'", strings.ToUpper(c.name))}
		}
	}
	return nil, noSuchColumn(c.name)
}

// checkNames returns an error if an expression uses a name that does not exist. It evaluates the
// expressions in e, whose columns are all NULL, and ignores other errors: a real row may not cause
// them. Evaluating real rows would not notice the name if there are none.
func checkNames(e *env, exprs ...expr) error {
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

func (n negation) eval(e *env) (any, error) {
	v, err := n.operand.eval(e)
	if err != nil || v == nil {
		return nil, err
	}
	return v != true, nil
}

func (n isNull) eval(e *env) (any, error) {
	v, err := n.operand.eval(e)
	return v == nil, err
}

func (x exists) eval(e *env) (any, error) {
	r, err := x.query.run(e)
	return len(r.rows) > 0, err
}

func (b binary) eval(e *env) (any, error) {
	x, err := b.left.eval(e)
	if err != nil {
		return nil, err
	}
	y, err := b.right.eval(e)
	if err != nil {
		return nil, err
	}
	switch {
	case b.operator == "AND" && (x == false || y == false):
		return false, nil
	case b.operator == "OR" && (x == true || y == true):
		return true, nil
	case x == nil || y == nil:
		return nil, nil
	case b.operator == "AND":
		return true, nil
	case b.operator == "OR":
		return false, nil
	case b.operator == "+":
		return add(x, y)
	}
	order, err := compare(x, y)
	return err == nil && comparisons[b.operator](order), err
}

func add(x, y any) (any, error) {
	m, ok := x.(int64)
	n, alsoOK := y.(int64)
	if !ok || !alsoOK {
		return nil, NewUnknown(fmt.Sprintf("the sum of %T and %T", x, y))
	}
	return m + n, nil
}

// comparisons tells, for each operator, whether it holds for two values in this order: negative if
// the left one is less, 0 if they are equal.
var comparisons = map[string]func(order int) bool{
	"=":  func(order int) bool { return order == 0 },
	"<>": func(order int) bool { return order != 0 },
	"<":  func(order int) bool { return order < 0 },
	"<=": func(order int) bool { return order <= 0 },
	">":  func(order int) bool { return order > 0 },
	">=": func(order int) bool { return order >= 0 },
}

// compare orders two values of one type.
func compare(x, y any) (int, error) {
	switch x := x.(type) {
	case int64:
		if y, ok := y.(int64); ok {
			return cmp.Compare(x, y), nil
		}
	case float64:
		if y, ok := y.(float64); ok {
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
			return compareBools(x, y), nil
		}
	}
	return 0, NewUnknown(fmt.Sprintf("the comparison of %T with %T", x, y))
}

// compareBools orders FALSE before TRUE.
func compareBools(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}

func (x in) eval(e *env) (any, error) {
	v, err := x.operand.eval(e)
	if err != nil {
		return nil, err
	}
	candidates, err := x.candidates(e)
	if err != nil {
		return nil, err
	}
	var result any = false
	for _, c := range candidates {
		if v == nil || c == nil {
			result = nil
			continue
		}
		if order, err := compare(v, c); err != nil || order == 0 {
			return err == nil, err
		}
	}
	return result, nil
}

func (x in) candidates(e *env) ([]any, error) {
	var candidates []any
	for _, value := range x.values {
		v, err := value.eval(e)
		if err != nil {
			return nil, err
		}
		candidates = append(candidates, v)
	}
	if x.query == nil {
		return candidates, nil
	}
	r, err := x.query.run(e)
	if err != nil {
		return nil, err
	}
	if len(r.columns) != 1 {
		return nil, NewUnknown("IN with a query of several columns")
	}
	for _, row := range r.rows {
		candidates = append(candidates, row[0])
	}
	return candidates, nil
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

func (c coalesce) eval(e *env) (any, error) {
	var first any
	for _, operand := range c.operands {
		v, err := operand.eval(e)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = v
		}
	}
	return first, nil
}

func (c cast) eval(e *env) (any, error) {
	v, err := c.operand.eval(e)
	if err != nil || v == nil {
		return nil, err
	}
	if !c.to.isKnown() || !c.to.accepts(v) {
		return nil, NewUnknown(fmt.Sprintf("CAST of %T to %s", v, c.to.name))
	}
	return c.to.hold(v)
}

func (l lower) eval(e *env) (any, error) {
	v, err := l.operand.eval(e)
	if err != nil || v == nil {
		return nil, err
	}
	text, ok := v.(string)
	if !ok {
		return nil, NewUnknown(fmt.Sprintf("LOWER of %T", v))
	}
	return strings.ToLower(text), nil
}

func (c count) eval(e *env) (any, error) {
	if e.group == nil {
		return nil, NewUnknown("COUNT inside of an expression")
	}
	n := int64(0)
	for _, row := range *e.group {
		counted := any(true)
		if c.operand != nil {
			var err error
			if counted, err = c.operand.eval(e.within(row)); err != nil {
				return nil, err
			}
		}
		if counted != nil {
			n++
		}
	}
	return n, nil
}

// The user and role of every session.
const (
	User = "ECHO_USER"
	Role = "ECHO_ROLE"
)

func (c context) eval(*env) (any, error) {
	switch c {
	case "current_user":
		return User, nil
	case "current_role":
		return Role, nil
	default:
		return time.Now().UTC(), nil
	}
}
