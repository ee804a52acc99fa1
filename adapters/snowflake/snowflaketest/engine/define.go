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
func (st show) execute(s *Session, _ []any) (Result, error) {
	r := Result{Kind: Select}
	names := slices.Sorted(maps.Keys(s.db.tables))
	switch st.what {
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
	case "grants":
		r.Columns = []string{"privilege", "grantee_name"}
		for _, privilege := range s.db.rules.granted() {
			r.Rows = append(r.Rows, []any{privilege, Role})
		}
	case "warehouses":
		r.Columns = []string{"name", "state", "is_current"}
		state := "STARTED"
		if s.db.rules.Suspended {
			state = "SUSPENDED"
		}
		r.Rows = [][]any{{"ANOTHER_WH", "STARTED", "N"}, {"ECHO_WH", state, "Y"}}
	case "parameters":
		set := s.parameters
		if st.account {
			set = s.db.rules.account()
		}
		r.Columns = []string{"key", "value"}
		if value, ok := set[st.like]; ok {
			r.Rows = [][]any{{st.like, value}}
		}
	}
	return r, nil
}

// account returns the parameters of the account that this package knows.
func (r Rules) account() map[string]string {
	// ALLOW_BIND_VALUES_ACCESS has Snowflake's default.
	set := map[string]string{"READ_CONSISTENCY_MODE": "GLOBAL", "ALLOW_BIND_VALUES_ACCESS": "true"}
	if r.StaleSessions {
		set["READ_CONSISTENCY_MODE"] = "SESSION"
	}
	maps.Copy(set, r.Account)
	return set
}

// granted returns the privileges on each table.
func (r Rules) granted() []string {
	if r.Granted == nil {
		return []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	}
	return r.Granted
}
