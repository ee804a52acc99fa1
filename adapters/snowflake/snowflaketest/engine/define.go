package engine

import (
	"maps"
	"slices"
	"strings"
)

// define executes CREATE TABLE, ALTER TABLE … ADD COLUMN and DROP TABLE.
func (db *DB) define(st *statement) (Result, error) {
	t, exists := db.tables[st.table]
	switch st.kind {
	case "create":
		if exists && !st.ifMissing {
			return Result{}, &Error{2002, "42710", "Object '" + strings.ToUpper(st.table) + "' already exists."}
		}
		if !exists {
			db.tables[st.table] = &table{columns: st.defined}
		}
	case "alter":
		if !exists {
			_, err := db.table(st.table)
			return Result{}, err
		}
		for _, c := range st.defined {
			if _, err := t.index(c.name); err == nil {
				if st.ifMissing {
					continue
				}
				return Result{}, &Error{2028, "42711", "column '" + strings.ToUpper(c.name) + "' already exists"}
			}
			t.columns = append(slices.Clone(t.columns), c)
			for _, r := range t.records {
				for i, v := range r.versions {
					if v.row != nil {
						r.versions[i].row = append(slices.Clone(v.row), nil)
					}
				}
				if p := r.pending; p != nil && p.row != nil {
					r.pending = &version{session: p.session, row: append(slices.Clone(p.row), nil)}
				}
			}
		}
	case "drop":
		if !exists && !st.ifMissing {
			_, err := db.table(st.table)
			return Result{}, err
		}
		delete(db.tables, st.table)
	}
	return Result{}, nil
}

// show executes the SHOW statements, with the columns of Snowflake's answers that we read.
func (db *DB) show(st *statement) (Result, error) {
	r := Result{Kind: Select}
	switch st.table {
	case "tables":
		r.Columns = []string{"name", "is_hybrid"}
		for _, name := range slices.Sorted(maps.Keys(db.tables)) {
			hybrid := "N"
			if db.rules.Unique[name] != "" {
				hybrid = "Y"
			}
			r.Rows = append(r.Rows, []any{strings.ToUpper(name), hybrid})
		}
	case "columns":
		r.Columns = []string{"table_name", "column_name"}
		for _, name := range slices.Sorted(maps.Keys(db.tables)) {
			for _, c := range db.tables[name].columns {
				r.Rows = append(r.Rows, []any{strings.ToUpper(name), strings.ToUpper(c.name)})
			}
		}
	case "parameters":
		value := "GLOBAL"
		if db.rules.StaleSessions {
			value = "SESSION"
		}
		r.Columns = []string{"key", "value"}
		r.Rows = [][]any{{"READ_CONSISTENCY_MODE", value}}
	}
	return r, nil
}
