package engine

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrLocked means that the statement waits for a lock. [Session.Do] with the same statement tries
// again; [Session.GiveUp] ends the wait.
var ErrLocked = errors.New("the statement waits for a lock")

// errAborted has a number of this package: Snowflake does not document its own.
var errAborted = &Error{90150, "25000", "an earlier error aborted the transaction: ROLLBACK"}

// Session is the connection of one client.
type Session struct {
	db            *DB
	number        int
	opened        int // commits of the database before the session opened
	inTransaction bool
	aborted       bool // a statement of the transaction failed, and TRANSACTION_ABORT_ON_ERROR was set
	waiting       *waiting
	parameters    map[string]string // those that were set, by name in upper case
}

// waiting is a statement that waits for a lock.
type waiting struct {
	sql    string
	began  int  // commits of the database before the statement began
	hybrid bool // for a row of a hybrid table
}

// Result is the answer to a statement.
type Result struct {
	Kind     Kind
	Columns  []string // in upper case, as Snowflake names them
	Rows     [][]any  // nil, int64, string, bool, time.Time, or what a column of another type holds
	Affected int64    // number of rows inserted, updated or deleted
}

// Kind is the kind of a statement.
type Kind int

// The kinds of statements.
const (
	Other Kind = iota
	Select
	Insert
	Update
	Delete
)

// Number returns the position of the session in the order of opening, from 0.
func (s *Session) Number() int { return s.number }

// InTransaction reports whether the session has an open transaction.
func (s *Session) InTransaction() bool { return s.inTransaction }

// WaitsForHybrid reports whether the session waits for a lock of a hybrid table.
func (s *Session) WaitsForHybrid() bool { return s.waiting != nil && s.waiting.hybrid }

// Set sets a session parameter. These have an effect; the engine only remembers all others:
//   - AUTOCOMMIT = FALSE: a write outside a transaction begins one, which is rolled back if the session ends;
//   - TRANSACTION_ABORT_ON_ERROR = TRUE: an error rolls the transaction back, and its further statements
//     fail until COMMIT or ROLLBACK;
//   - DEFAULT_NULL_ORDERING = FIRST: NULL is less than any value.
func (s *Session) Set(parameter, value string) {
	if s.parameters == nil {
		s.parameters = map[string]string{}
	}
	s.parameters[strings.ToUpper(parameter)] = value
}

// Parameters returns the session parameters that were set, by name in upper case.
func (s *Session) Parameters() map[string]string { return s.parameters }

// is reports whether a session parameter was set to value.
func (s *Session) is(parameter, value string) bool {
	return strings.EqualFold(s.parameters[parameter], value)
}

// Do executes a statement, whose placeholders take args in order. It never blocks. Errors: ErrLocked,
// *Error for what Snowflake would refuse, *Unknown for what the engine cannot execute.
func (s *Session) Do(sql string, args ...any) (Result, error) {
	result, err := s.try(sql, args)
	if errors.Is(err, ErrLocked) {
		return result, err
	}
	s.waiting = nil
	if err != nil {
		s.abort()
	}
	return result, err
}

func (s *Session) try(sql string, args []any) (Result, error) {
	st, err := parse(sql)
	if err != nil {
		return Result{}, err
	}
	if control, _ := st.(transactionControl); s.aborted && control != commit && control != rollback {
		return Result{}, errAborted
	}
	if s.waiting == nil || s.waiting.sql != sql {
		s.waiting = &waiting{sql: sql, began: s.db.commits}
	}
	return st.execute(s, args)
}

// wait returns ErrLocked for a statement that waits for a lock of that table.
func (s *Session) wait(table string) error {
	s.waiting.hybrid = s.db.rules.Unique[table] != ""
	return ErrLocked
}

// GiveUp makes the statement fail that waits for a lock.
func (s *Session) GiveUp() {
	s.waiting = nil
	s.abort()
}

// abort rolls the transaction back after an error, if the session is set to do so.
func (s *Session) abort() {
	if s.inTransaction && s.is("TRANSACTION_ABORT_ON_ERROR", "true") && !s.aborted {
		s.end(false)
		s.inTransaction, s.aborted = true, true
	}
}

// Close ends the session and rolls back its transaction.
func (s *Session) Close() {
	s.waiting = nil
	s.end(false)
}

func (st transactionControl) execute(s *Session, _ []any) (Result, error) {
	aborted := s.aborted
	switch st {
	case begin:
		s.inTransaction = true
	case rollback:
		s.end(false)
	case commit:
		s.end(!aborted)
		if aborted {
			return Result{}, errAborted
		}
	}
	return Result{}, nil
}

// end ends the transaction, if there is one, and commits or rolls back.
func (s *Session) end(commit bool) {
	s.inTransaction, s.aborted = false, false
	changed := false
	for _, t := range s.db.tables {
		for _, r := range t.records {
			if r.pending == nil || r.pending.session != s.number {
				continue
			}
			if commit {
				changed = true
				r.commit(s.db, *r.pending)
			}
			r.pending = nil
		}
		t.records = slices.DeleteFunc(t.records, func(r *record) bool { return r.pending == nil && len(r.versions) == 0 })
	}
	if changed {
		s.db.commits++
	}
}

func (s *Session) fingerprint(b *strings.Builder, rules Rules) {
	fmt.Fprintf(b, "|%t%t", s.inTransaction, s.aborted)
	if rules.StaleSessions {
		fmt.Fprintf(b, "@%d", s.opened)
	}
	if s.waiting == nil {
		return
	}
	b.WriteString(s.waiting.sql)
	if rules.SnapshotSubqueries {
		fmt.Fprintf(b, "@%d", s.waiting.began)
	}
}
