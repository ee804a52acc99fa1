// Package snowflake is the store on Snowflake tables. It holds SQL and nothing else: package session runs
// the statements, the use cases decide what an account may do, and [ports.Store] says what a store
// promises.
//
// Read items.go first: a table is one value, and each method has its statement beside it. table.go makes
// statements from such a value. actor.go has the check that is part of every statement. accountlock.go
// keeps the rules that depend on other rows. credentials.go has what sessions and clients share. setup.sql in
// the module's root creates the tables.
package snowflake

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Store implements [ports.Store]. Make one with [Open].
type Store struct {
	db      *session.DB
	locking *guard.Limiter            // of writes that want the account lock
	changes map[string]*guard.Limiter // of UPDATEs and DELETEs outside a transaction, by table
	schema  string
	timeout time.Duration // the longest that a caller waits
	hybrid  atomic.Bool   // users is a hybrid table, which keeps e-mails unique
	global  atomic.Bool   // every session sees what others have committed
}

var _ ports.Store = (*Store)(nil)

// Open returns the store. It does not connect: Snowflake may be unavailable. [Store.Check] finds out. It
// sets RetryFresh and MissingHint of the options.
func Open(o session.Options) (*Store, error) {
	waiting := guard.WaitersPerConnection * o.Connections
	s := &Store{
		schema: o.Schema, timeout: o.RequestTimeout, changes: map[string]*guard.Limiter{},
		// Only one transaction can hold the lock. The others wait here, where they take no connection away
		// from reads.
		locking: guard.NewLimiter(1, waiting, o.RequestTimeout/2),
	}
	for _, table := range append(owned, users.Name) {
		s.changes[table] = guard.NewLimiter(changesPerTable, waiting, o.RequestTimeout/2)
	}
	o.RetryFresh, o.MissingHint = s.mayBeBehind, runSetup
	var err error
	s.db, err = session.Open(o)
	return s, err
}

// Close ends the sessions, within two seconds.
func (s *Store) Close() error { return s.db.Close() }

// mayBeBehind reports whether the session that returned err may not see the latest commits.
func (s *Store) mayBeBehind(err error) bool {
	return errors.Is(err, errEarlierEpoch) || errors.As(err, new(maybeBehind)) && !s.global.Load()
}

// diagnosis finds out why a write touched no row. It returns the refusal, errDone if there is nothing to
// do, or nil if it finds no reason.
type diagnosis func(context.Context, session.Conn) error

// errDone ends a write that has nothing to do, or nothing left.
var errDone = errors.New("done")

func unlessDone(err error) error {
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

// changesPerTable is how many UPDATEs and DELETEs of one table run concurrently in this process. On standard tables
// they wait for each other, and Snowflake refuses a statement when 20 others wait (error 625). With 2, the
// statements of nine processes stay below that.
const changesPerTable = 2

// change executes st, an UPDATE or DELETE of the table that no rule across rows concerns.
func (s *Store) change(ctx context.Context, table string, st session.Statement, diagnose diagnosis) error {
	if !s.hybrid.Load() { // hybrid tables lock single rows
		if err := s.changes[table].Enter(ctx); err != nil {
			return err
		}
		defer s.changes[table].Leave()
	}
	return s.write(ctx, st, diagnose)
}

// changed is change for a statement whose caller only wants to know whether it touched a row. none is ErrNotFound.
func (s *Store) changed(ctx context.Context, table string, st session.Statement, none error) (bool, error) {
	err := s.change(ctx, table, st, func(context.Context, session.Conn) error { return none })
	if errors.Is(err, domain.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// write executes a statement that no rule across rows concerns.
func (s *Store) write(ctx context.Context, st session.Statement, diagnose diagnosis) error {
	return unlessDone(s.db.Write(ctx, func(ctx context.Context, c session.Conn) error {
		return execOrDiagnose(ctx, c, st, diagnose)
	}))
}

// insert executes st, an INSERT of a row with a new id, outside a transaction. If its reply is lost, insert looks for
// the row until ctx ends. It succeeds if the row is there.
func (s *Store) insert(ctx context.Context, table, id string, st session.Statement, diagnose diagnosis) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := s.write(ctx, st, diagnose)
	if errors.Is(err, domain.ErrOutcomeUnknown) && s.appears(ctx, table, id) {
		return nil
	}
	return err
}

// add inserts e, a new row of t that belongs to the actor.
func add[E any](ctx context.Context, s *Store, t table[E], by domain.Actor, id string, e E) error {
	st := t.insert(e, "FROM users\nWHERE "+isSignedIn, actorArgs(by)...).
		// Ids grow with time, so this reads little.
		And("(SELECT COUNT(*) FROM "+t.Name+" WHERE id = ?) = 0", id)
	return s.insert(ctx, t.Name, id, st, func(ctx context.Context, c session.Conn) error {
		_, err := t.one(ctx, c, by, t.selectOwned(by, id))
		switch {
		case err == nil:
			return errDone // its id is new: an earlier try of this statement took effect
		case errors.Is(err, domain.ErrNotFound):
			return nil
		}
		return err
	})
}

// appears reports whether the row with this id is in the table, or comes into it before ctx ends.
func (s *Store) appears(ctx context.Context, table, id string) bool {
	const maxPause = time.Second
	st := session.Statement{SQL: "SELECT COUNT(*)\nFROM " + table + "\nWHERE id = ?", Args: []any{id}}
	for pause := 50 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		rows, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (n int, err error) {
			err = c.Query(ctx, st, func(scan func(...any) error) error { return scan(&n) })
			return n, err
		})
		if err == nil && rows > 0 {
			return true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return false
}

// execOrDiagnose executes st. If it touches no row, it returns what diagnose finds. If that is no reason, it
// tries once more and then returns ErrUnavailable.
func execOrDiagnose(ctx context.Context, c session.Conn, st session.Statement, diagnose diagnosis) error {
	for range 2 {
		if n, err := c.Exec(ctx, st); err != nil || n > 0 {
			return err
		}
		if reason := diagnose(ctx, c); reason != nil {
			return reason
		}
	}
	return domain.ErrUnavailable.WithCause(errors.New("a write touched no row, and the diagnosis found no reason"))
}

// andVersion adds the condition that ifVersion allows the row's version.
func andVersion(st session.Statement, ifVersion domain.Versions) session.Statement {
	allowed, limited := ifVersion.Limit()
	switch {
	case !limited:
		return st
	case len(allowed) == 0:
		return st.And("FALSE")
	}
	args := make([]any, len(allowed))
	for i, version := range allowed {
		args[i] = version
	}
	return st.And("version IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
}
