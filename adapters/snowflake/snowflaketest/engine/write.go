package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// write executes INSERT, UPDATE and DELETE. It changes nothing before it has all the locks.
func (s *Session) write(st *statement, args []any, waited bool) (Result, error) {
	t, err := s.db.table(st.table)
	if err != nil {
		return Result{}, err
	}
	now := s.db.commits
	others := now // as of when other rows are read
	switch {
	case s.db.rules.StaleSessions:
		others = s.opened
	case s.db.rules.SnapshotSubqueries && waited:
		others = s.waiting.began
	}
	e := &env{session: s, commits: others, args: args}

	var changes []change
	result := Result{Kind: st.writes}
	if st.writes == Insert {
		changes, err = s.inserted(st, t, e)
	} else {
		changes, err = s.changed(st, t, e, now)
	}
	if err != nil {
		return Result{}, err
	}
	if err := s.unique(st.table, t, changes); err != nil {
		return Result{}, err
	}
	for _, c := range changes {
		if c.record == nil {
			c.record = &record{}
			t.records = append(t.records, c.record)
		}
		v := version{session: s.number, row: c.row}
		if s.in {
			c.record.pending = &v
		} else {
			c.record.settle(s.db, v)
		}
	}
	if !s.in && len(changes) > 0 {
		s.db.commits++
	}
	result.Affected = int64(len(changes))
	return result, nil
}

// change is what becomes of a record; nil stands for a new one.
type change struct {
	record *record
	row    []any
}

// changed returns what UPDATE and DELETE do, or ErrLocked. The rows that they change are their
// newest versions.
func (s *Session) changed(st *statement, t *table, e *env, now int) ([]change, error) {
	for _, name := range st.columns {
		if _, err := t.index(name); err != nil {
			return nil, err
		}
	}
	blank := e.within(&scope{alias: st.table, table: st.table, columns: t.names()})
	if err := unknown(blank, append([]expr{st.where}, st.values...)...); err != nil {
		return nil, err
	}
	var changes []change
	for _, r := range t.records {
		row := r.at(s.number, now)
		if row == nil {
			continue
		}
		e := e.within(&scope{alias: st.table, table: st.table, columns: t.names(), row: row})
		if st.where != nil {
			holds, err := st.where.eval(e)
			if err != nil {
				return nil, err
			}
			if holds != true {
				continue
			}
		}
		if r.pending != nil && r.pending.session != s.number {
			return nil, ErrLocked
		}
		var next []any
		if st.writes == Update {
			next = slices.Clone(row)
			for i, name := range st.columns {
				at, err := t.index(name)
				if err != nil {
					return nil, err
				}
				v, err := st.values[i].eval(e)
				if err == nil {
					next[at], err = t.columns[at].hold(v)
				}
				if err != nil {
					return nil, err
				}
			}
		}
		changes = append(changes, change{r, next})
	}
	return changes, nil
}

func (s *Session) inserted(st *statement, t *table, e *env) ([]change, error) {
	from, err := st.query.run(e)
	if err != nil {
		return nil, err
	}
	for _, name := range st.columns {
		if _, err := t.index(name); err != nil {
			return nil, err
		}
	}
	var changes []change
	for _, values := range from.rows {
		if len(values) != len(st.columns) {
			return nil, &Error{2020, "21S01", "Insert value list does not match column list"}
		}
		row := make([]any, len(t.columns))
		for i, name := range st.columns {
			at, err := t.index(name)
			if err != nil {
				return nil, err
			}
			row[at] = values[i]
		}
		for at, c := range t.columns {
			if row[at], err = c.hold(row[at]); err != nil {
				return nil, err
			}
		}
		changes = append(changes, change{nil, row})
	}
	return changes, nil
}

// unique refuses what would be there twice in a hybrid table.
func (s *Session) unique(name string, t *table, changes []change) error {
	key := s.db.rules.Unique[name]
	if key == "" {
		return nil
	}
	at, err := t.index(key)
	if err != nil {
		return err
	}
	seen := map[any]bool{}
	duplicate := &Error{200001, "22000", fmt.Sprintf("Duplicate key value violates unique constraint %q", strings.ToUpper(name+"_"+key))}
	for _, c := range changes {
		if c.row != nil {
			if seen[c.row[at]] {
				return duplicate
			}
			seen[c.row[at]] = true
		}
		for _, r := range t.records {
			if c.row == nil || r == c.record {
				continue
			}
			if row := r.at(s.number, s.db.commits); row != nil && row[at] == c.row[at] {
				return duplicate
			}
			if p := r.pending; p != nil && p.session != s.number && p.row != nil && p.row[at] == c.row[at] {
				return ErrLocked
			}
		}
	}
	return nil
}

// hold returns v as the column keeps it.
func (c column) hold(v any) (any, error) {
	if v == nil {
		if c.required {
			return nil, &Error{100072, "22000", fmt.Sprintf("NULL result in a non-nullable column %q", strings.ToUpper(c.name))}
		}
		return nil, nil
	}
	ok := false
	switch c.kind {
	case "VARCHAR":
		var text string
		if text, ok = v.(string); ok && c.length > 0 && utf8.RuneCountInString(text) > c.length {
			return nil, &Error{100078, "22000", fmt.Sprintf("String is too long for %s(%d)", c.kind, c.length)}
		}
	case "NUMBER":
		_, ok = v.(int64)
	case "BOOLEAN":
		_, ok = v.(bool)
	case "TIMESTAMP_NTZ":
		var t time.Time
		if t, ok = v.(time.Time); ok {
			v = t.UTC().Truncate(time.Microsecond)
		}
	}
	if !ok {
		return nil, &Error{2023, "22000", fmt.Sprintf("Expression type does not match column data type, expecting %s for %s", c.kind, strings.ToUpper(c.name))}
	}
	return v, nil
}

func (db *DB) table(name string) (*table, error) {
	t, ok := db.tables[name]
	if !ok {
		return nil, &Error{2003, "42S02", fmt.Sprintf("Object '%s' does not exist or not authorized.", strings.ToUpper(name))}
	}
	return t, nil
}

func (t *table) names() []string {
	names := make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i] = c.name
	}
	return names
}

func (t *table) index(name string) (int, error) {
	at := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	if at < 0 {
		return 0, noSuchColumn(name)
	}
	return at, nil
}

func noSuchColumn(name string) error {
	return &Error{904, "42000", fmt.Sprintf("invalid identifier '%s'", strings.ToUpper(name))}
}
