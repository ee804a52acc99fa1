package engine

import (
	"maps"
	"slices"
	"strings"
)

// relation is rows with the names of their columns.
type relation struct {
	columns []string
	rows    [][]any
}

func (s *Session) query(st *statement, args []any) (Result, error) {
	commits := s.db.commits
	if s.db.rules.StaleSessions {
		commits = s.opened
	}
	r, err := st.query.run(&env{session: s, commits: commits, args: args})
	if err != nil {
		return Result{}, err
	}
	names := make([]string, len(r.columns))
	for i, name := range r.columns {
		names[i] = strings.ToUpper(name)
	}
	return Result{Kind: Select, Columns: names, Rows: r.rows}, nil
}

// run executes a SELECT; e is what surrounds it.
func (q *query) run(e *env) (relation, error) {
	if len(q.with) > 0 {
		outer := *e
		outer.tables = maps.Clone(e.tables)
		if outer.tables == nil {
			outer.tables = map[string]relation{}
		}
		for _, w := range q.with {
			r, err := w.query.run(&outer)
			if err != nil {
				return relation{}, err
			}
			outer.tables[w.name] = r
		}
		e = &outer
	}
	found, err := q.sources(e)
	if err != nil {
		return relation{}, err
	}
	if err := q.resolve(e); err != nil {
		return relation{}, err
	}
	if q.where != nil {
		if found, err = filter(e, found, q.where); err != nil {
			return relation{}, err
		}
	}
	if slices.ContainsFunc(q.items, func(i item) bool { c, ok := i.value.(call); return ok && c.name == "count" }) {
		return q.count(e, found)
	}
	if err := q.sort(e, found); err != nil {
		return relation{}, err
	}
	if found, err = q.cut(e, found); err != nil {
		return relation{}, err
	}
	return q.project(e, found)
}

// sources returns the rows of FROM and its joins: a scope for each, which holds one row of every
// source. Without FROM it is one of nothing.
func (q *query) sources(e *env) ([]*scope, error) {
	if q.from == nil {
		return []*scope{nil}, nil
	}
	first, err := q.from.rows(e)
	if err != nil {
		return nil, err
	}
	var found []*scope
	for _, row := range first.rows {
		found = append(found, q.from.scope(first, row, nil))
	}
	for _, j := range q.joins {
		right, err := j.source.rows(e)
		if err != nil {
			return nil, err
		}
		var joined []*scope
		for _, left := range found {
			var candidates []*scope
			for _, row := range right.rows {
				candidates = append(candidates, append2(left, j.source.scope(right, row, nil)))
			}
			matching, err := filter(e, candidates, j.on)
			if err != nil {
				return nil, err
			}
			if len(matching) == 0 && j.left {
				matching = []*scope{append2(left, j.source.scope(right, nil, nil))}
			}
			joined = append(joined, matching...)
		}
		found = joined
	}
	return found, nil
}

// resolve reports names that are not known, which no row would do where there is none.
func (q *query) resolve(e *env) error {
	var blank *scope
	if q.from != nil {
		sources := []*source{q.from}
		for _, j := range q.joins {
			sources = append(sources, j.source)
		}
		for _, s := range sources {
			r, err := s.rows(e)
			if err != nil {
				return err
			}
			blank = append2(blank, s.scope(r, nil, nil))
		}
	}
	e = e.within(blank)
	exprs := []expr{q.where}
	for _, j := range q.joins {
		exprs = append(exprs, j.on)
	}
	for _, o := range q.order {
		exprs = append(exprs, o.by)
	}
	for _, i := range q.items {
		if i.star {
			if i.of != "" && !blank.knows(i.of) {
				return noSuchColumn(i.of)
			}
			continue
		}
		if c, ok := i.value.(call); ok && c.name == "count" {
			exprs = append(exprs, c.args...)
			continue
		}
		exprs = append(exprs, i.value)
	}
	return unknown(e, exprs...)
}

// append2 returns the chain of scopes with one more at its end, and leaves the old one alone.
func append2(chain, last *scope) *scope {
	if chain == nil {
		return last
	}
	head := *chain
	head.next = append2(chain.next, last)
	return &head
}

func (s *source) scope(r relation, row []any, next *scope) *scope {
	return &scope{alias: s.alias, columns: r.columns, row: row, next: next}
}

