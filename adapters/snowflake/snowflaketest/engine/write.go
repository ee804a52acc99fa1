package engine

import (
	"fmt"
	"slices"
	"strings"
)

// change is what a statement does to a record.
type change struct {
	record *record // nil for a new one
	row    []any   // nil to delete it
}

func (st insert) execute(s *Session, args []any) (Result, error) {
	return s.write(Insert, st.table, args, st.changes)
}

func (st update) execute(s *Session, args []any) (Result, error) {
	return s.write(Update, st.table, args, st.changes)
}

func (st deletion) execute(s *Session, args []any) (Result, error) {
	return s.write(Delete, st.table, args, st.changes)
}

// write makes the changes that a statement wants. It changes nothing before it has all locks.
// Errors: those of changes, and ErrLocked if a unique column depends on another transaction.
func (s *Session) write(
	kind Kind, name string, args []any, changes func(*env, *table) ([]change, error),
) (Result, error) {
	t, err := s.db.table(name)
	if err != nil {
		return Result{}, err
	}
	s.inTransaction = s.inTransaction || s.is("AUTOCOMMIT", "false")
	e := &env{session: s, commits: s.db.commits, args: args}
	switch {
	case s.db.rules.StaleSessions:
		e.commits = s.opened
	case s.db.rules.SnapshotSubqueries:
		e.commits = s.waiting.began
	}
	all, err := changes(e, t)
	if err != nil {
		return Result{}, err
	}
	if err := s.checkUnique(name, t, all); err != nil {
		return Result{}, err
	}
	for _, c := range all {
		if c.record == nil {
			c.record = &record{}
			t.records = append(t.records, c.record)
		}
		v := version{session: s.number, row: c.row}
		if s.inTransaction {
			c.record.pending = &v
		} else {
			c.record.commit(s.db, v)
		}
	}
	if !s.inTransaction && len(all) > 0 {
		s.db.commits++
	}
	return Result{Kind: kind, Affected: int64(len(all))}, nil
}

func (st insert) changes(e *env, t *table) ([]change, error) {
	places, err := t.places(st.columns)
	if err != nil {
		return nil, err
	}
	selected, err := st.from.run(e)
	if err != nil {
		return nil, err
	}
	if len(selected.columns) != len(st.columns) {
		return nil, &Error{2020, "21S01", "Insert value list does not match column list"}
	}
	var changes []change
	for _, values := range selected.rows {
		row := make([]any, len(t.columns))
		for i, place := range places {
			row[place] = values[i]
		}
		for i, c := range t.columns {
			if row[i], err = c.hold(row[i]); err != nil {
				return nil, err
			}
		}
		changes = append(changes, change{nil, row})
	}
	return changes, nil
}

func (st update) changes(e *env, t *table) ([]change, error) {
	places, err := t.places(st.columns)
	if err != nil {
		return nil, err
	}
	if err := checkNames(e.within(t.scope(st.table, nil)), st.values...); err != nil {
		return nil, err
	}
	return lockRows(e, st.table, t, st.where, func(e *env, row []any) ([]any, error) {
		next := slices.Clone(row)
		for i, place := range places {
			v, err := st.values[i].eval(e)
			if err != nil {
				return nil, err
			}
			if next[place], err = t.columns[place].hold(v); err != nil {
				return nil, err
			}
		}
		return next, nil
	})
}

func (st deletion) changes(e *env, t *table) ([]change, error) {
	return lockRows(e, st.table, t, st.where, func(*env, []any) ([]any, error) { return nil, nil })
}

// lockRows returns what next makes of each row for which where is true. Those rows are the newest
// committed versions, or the transaction's own, whatever e reads of other rows. Errors: ErrLocked if
// another transaction has changed one of them.
func lockRows(e *env, name string, t *table, where expr, next func(*env, []any) ([]any, error)) ([]change, error) {
	if err := checkNames(e.within(t.scope(name, nil)), where); err != nil {
		return nil, err
	}
	s := e.session
	var changes []change
	for _, r := range t.records {
		row := r.at(s.number, s.db.commits)
		if row == nil {
			continue
		}
		e := e.within(t.scope(name, row))
		if where != nil {
			if holds, err := where.eval(e); err != nil {
				return nil, err
			} else if holds != true {
				continue
			}
		}
		if r.pending != nil && r.pending.session != s.number {
			return nil, s.wait(name)
		}
		row, err := next(e, row)
		if err != nil {
			return nil, err
		}
		changes = append(changes, change{r, row})
	}
	return changes, nil
}

// checkUnique refuses a value that a unique column of a hybrid table has already. Errors: ErrLocked if
// the transaction of another session holds that value.
func (s *Session) checkUnique(name string, t *table, changes []change) error {
	key := s.db.rules.Unique[name]
	if key == "" {
		return nil
	}
	place, err := t.place(key)
	if err != nil {
		return err
	}
	duplicate := &Error{
		200001, "22000",
		fmt.Sprintf("Duplicate key value violates unique constraint %q", strings.ToUpper(name+"_"+key)),
	}
	seen := map[any]bool{}
	for _, c := range changes {
		if c.row == nil {
			continue
		}
		value := c.row[place]
		if seen[value] {
			return duplicate
		}
		seen[value] = true
		for _, r := range t.records {
			if r == c.record {
				continue
			}
			if row := r.at(s.number, s.db.commits); row != nil && row[place] == value {
				return duplicate
			}
			if p := r.pending; p != nil && p.session != s.number && p.row != nil && p.row[place] == value {
				return s.wait(name)
			}
		}
	}
	return nil
}

// hold returns v as the column keeps it. Errors: NULL in a required column, a value of another type,
// a text that is too long.
func (c column) hold(v any) (any, error) {
	name := strings.ToUpper(c.name)
	switch {
	case v == nil && c.required:
		return nil, &Error{100072, "22000", fmt.Sprintf("NULL result in a non-nullable column %q", name)}
	case v == nil:
		return nil, nil
	case !c.kind.accepts(v):
		return nil, &Error{
			2023, "22000",
			fmt.Sprintf("Expression type does not match column data type, expecting %s for %s", c.kind.name, name),
		}
	}
	return c.kind.hold(v)
}
