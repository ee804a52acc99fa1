package engine

import (
	"strings"
	"sync"
)

// statement is a parsed statement. It never changes.
type statement interface {
	execute(s *Session, args []any) (Result, error)
}

type (
	// transactionControl is one of the constants below.
	transactionControl string

	insert struct {
		table   string
		columns []string
		from    *query
	}
	update struct {
		table   string
		columns []string
		values  []expr
		where   expr // nil for every row
	}
	deletion struct {
		table string
		where expr // nil for every row
	}
	createTable struct {
		table       string
		columns     []column
		ifNotExists bool
	}
	// addColumn is ALTER TABLE … ADD COLUMN IF NOT EXISTS.
	addColumn struct {
		table  string
		column column
	}
	dropTable struct{ table string }

	// show is SHOW TABLES, COLUMNS, GRANTS, PARAMETERS or WAREHOUSES.
	show struct {
		what    string
		like    string // the name of a parameter or table
		account bool   // the parameter of the account, not of the session
	}
)

const (
	begin    transactionControl = "begin"
	commit   transactionControl = "commit"
	rollback transactionControl = "rollback"
)

var parsed sync.Map // text → statement

// parse returns the statement that sql holds. Errors: *Unknown.
func parse(sql string) (st statement, err error) {
	if known, ok := parsed.Load(sql); ok {
		return known.(statement), nil
	}
	defer func() {
		switch failure := recover().(type) {
		case nil:
			parsed.Store(sql, st)
		case *Unknown:
			st, err = nil, failure
		default:
			panic(failure)
		}
	}()
	p := &parser{tokens: tokenize(sql)}
	return p.statement(), nil
}

func (p *parser) statement() (st statement) {
	switch {
	case p.take("begin"), p.take("commit"), p.take("rollback"):
		st = transactionControl(strings.ToLower(p.tokens[0]))
	case p.take("insert"):
		st = p.insert()
	case p.take("update"):
		st = p.update()
	case p.take("delete"):
		st = p.deletion()
	case p.take("create"):
		st = p.createTable()
	case p.take("alter"):
		st = p.addColumn()
	case p.take("drop"):
		p.expect("table")
		st = dropTable{p.name()}
	case p.take("show"):
		st = p.show()
	case strings.EqualFold(p.peek(), "select"), strings.EqualFold(p.peek(), "with"):
		st = p.query()
	default:
		p.unknown()
	}
	p.end()
	return st
}

func (p *parser) insert() insert {
	p.expect("into")
	st := insert{table: p.name()}
	p.expect("(")
	p.list(func() { st.columns = append(st.columns, p.name()) })
	p.expect(")")
	switch {
	case p.take("values"):
		st.from = &query{}
		p.expect("(")
		p.list(func() { st.from.items = append(st.from.items, item{value: p.expr()}) })
		p.expect(")")
		p.end()
	case strings.EqualFold(p.peek(), "select"):
		st.from = p.query()
	default:
		p.unknown()
	}
	return st
}

func (p *parser) update() update {
	st := update{table: p.name()}
	p.expect("set")
	p.list(func() {
		st.columns = append(st.columns, p.name())
		p.expect("=")
		st.values = append(st.values, p.expr())
	})
	st.where = p.where()
	p.end()
	return st
}

func (p *parser) deletion() deletion {
	p.expect("from")
	st := deletion{table: p.name(), where: p.where()}
	p.end()
	return st
}

func (p *parser) where() expr {
	if p.take("where") {
		return p.expr()
	}
	return nil
}

func (p *parser) createTable() createTable {
	p.expect("table")
	st := createTable{ifNotExists: p.take("if", "not", "exists"), table: p.name()}
	p.expect("(")
	p.list(func() { st.columns = append(st.columns, p.column()) })
	p.expect(")")
	p.comment()
	p.end()
	return st
}

func (p *parser) addColumn() addColumn {
	p.expect("table")
	st := addColumn{table: p.name()}
	p.expect("add", "column", "if", "not", "exists")
	st.column = p.column()
	return st
}

// column parses the definition of a column. It ignores attributes that change no value and refuse no
// row. DEFAULT, AUTOINCREMENT, COLLATE, keys and policies do, so they are unknown.
func (p *parser) column() column {
	c := column{name: p.name(), kind: p.dataType()}
	for p.peek() != "," && !p.isEnd() {
		switch {
		case p.take("not", "null"):
			c.required = true
		case p.take("null"), p.comment():
		case p.take("tag", "("), p.take("with", "tag", "("):
			p.skipParentheses()
		default:
			p.unknown()
		}
	}
	return c
}

