package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// statement is a parsed statement.
type statement struct {
	kind      string // begin, commit, rollback, select, write, create, alter, drop or show
	writes    Kind   // what a write is
	table     string // what it writes or defines; of show what it shows
	columns   []string
	values    []expr // of UPDATE
	where     expr
	query     *query // of SELECT and INSERT
	defined   []column
	ifMissing bool // IF NOT EXISTS, IF EXISTS
}

var parsed sync.Map // text → *statement: statements never change

func parse(sql string) (st *statement, err error) {
	if known, ok := parsed.Load(sql); ok {
		return known.(*statement), nil
	}
	p := &parser{tokens: tokenize(sql)}
	defer func() {
		switch r := recover().(type) {
		case nil:
			parsed.Store(sql, st)
		case syntaxError:
			st, err = nil, &Error{1003, "42000", "SQL compilation error: " + string(r)}
		default:
			panic(r)
		}
	}()
	st = p.statement()
	if p.peek() != "" {
		p.fail()
	}
	return st, nil
}

// Words, numbers, texts in quotes, the signs of more than one character, and any other sign.
var lexeme = regexp.MustCompile(`--[^\n]*|(?s:/\*.*?\*/)|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|'(?:[^']|'')*'|<>|!=|<=|>=|\S`)

func tokenize(sql string) []string {
	return slices.DeleteFunc(lexeme.FindAllString(sql, -1), func(t string) bool {
		return strings.HasPrefix(t, "--") || strings.HasPrefix(t, "/*")
	})
}

type parser struct {
	tokens       []string
	at           int
	placeholders int
}

type syntaxError string

func (p *parser) fail() {
	panic(syntaxError(fmt.Sprintf("syntax error: unexpected %q after %q", p.peek(), strings.Join(p.tokens[max(0, p.at-3):p.at], " "))))
}

func (p *parser) peek() string {
	if p.at < len(p.tokens) {
		return p.tokens[p.at]
	}
	return ""
}

func (p *parser) next() string {
	t := p.peek()
	p.at++
	return t
}

// take consumes these words, if they are next.
func (p *parser) take(words ...string) bool {
	for i, w := range words {
		if p.at+i >= len(p.tokens) || !strings.EqualFold(p.tokens[p.at+i], w) {
			return false
		}
	}
	p.at += len(words)
	return true
}

func (p *parser) expect(words ...string) {
	if !p.take(words...) {
		p.fail()
	}
}

// keywords cannot be names, so that a missing name or alias is noticed.
var keywords = regexp.MustCompile(`(?i)^(select|from|where|join|left|on|order|by|limit|offset|and|or|not|as|is|in|exists|null|true|false|with|set|values|into|desc|asc|right|full|cross|inner|natural|group|having|union|qualify)$`)

func (p *parser) isName() bool {
	t := p.peek()
	return t != "" && (t[0] == '_' || t[0]|0x20 >= 'a' && t[0]|0x20 <= 'z') && !keywords.MatchString(t)
}

func (p *parser) name() string {
	if !p.isName() {
		p.fail()
	}
	return strings.ToLower(p.next())
}

func (p *parser) list(one func()) {
	for one(); p.take(","); {
		one()
	}
}

func (p *parser) statement() *statement {
	switch {
	case p.take("begin"):
		return &statement{kind: "begin"}
	case p.take("commit"):
		return &statement{kind: "commit"}
	case p.take("rollback"):
		return &statement{kind: "rollback"}
	case p.take("insert", "into"):
		return p.insert()
	case p.take("update"):
		return p.update()
	case p.take("delete", "from"):
		st := &statement{kind: "write", writes: Delete, table: p.name()}
		p.where(st)
		return st
	case p.take("create", "table"):
		st := &statement{kind: "create", ifMissing: p.take("if", "not", "exists"), table: p.name()}
		p.expect("(")
		p.list(func() { st.defined = append(st.defined, p.column()) })
		p.expect(")")
		p.comment()
		return st
	case p.take("alter", "table"):
		st := &statement{kind: "alter", table: p.name()}
		p.expect("add", "column")
		st.ifMissing = p.take("if", "not", "exists")
		st.defined = []column{p.column()}
		return st
	case p.take("drop", "table"):
		return &statement{kind: "drop", ifMissing: p.take("if", "exists"), table: p.name()}
	case p.take("show"):
		return p.show()
	default:
		return &statement{kind: "select", query: p.query()}
	}
}

func (p *parser) insert() *statement {
	st := &statement{kind: "write", writes: Insert, table: p.name()}
	p.expect("(")
	p.list(func() { st.columns = append(st.columns, p.name()) })
	p.expect(")")
	if !p.take("values") {
		st.query = p.query()
		return st
	}
	st.query = &query{}
	p.expect("(")
	p.list(func() { st.query.items = append(st.query.items, item{value: p.expr()}) })
	p.expect(")")
	return st
}

