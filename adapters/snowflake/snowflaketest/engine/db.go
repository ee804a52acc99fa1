package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rules are the points on which the database can be switched.
type Rules struct {
	// StaleSessions is READ_CONSISTENCY_MODE = SESSION at its worst: a session reads what was
	// committed when it opened and what it committed itself, never what others commit later. The
	// rows that a statement changes are their newest versions all the same.
	StaleSessions bool
	// SnapshotSubqueries lets a statement that waited for a lock read other rows than those that it
	// changes as they were when it began. Otherwise it is evaluated anew after the wait.
	SnapshotSubqueries bool
	// Unique names, by table, a column without duplicates, as a hybrid table has it. Whoever inserts
	// the same value as an open transaction waits for its end.
	Unique map[string]string
}

// ErrLocked means that the statement waits for a lock; [Session.Do] with the same statement tries
// again, [Session.GiveUp] ends the wait.
var ErrLocked = errors.New("the statement waits for a lock")

// Error is what Snowflake would answer.
type Error struct {
	Number  int
	State   string // SQLSTATE
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%06d (%s): %s", e.Number, e.State, e.Message) }

// DB is a database. It is not safe for concurrent use.
type DB struct {
	rules    Rules
	tables   map[string]*table
	sessions []*Session
	commits  int // how many there were, which orders versions
}

type table struct {
	columns []column
	records []*record
}

type column struct {
	name     string // lower case
	kind     string // VARCHAR, NUMBER, BOOLEAN or TIMESTAMP_NTZ
	length   int    // of a VARCHAR; 0 is any
	required bool
}

// record is a row through time.
type record struct {
	versions []version // in the order of their commits; empty for one that is not committed yet
	pending  *version  // what an open transaction made of it: the lock
}

type version struct {
	commit  int
	session int
	row     []any // nil: deleted
}

// New returns an empty database.
func New(rules Rules) *DB { return &DB{rules: rules, tables: map[string]*table{}} }

// Session is one client's connection.
type Session struct {
	db      *DB
	number  int
	opened  int // commits when it opened
	in      bool
	aborted bool // a statement failed inside the transaction, see Set
	abort   bool
	waiting *waiting
}

// waiting is a statement that waits for a lock.
type waiting struct {
	sql   string
	began int // commits when it began
}

// Open returns a new session.
func (db *DB) Open() *Session {
	s := &Session{db: db, number: len(db.sessions), opened: db.commits}
	db.sessions = append(db.sessions, s)
	return s
}

// Session returns the n-th session that was opened, from 0.
func (db *DB) Session(n int) *Session { return db.sessions[n] }

// Sessions returns how many were opened.
func (db *DB) Sessions() int { return len(db.sessions) }

// Under returns a copy of db with other rules.
func (db *DB) Under(rules Rules) *DB {
	c := db.Clone()
	c.rules = rules
	return c
}

// Number is the session's place in the order of opening, from 0.
func (s *Session) Number() int { return s.number }

// InTransaction reports whether BEGIN was not followed by COMMIT or ROLLBACK yet.
func (s *Session) InTransaction() bool { return s.in }

// Set sets a session parameter. TRANSACTION_ABORT_ON_ERROR is the only one with an effect here: with
// it, an error rolls the transaction back, and its other statements fail.
func (s *Session) Set(parameter, value string) {
	if strings.EqualFold(parameter, "TRANSACTION_ABORT_ON_ERROR") {
		s.abort = strings.EqualFold(value, "true")
	}
}

// Result is the answer to a statement.
type Result struct {
	Kind     Kind
	Columns  []string // in upper case, as Snowflake names them
	Rows     [][]any  // nil, int64, string, bool and time.Time
	Affected int64    // rows that were inserted, updated or deleted
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

// Do tries to execute a statement, whose placeholders take args in turn. It never blocks. Errors:
// ErrLocked, or an *Error.
func (s *Session) Do(sql string, args ...any) (Result, error) {
	st, err := parse(sql)
	if err == nil && s.aborted && st.kind != "commit" && st.kind != "rollback" {
		// The number is this package's own: Snowflake's is not documented.
		err = &Error{90150, "25000", "the transaction was aborted by an earlier error: ROLLBACK"}
	}
	var result Result
	if err == nil {
		if s.waiting == nil || s.waiting.sql != sql {
			s.waiting = &waiting{sql, s.db.commits}
		}
		waited := s.waiting.began != s.db.commits
		result, err = s.execute(st, args, waited)
	}
	if errors.Is(err, ErrLocked) {
		return result, err
	}
	s.waiting = nil
	if err != nil {
		s.failed()
	}
	return result, err
}

// GiveUp ends the wait of a statement, which has failed.
func (s *Session) GiveUp() {
	s.waiting = nil
	s.failed()
}

func (s *Session) failed() {
	if s.in && s.abort && !s.aborted {
		s.end(false)
		s.in, s.aborted = true, true
	}
}

// Close ends the session and rolls back its transaction.
func (s *Session) Close() {
	s.waiting = nil
	s.end(false)
}

func (s *Session) execute(st *statement, args []any, waited bool) (Result, error) {
	switch st.kind {
	case "begin":
		s.in = true
		return Result{}, nil
	case "rollback":
		s.end(false)
		return Result{}, nil
	case "commit":
		if s.aborted {
			s.end(false)
			return Result{}, &Error{90150, "25000", "the transaction was aborted by an earlier error and is rolled back"}
		}
		s.end(true)
		return Result{}, nil
	case "create", "alter", "drop":
		return s.db.define(st)
	case "show":
		return s.db.show(st)
	case "select":
		return s.query(st, args)
	default:
		return s.write(st, args, waited)
	}
}

// end ends the transaction, if there is one.
func (s *Session) end(commit bool) {
	s.in, s.aborted = false, false
	changed := false
	for _, t := range s.db.tables {
		for _, r := range t.records {
			if r.pending == nil || r.pending.session != s.number {
				continue
			}
			if commit {
				changed = true
				r.settle(s.db, *r.pending)
			}
			r.pending = nil
		}
		t.records = slices.DeleteFunc(t.records, func(r *record) bool { return r.pending == nil && len(r.versions) == 0 })
	}
	if changed {
		s.db.commits++
	}
}

// settle makes v, which is committed next, the newest version.
func (r *record) settle(db *DB, v version) {
	v.commit = db.commits + 1
	if !db.rules.StaleSessions && !db.rules.SnapshotSubqueries {
		r.versions = nil // nobody can see the past
	}
	r.versions = append(r.versions, v)
}

// at returns the row as session sees it when so many commits have been; nil if there is none.
func (r *record) at(session, commits int) []any {
	if r.pending != nil && r.pending.session == session {
		return r.pending.row
	}
	for _, v := range slices.Backward(r.versions) {
		if v.commit <= commits || v.session == session {
			return v.row
		}
	}
	return nil
}

// Clone returns a copy that shares nothing with db; its sessions have the same numbers.
func (db *DB) Clone() *DB {
	c := &DB{rules: db.rules, tables: map[string]*table{}, commits: db.commits}
	for name, t := range db.tables {
		copied := &table{columns: t.columns}
		for _, r := range t.records {
			// Rows and versions are never changed in place.
			copied.records = append(copied.records, &record{versions: slices.Clone(r.versions), pending: r.pending})
		}
		c.tables[name] = copied
	}
	for _, s := range db.sessions {
		other := *s
		other.db = c
		c.sessions = append(c.sessions, &other)
	}
	return c
}

// Fingerprint is the same for two states of one database only if they behave the same from now on.
func (db *DB) Fingerprint() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(db.tables)) {
		fmt.Fprintf(&b, "%s:", name)
		for _, r := range db.tables[name].records {
			for _, v := range r.versions {
				fmt.Fprintf(&b, "%#v", v.row) // quoted, so that "a b", "c" is not "a", "b c"
				if db.rules.StaleSessions || db.rules.SnapshotSubqueries {
					fmt.Fprintf(&b, "@%d/%d", v.commit, v.session)
				}
			}
			if r.pending != nil {
				fmt.Fprintf(&b, "!%d%#v", r.pending.session, r.pending.row)
			}
			b.WriteByte(';')
		}
	}
	for _, s := range db.sessions {
		fmt.Fprintf(&b, "|%t%t", s.in, s.aborted)
		if db.rules.StaleSessions {
			fmt.Fprintf(&b, "@%d", s.opened)
		}
		if s.waiting != nil {
			fmt.Fprintf(&b, "%s", s.waiting.sql)
			if db.rules.SnapshotSubqueries {
				fmt.Fprintf(&b, "@%d", s.waiting.began)
			}
		}
	}
	return b.String()
}