// comment consumes a COMMENT, if there is one.
func (p *parser) comment() bool {
	if !p.take("comment") {
		return false
	}
	p.take("=")
	p.text()
	return true
}

// dataType parses any type with any parameters.
func (p *parser) dataType() dataType {
	t := dataType{name: strings.ToUpper(p.name())}
	if p.take("precision") || p.take("varying") { // DOUBLE PRECISION, CHAR VARYING
		t.name += " " + strings.ToUpper(p.tokens[p.at-1])
	}
	if t.name == "TIMESTAMP_NTZ" {
		t.size = 9 // Snowflake documentation: the default precision is nanoseconds
	}
	if !p.take("(") {
		return t
	}
	if t.isKnown() {
		t.size = int(p.number())
		if p.take(",") {
			t.scale = int(p.number())
		}
	}
	p.skipParentheses()
	return t
}

func (p *parser) show() show {
	st := show{what: strings.ToLower(p.next())}
	switch st.what {
	case "tables", "columns":
		p.expect("in", "schema")
		p.name()
	case "grants":
		p.expect("on", "table")
		st.like = p.name()
	case "parameters":
		p.expect("like")
		st.like, st.account = p.text(), p.take("in", "account")
		if !st.account {
			p.expect("in", "session")
		}
	case "warehouses":
	default:
		p.at--
		p.unknown()
	}
	p.end()
	return st
}

// query is a SELECT.
type query struct {
	with   []with
	items  []item
	from   []join // the first element has no condition; empty if there is no FROM
	where  expr   // nil for every row
	group  []expr // the columns of GROUP BY; empty if there is none
	having expr   // nil for every group
	// qualify chooses rows by their number in a partition; nil for every row.
	qualify *qualify
	order   []order
	limit   *int64
	offset  int64
}

// qualify is QUALIFY ROW_NUMBER() OVER (PARTITION BY … ORDER BY …), compared with a value.
type qualify struct {
	partition []expr
	order     []order
	operator  string
	value     expr
}

// with is a query with a name.
type with struct {
	name  string
	query *query
}

// item is an element of the select list. Its name is empty if the statement gives it none.
type item struct {
	value expr
	name  string
}

// join is a source of rows and how its rows join those of the sources before it.
type join struct {
	source
	left bool // LEFT JOIN
	on   expr // nil for every row
}

// source is a table, or a query of WITH.
type source struct{ name, alias string }

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
	if clauseWord.MatchString(p.peek()) {
		p.unknown()
	}
	p.list(func() { q.items = append(q.items, p.item()) })
	if p.take("from") {
		q.from = append(q.from, join{source: p.source()})
		q.from = append(q.from, p.joins()...)
	}
	q.where = p.where()
	if p.take("group", "by") {
		p.list(func() { q.group = append(q.group, columnRef{"", p.name()}) })
		if p.take("having") {
			q.having = p.expr()
		}
	} else {
		q.qualify = p.qualify()
		q.order = p.order()
	}
	if p.take("limit") {
		limit := p.number()
		q.limit = &limit
	}
	if p.take("offset") {
		q.offset = p.number()
	}
	if !p.isEnd() {
		p.unknown()
	}
	return q
}

func (p *parser) qualify() *qualify {
	if !p.take("qualify", "row_number", "(", ")", "over", "(", "partition", "by") {
		return nil
	}
	q := &qualify{}
	p.list(func() { q.partition = append(q.partition, p.expr()) })
	q.order = p.order()
	p.expect(")")
	if q.operator = p.next(); comparisons[q.operator] == nil {
		p.at--
		p.unknown()
	}
	q.value = p.expr()
	return q
}

func (p *parser) order() (all []order) {
	if p.take("order", "by") {
		p.list(func() { all = append(all, order{by: p.expr(), descending: p.take("desc")}) })
	}
	return all
}

func (p *parser) joins() (joins []join) {
	for {
		left := p.take("left")
		if left {
			p.expect("join")
		} else if !p.take("join") {
			return joins
		}
		j := join{source: p.source(), left: left}
		p.expect("on")
		j.on = p.expr()
		joins = append(joins, j)
	}
}

func (p *parser) item() item {
	i := item{value: p.expr()}
	if c, ok := i.value.(columnRef); ok {
		i.name = c.name
	}
	if p.take("as") {
		i.name = p.name()
	}
	return i
}

func (p *parser) source() source {
	s := source{name: p.name()}
	s.alias = s.name
	if p.isName() {
		s.alias = p.name()
	}
	return s
}
