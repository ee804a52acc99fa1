package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Rules choose between behaviours of Snowflake that its documentation leaves open, or that depend on
// the account. The zero value is READ_CONSISTENCY_MODE = GLOBAL on standard tables.
type Rules struct {
	// StaleSessions is READ_CONSISTENCY_MODE = SESSION at its worst: a session sees what was
	// committed before it opened and what it committed itself, but no later commit of another
	// session. UPDATE and DELETE still change the newest version of a row.
	StaleSessions bool
	// SnapshotSubqueries makes a statement that waited for a lock read other rows as they were when
	// it began. Otherwise it reads them as they are after the wait.
	SnapshotSubqueries bool
	// Unique names the column of a table that holds no value twice, as UNIQUE does in a hybrid
	// table. A statement waits if an open transaction has written the same value.
	Unique map[string]string
	// Account has the parameters that the account sets. Session parameters are the defaults of sessions
	// that log in.
	Account map[string]string
	// Suspended is a suspended warehouse, as SHOW WAREHOUSES shows it. The engine resumes it for no statement.
	Suspended bool
	// Granted has the privileges that SHOW GRANTS lists for the role of sessions; nil: all for rows. The engine
	// does not enforce them.
	Granted []string
}

// Error is a refusal in Snowflake's terms.
type Error struct {
	Number  int
	State   string // SQLSTATE
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%06d (%s): %s", e.Number, e.State, e.Message) }

// DB is a database. It is not safe for concurrent use.
type DB struct {
	rules    Rules
	tables   map[string]*table // by name in lower case
	sessions []*Session
	commits  int // the number of commits so far, which orders versions
}

type table struct {
	columns []column
	records []*record
}

type column struct {
	name     string // in lower case
	kind     dataType
	required bool // NOT NULL
}

// record is a row and its history.
type record struct {
	versions []version // in the order of their commits; empty until the first commit
	pending  *version  // what an open transaction wrote; this is the lock
}

// version never changes its row in place, so that clones of a database can share rows.
type version struct {
	commit  int
	session int
	row     []any // nil if the row was deleted
}

// New returns an empty database.
func New(rules Rules) *DB { return &DB{rules: rules, tables: map[string]*table{}} }

// Open returns a new session.
func (db *DB) Open() *Session {
	s := &Session{db: db, number: len(db.sessions), opened: db.commits}
	db.sessions = append(db.sessions, s)
	return s
}

// Session returns the session with that [Session.Number].
func (db *DB) Session(number int) *Session { return db.sessions[number] }

// Sessions returns how many sessions were opened, including those that have ended.
func (db *DB) Sessions() int { return len(db.sessions) }

// Under returns a copy of db with other rules.
func (db *DB) Under(rules Rules) *DB {
	c := db.Clone()
	c.rules = rules
	return c
}

// Clone returns a copy that shares nothing with db. Its sessions have the same numbers.
func (db *DB) Clone() *DB {
	c := &DB{rules: db.rules, tables: map[string]*table{}, commits: db.commits}
	for name, t := range db.tables {
		copied := &table{columns: t.columns}
		for _, r := range t.records {
			copied.records = append(copied.records, &record{versions: slices.Clone(r.versions), pending: r.pending})
		}
		c.tables[name] = copied
	}
	for _, s := range db.sessions {
		copied := *s
		copied.db, copied.parameters = c, maps.Clone(s.parameters)
		c.sessions = append(c.sessions, &copied)
	}
	return c
}

// Fingerprint returns a text that is equal for two states of one database only if both behave the
// same from now on.
func (db *DB) Fingerprint() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(db.tables)) {
		fmt.Fprintf(&b, "%s:", name)
		for _, r := range db.tables[name].records {
			r.fingerprint(&b, db.rules)
		}
	}
	for _, s := range db.sessions {
		s.fingerprint(&b, db.rules)
	}
	return b.String()
}

func (r *record) fingerprint(b *strings.Builder, rules Rules) {
	for _, v := range r.versions {
		fmt.Fprintf(b, "%#v", v.row) // quotes texts: ("a b", "c") differs from ("a", "b c")
		if rules.keepHistory() {
			fmt.Fprintf(b, "@%d/%d", v.commit, v.session)
		}
	}
	if r.pending != nil {
		fmt.Fprintf(b, "!%d%#v", r.pending.session, r.pending.row)
	}
	b.WriteByte(';')
}

// keepHistory reports whether a statement can read a version that is not the newest.
func (r Rules) keepHistory() bool { return r.StaleSessions || r.SnapshotSubqueries }

// commit makes v the newest version, as part of the next commit of db.
func (r *record) commit(db *DB, v version) {
	v.commit = db.commits + 1
	if !db.rules.keepHistory() {
		r.versions = nil
	}
	r.versions = append(r.versions, v)
}

// at returns the row as a session sees it after that many commits; nil if it does not exist then.
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

func (db *DB) table(name string) (*table, error) {
	t, ok := db.tables[name]
	if !ok {
		message := fmt.Sprintf("Object '%s' does not exist or not authorized.", strings.ToUpper(name))
		return nil, &Error{2003, "42S02", message}
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

// scope returns the scope of an UPDATE or DELETE of one row of the table.
func (t *table) scope(name string, values []any) scope { return scope{{name, t.names(), values}} }

// place returns the index of a column.
func (t *table) place(name string) (int, error) {
	place := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
	if place < 0 {
		return 0, noSuchColumn(name)
	}
	return place, nil
}

func (t *table) places(names []string) ([]int, error) {
	places := make([]int, len(names))
	for i, name := range names {
		var err error
		if places[i], err = t.place(name); err != nil {
			return nil, err
		}
	}
	return places, nil
}

func noSuchColumn(name string) error {
	return &Error{904, "42000", fmt.Sprintf("invalid identifier '%s'", strings.ToUpper(name))}
}
