package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// relation is rows with the names of their columns.
type relation struct {
	columns []string
	rows    [][]any
}

func (q *query) execute(s *Session, args []any) (Result, error) {
	commits := s.db.commits
	if s.db.rules.StaleSessions {
		commits = s.opened
	}
	r, err := q.run(&env{session: s, commits: commits, args: args})
	if err != nil {
		return Result{}, err
	}
	names := make([]string, len(r.columns))
	for i, name := range r.columns {
		names[i] = strings.ToUpper(name)
	}
	return Result{Kind: Select, Columns: names, Rows: r.rows}, nil
}

// run executes the query inside e.
func (q *query) run(e *env) (relation, error) {
	e, err := q.withQueries(e)
	if err != nil {
		return relation{}, err
	}
	found, blank, err := q.join(e)
	if err != nil {
		return relation{}, err
	}
	if err := checkNames(e.within(blank), q.exprs()...); err != nil {
		return relation{}, err
	}
	if q.where != nil {
		if found, err = filter(e, found, q.where); err != nil {
			return relation{}, err
		}
	}
	if len(q.group) > 0 {
		return q.aggregateGroups(e, found)
	}
	if slices.ContainsFunc(q.items, item.counts) {
		return q.aggregate(e, found)
	}
	if q.qualify != nil {
		if found, err = q.qualify.filter(e, found); err != nil {
			return relation{}, err
		}
	}
	if err := sortRows(e, q.order, found); err != nil {
		return relation{}, err
	}
	found = found[min(int(q.offset), len(found)):]
	if q.limit != nil {
		found = found[:min(int(*q.limit), len(found))]
	}
	return q.project(e, found)
}

// withQueries executes the queries of WITH and returns an environment that holds their results.
func (q *query) withQueries(e *env) (*env, error) {
	if len(q.with) == 0 {
		return e, nil
	}
	result := *e
	result.with = maps.Clone(e.with)
	if result.with == nil {
		result.with = map[string]relation{}
	}
	for _, w := range q.with {
		r, err := w.query.run(&result)
		if err != nil {
			return nil, err
		}
		result.with[w.name] = r
	}
	return &result, nil
}

// join returns the rows of FROM and its joins, each as a scope, and the same without values. Without
// FROM there is one row without columns.
func (q *query) join(e *env) (found []scope, blank scope, err error) {
	found = []scope{nil}
	for _, j := range q.from {
		r, err := j.rows(e)
		if err != nil {
			return nil, nil, err
		}
		var joined []scope
		for _, left := range found {
			candidates := make([]scope, len(r.rows))
			for i, values := range r.rows {
				candidates[i] = left.and(sourceRow{j.alias, r.columns, values})
			}
			if j.on != nil {
				if candidates, err = filter(e, candidates, j.on); err != nil {
					return nil, nil, err
				}
			}
			if len(candidates) == 0 && j.left {
				candidates = []scope{left.and(sourceRow{j.alias, r.columns, nil})}
			}
			joined = append(joined, candidates...)
		}
		found = joined
		blank = blank.and(sourceRow{j.alias, r.columns, nil})
	}
	return found, blank, nil
}

// and returns a copy of s with one more row.
func (s scope) and(row sourceRow) scope { return append(s[:len(s):len(s)], row) }

