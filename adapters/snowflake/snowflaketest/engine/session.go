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
	abortOnError  bool // TRANSACTION_ABORT_ON_ERROR
	aborted       bool // a statement of the transaction failed, and abortOnError was set
	waiting       *waiting
}

// waiting is a statement that waits for a lock.
type waiting struct {
	sql   string
	began int // commits of the database before the statement began
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

// Set sets a session parameter. Only TRANSACTION_ABORT_ON_ERROR has an effect: an error then rolls the
// transaction back, and its further statements fail until COMMIT or ROLLBACK.
func (s *Session) Set(parameter, value string) {
	if strings.EqualFold(parameter, "TRANSACTION_ABORT_ON_ERROR") {
		s.abortOnError = strings.EqualFold(value, "true")
	}
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
		s.waiting = &waiting{sql, s.db.commits}
	}
	return st.execute(s, args)
}

// GiveUp makes the statement fail that waits for a lock.
func (s *Session) GiveUp() {
	s.waiting = nil
	s.abort()
}

// abort rolls the transaction back after an error, if the session is set to do so.
func (s *Session) abort() {
	if s.inTransaction && s.abortOnError && !s.aborted {
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