func (p *parser) update() *statement {
	st := &statement{kind: "write", writes: Update, table: p.name()}
	p.expect("set")
	p.list(func() {
		st.columns = append(st.columns, p.name())
		p.expect("=")
		st.values = append(st.values, p.expr())
	})
	p.where(st)
	return st
}

func (p *parser) where(st *statement) {
	if p.take("where") {
		st.where = p.expr()
	}
}

func (p *parser) show() *statement {
	st := &statement{kind: "show"}
	switch {
	case p.take("tables", "in", "schema"):
		st.table = "tables"
		p.name()
	case p.take("columns", "in", "schema"):
		st.table = "columns"
		p.name()
	case p.take("parameters", "like", "'READ_CONSISTENCY_MODE'", "in", "account"):
		st.table = "parameters"
	default:
		p.fail()
	}
	return st
}

// column parses a column's definition.
func (p *parser) column() column {
	c := column{name: p.name()}
	c.kind, c.length = p.kind()
	for {
		switch {
		case p.take("not", "null"):
			c.required = true
		case p.comment():
		default:
			return c
		}
	}
}

// kind parses a type, with the length of a text.
func (p *parser) kind() (string, int) {
	kind, length := strings.ToUpper(p.next()), 0
	if !slices.Contains([]string{"VARCHAR", "NUMBER", "BOOLEAN", "TIMESTAMP_NTZ"}, kind) {
		p.at--
		p.fail()
	}
	if p.take("(") {
		length = int(p.number())
		if p.take(",") {
			p.number()
		}
		p.expect(")")
	}
	return kind, length
}

func (p *parser) comment() bool {
	if !p.take("comment") {
		return false
	}
	p.take("=")
	if !strings.HasPrefix(p.peek(), "'") {
		p.fail()
	}
	p.next()
	return true
}

func (p *parser) number() int64 {
	n, err := strconv.ParseInt(p.peek(), 10, 64)
	if err != nil {
		p.fail()
	}
	p.next()
	return n
}

// query is a SELECT.
type query struct {
	with          []with
	items         []item
	from          *source
	joins         []join
	where         expr
	order         []order
	limit, offset expr
}

type with struct {
	name  string
	query *query
}

// item is a part of the select list; star is * of an alias, or of everything.
type item struct {
	value expr
	name  string
	star  bool
	of    string
}

type source struct {
	name, alias string
	query       *query // of a subquery
}

type join struct {
	source *source
	left   bool
	on     expr
}

type order struct {
	by         expr
	descending bool
}

func (p *parser) query() *query {
	q := &query{}
	if p.take("with") {
		p.list(func() {
			w := with{name: p.name()}
			p.expect("as", "(")
			w.query = p.query()
			p.expect(")")
			q.with = append(q.with, w)
		})
	}
	p.expect("select")
	p.list(func() { q.items = append(q.items, p.item()) })
	if p.take("from") {
		q.from = p.source()
		for {
			left := p.take("left", "join")
			if !left && !p.take("join") {
				break
			}
			j := join{source: p.source(), left: left}
			p.expect("on")
			j.on = p.expr()
			q.joins = append(q.joins, j)
		}
	} else if slices.ContainsFunc(q.items, func(i item) bool { return i.star }) {
		p.fail() // of what?
	}
	if p.take("where") {
		q.where = p.expr()
	}
	if p.take("order", "by") {
		p.list(func() {
			o := order{by: p.expr()}
			o.descending = p.take("desc")
			q.order = append(q.order, o)
		})
	}
	if p.take("limit") {
		q.limit = p.expr()
	}
	if p.take("offset") {
		q.offset = p.expr()
	}
	return q
}

func (p *parser) item() item {
	if p.take("*") {
		return item{star: true}
	}
	if p.isName() && p.at+2 < len(p.tokens) && p.tokens[p.at+1] == "." && p.tokens[p.at+2] == "*" {
		i := item{star: true, of: p.name()}
		p.expect(".", "*")
		return i
	}
	i := item{value: p.expr()}
	if c, ok := i.value.(columnRef); ok {
		i.name = c.name
	}
	if p.take("as") {
		i.name = p.name()
	}
	return i
}

func (p *parser) source() *source {
	s := &source{}
	if p.take("(") {
		s.query = p.query()
		p.expect(")")
	} else {
		s.name = p.name()
		s.alias = s.name
	}
	p.take("as")
	if p.isName() {
		s.alias = p.name()
	}
	return s
}