// rows returns the rows of a source as e sees them.
func (s source) rows(e *env) (relation, error) {
	if r, ok := e.with[s.name]; ok {
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

// exprs returns all expressions of the query, except those of its subqueries.
func (q *query) exprs() []expr {
	exprs := append([]expr{q.where, q.having}, q.group...)
	for _, j := range q.from {
		exprs = append(exprs, j.on)
	}
	orders := q.order
	if q.qualify != nil {
		exprs = append(append(exprs, q.qualify.value), q.qualify.partition...)
		orders = slices.Concat(q.qualify.order, orders)
	}
	for _, o := range orders {
		exprs = append(exprs, o.by)
	}
	for _, i := range q.items {
		if c, ok := i.value.(count); ok {
			exprs = append(exprs, c.operand)
		} else {
			exprs = append(exprs, i.value)
		}
	}
	return exprs
}

// filter returns the rows for which condition is true.
func filter(e *env, rows []scope, condition expr) ([]scope, error) {
	var kept []scope
	for _, row := range rows {
		v, err := condition.eval(e.within(row))
		if err != nil {
			return nil, err
		}
		if v == true {
			kept = append(kept, row)
		}
	}
	return kept, nil
}

// counts reports whether i is a COUNT.
func (i item) counts() bool {
	_, ok := i.value.(count)
	return ok
}

// aggregate returns the one row of a select list of COUNTs.
func (q *query) aggregate(e *env, rows []scope) (relation, error) {
	for _, i := range q.items {
		if !i.counts() {
			return relation{}, NewUnknown("COUNT beside other elements of a select list")
		}
	}
	all := e.within(nil)
	all.group = &rows
	return q.projectGroups([]*env{all})
}

// aggregateGroups returns a row for each group of rows that GROUP BY makes and HAVING keeps.
func (q *query) aggregateGroups(e *env, rows []scope) (relation, error) {
	var groups []*env
	known := map[string]*env{}
	for _, row := range rows {
		at := e.within(row)
		key, err := keyOf(at, q.group)
		if err != nil {
			return relation{}, err
		}
		if known[key] == nil {
			at.group = &[]scope{}
			known[key], groups = at, append(groups, at)
		}
		*known[key].group = append(*known[key].group, row)
	}
	var kept []*env
	for _, g := range groups {
		keep := any(true)
		if q.having != nil {
			var err error
			if keep, err = q.having.eval(g); err != nil {
				return relation{}, err
			}
		}
		if keep == true {
			kept = append(kept, g)
		}
	}
	for _, i := range q.items {
		if !i.counts() && !slices.Contains(q.group, i.value) {
			return relation{}, NewUnknown("an element of a select list beside GROUP BY")
		}
	}
	return q.projectGroups(kept)
}

// keyOf returns a text that is the same for two rows only if the expressions have the same values.
func keyOf(e *env, exprs []expr) (key string, err error) {
	for _, x := range exprs {
		v, err := x.eval(e)
		if err != nil {
			return "", err
		}
		key += fmt.Sprintf("%#v,", v)
	}
	return key, nil
}

// filter returns the rows whose number in their partition compares as q says. Rows that are equal in the order of q have
// numbers in the order of rows.
func (q *qualify) filter(e *env, rows []scope) ([]scope, error) {
	rows = slices.Clone(rows)
	if err := sortRows(e, q.order, rows); err != nil {
		return nil, err
	}
	numbers := map[string]int64{} // the last number in each partition
	var kept []scope
	for _, row := range rows {
		at := e.within(row)
		key, err := keyOf(at, q.partition)
		if err != nil {
			return nil, err
		}
		numbers[key]++
		holds, err := binary{q.operator, literal{numbers[key]}, q.value}.eval(at)
		if err != nil {
			return nil, err
		}
		if holds == true {
			kept = append(kept, row)
		}
	}
	return kept, nil
}

// projectGroups returns the select list of each group.
func (q *query) projectGroups(groups []*env) (relation, error) {
	var r relation
	for _, i := range q.items {
		r.columns = append(r.columns, i.name)
	}
	for _, g := range groups {
		values := make([]any, len(q.items))
		for k, i := range q.items {
			var err error
			if values[k], err = i.value.eval(g); err != nil {
				return relation{}, err
			}
		}
		r.rows = append(r.rows, values)
	}
	return r, nil
}

func sortRows(e *env, orders []order, rows []scope) (err error) {
	slices.SortStableFunc(rows, func(a, b scope) int {
		for _, o := range orders {
			order, failure := o.compare(e, a, b)
			if failure != nil {
				err = failure
			}
			if order != 0 {
				return order
			}
		}
		return 0
	})
	return err
}

// compare orders two rows. NULL is greater than any value, unless DEFAULT_NULL_ORDERING is FIRST.
func (o order) compare(e *env, a, b scope) (int, error) {
	x, err := o.by.eval(e.within(a))
	if err != nil {
		return 0, err
	}
	y, err := o.by.eval(e.within(b))
	if err != nil {
		return 0, err
	}
	result := 0
	switch {
	case x != nil && y != nil:
		result, err = compare(x, y)
	case e.session.is("DEFAULT_NULL_ORDERING", "first"):
		result = compareBools(x != nil, y != nil)
	default:
		result = compareBools(x == nil, y == nil)
	}
	if o.descending {
		result = -result
	}
	return result, err
}

// project returns the select list of each row.
func (q *query) project(e *env, rows []scope) (relation, error) {
	var r relation
	for _, i := range q.items {
		r.columns = append(r.columns, i.name)
	}
	for _, row := range rows {
		values := make([]any, len(q.items))
		for i, item := range q.items {
			var err error
			if values[i], err = item.value.eval(e.within(row)); err != nil {
				return relation{}, err
			}
		}
		r.rows = append(r.rows, values)
	}
	return r, nil
}