func (s *source) rows(e *env) (relation, error) {
	if s.query != nil {
		return s.query.run(e)
	}
	if r, ok := e.tables[s.name]; ok {
		return r, nil
	}
	t, err := e.session.db.table(s.name)
	if err != nil {
		return relation{}, err
	}
	r := relation{columns: t.names()}
	for _, record := range t.records {
		if row := record.at(e.session.number, e.commits); row != nil {
			r.rows = append(r.rows, row)
		}
	}
	return r, nil
}

func filter(e *env, found []*scope, condition expr) ([]*scope, error) {
	var kept []*scope
	for _, s := range found {
		v, err := condition.eval(e.within(s))
		if err != nil {
			return nil, err
		}
		if v == true {
			kept = append(kept, s)
		}
	}
	return kept, nil
}

// count computes a select list that counts: one row for all.
func (q *query) count(e *env, found []*scope) (relation, error) {
	r := relation{rows: [][]any{nil}}
	for _, i := range q.items {
		c, ok := i.value.(call)
		if !ok || c.name != "count" {
			return relation{}, &Error{904, "42000", "a select list that counts can hold nothing else here"}
		}
		n := int64(0)
		for _, s := range found {
			if len(c.args) == 0 {
				n++
				continue
			}
			v, err := c.args[0].eval(e.within(s))
			if err != nil {
				return relation{}, err
			}
			if v != nil {
				n++
			}
		}
		r.columns = append(r.columns, i.name)
		r.rows[0] = append(r.rows[0], n)
	}
	return r, nil
}

func (q *query) sort(e *env, found []*scope) error {
	var failed error
	slices.SortStableFunc(found, func(a, b *scope) int {
		for _, o := range q.order {
			x, err := o.by.eval(e.within(a))
			if err != nil {
				failed = err
			}
			y, err := o.by.eval(e.within(b))
			if err != nil {
				failed = err
			}
			c := 0
			switch {
			case x != nil && y != nil:
				if c, err = compare(x, y); err != nil {
					failed = err
				}
			case x != nil: // NULL is greater than anything
				c = -1
			case y != nil:
				c = 1
			}
			if o.descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return failed
}

func (q *query) cut(e *env, found []*scope) ([]*scope, error) {
	for _, bound := range []struct {
		by  expr
		cut func(n int) []*scope
	}{
		{q.offset, func(n int) []*scope { return found[n:] }},
		{q.limit, func(n int) []*scope { return found[:n] }},
	} {
		if bound.by == nil {
			continue
		}
		v, err := bound.by.eval(e)
		if err != nil {
			return nil, err
		}
		n, ok := v.(int64)
		if !ok || n < 0 {
			return nil, &Error{1003, "42000", "LIMIT and OFFSET take whole numbers"}
		}
		found = bound.cut(min(int(n), len(found)))
	}
	return found, nil
}

func (q *query) project(e *env, found []*scope) (relation, error) {
	var r relation
	for _, s := range found {
		var row []any
		r.columns = nil
		for _, i := range q.items {
			if i.star {
				for each := s; each != nil; each = each.next {
					if i.of != "" && i.of != each.alias {
						continue
					}
					r.columns = append(r.columns, each.columns...)
					if each.row == nil {
						row = append(row, make([]any, len(each.columns))...)
					} else {
						row = append(row, each.row...)
					}
				}
				continue
			}
			v, err := i.value.eval(e.within(s))
			if err != nil {
				return relation{}, err
			}
			r.columns = append(r.columns, i.name)
			row = append(row, v)
		}
		r.rows = append(r.rows, row)
	}
	if len(found) == 0 {
		return q.headers(e)
	}
	return r, nil
}

// headers returns the names of the columns of an empty result.
func (q *query) headers(e *env) (relation, error) {
	var r relation
	for _, i := range q.items {
		if !i.star {
			r.columns = append(r.columns, i.name)
			continue
		}
		sources := []*source{q.from}
		for _, j := range q.joins {
			sources = append(sources, j.source)
		}
		for _, s := range sources {
			if i.of != "" && i.of != s.alias {
				continue
			}
			from, err := s.rows(e)
			if err != nil {
				return relation{}, err
			}
			r.columns = append(r.columns, from.columns...)
		}
	}
	return r, nil
}
