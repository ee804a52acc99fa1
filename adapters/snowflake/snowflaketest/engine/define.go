package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func (st createTable) execute(s *Session, _ []any) (Result, error) {
	if _, exists := s.db.tables[st.table]; exists {
		if !st.ifNotExists {
			return Result{}, &Error{2002, "42710", fmt.Sprintf("Object '%s' already exists.", strings.ToUpper(st.table))}
		}
		return Result{}, nil
	}
	s.db.tables[st.table] = &table{columns: st.columns}
	return Result{}, nil
}

func (st addColumn) execute(s *Session, _ []any) (Result, error) {
	t, err := s.db.table(st.table)
	if err != nil {
		return Result{}, err
	}
	if _, err := t.place(st.column.name); err == nil {
		return Result{}, nil
	}
	t.columns = append(slices.Clone(t.columns), st.column)
	widen := func(v *version) {
		if v.row != nil {
			v.row = append(slices.Clone(v.row), nil)
		}
	}
	for _, r := range t.records {
		for i := range r.versions {
			widen(&r.versions[i])
		}
		if r.pending != nil {
			pending := *r.pending // clones of the database share it
			widen(&pending)
			r.pending = &pending
		}
	}
	return Result{}, nil
}

func (st dropTable) execute(s *Session, _ []any) (Result, error) {
	if _, err := s.db.table(st.table); err != nil {
		return Result{}, err
	}
	delete(s.db.tables, st.table)
	return Result{}, nil
}

// execute returns the columns of Snowflake's answer that the store reads.
func (what show) execute(s *Session, _ []any) (Result, error) {
	r := Result{Kind: Select}
	names := slices.Sorted(maps.Keys(s.db.tables))
	switch what {
	case "tables":
		r.Columns = []string{"name", "is_hybrid"}
		for _, name := range names {
			hybrid := "N"
			if s.db.rules.Unique[name] != "" {
				hybrid = "Y"
			}
			r.Rows = append(r.Rows, []any{strings.ToUpper(name), hybrid})
		}
	case "columns":
		r.Columns = []string{"table_name", "column_name"}
		for _, name := range names {
			for _, c := range s.db.tables[name].columns {
				r.Rows = append(r.Rows, []any{strings.ToUpper(name), strings.ToUpper(c.name)})
			}
		}
	case "parameters":
		mode := "GLOBAL"
		if s.db.rules.StaleSessions {
			mode = "SESSION"
		}
		r.Columns = []string{"key", "value"}
		r.Rows = [][]any{{"READ_CONSISTENCY_MODE", mode}}
	}
	return r, nil
}
