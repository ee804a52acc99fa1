// Package postgres is the store on PostgreSQL. It holds SQL and nothing else: package session runs the statements,
// the use cases decide what an account may do, and [ports.Store] says what a store promises.
//
// Read items.go first: a table is one value, and each method has its statement beside it. table.go makes statements
// from such a value, and owned.go those of what an account owns. actor.go has the check that is part of every
// statement. migrations has the tables.
//
// Each method sends one statement, or one batch for a rule across rows; CleanUp sends several. A write
// carries its conditions. Only if it touched no row does a second statement, which sees all that was committed
// meanwhile, find out why.
package postgres

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Store implements [ports.Store]. Make one with [Open].
type Store struct {
	db      *session.DB
	options session.Options
}

var _ ports.Store = (*Store)(nil)

// Open returns the store. It does not connect: PostgreSQL may be unavailable. [Store.Check] finds out. It sets
// MissingHint of the options.
func Open(o session.Options) (*Store, error) {
	o.MissingHint = runMigrate
	db, err := session.Open(o)
	return &Store{db, o}, err
}

// Close ends the connections, within two seconds.
func (s *Store) Close() error { return s.db.Close() }

// execution executes a statement that changes rows and returns how many it changed.
type execution func(context.Context, session.Conn) (int64, error)

// statement returns the execution of st.
func statement(st session.Statement) execution {
	return func(ctx context.Context, c session.Conn) (int64, error) { return c.Exec(ctx, st) }
}

// under returns the execution of st while it holds the lock that the statement lock takes.
func under(lock, st session.Statement) execution {
	return func(ctx context.Context, c session.Conn) (int64, error) { return c.ExecLocked(ctx, lock, st) }
}

// underLock returns the execution of st while it holds the lock of the rules across accounts. All such statements
// take this lock first, so that they cannot deadlock.
func underLock(st session.Statement) execution {
	return under(session.Statement{SQL: "SELECT one FROM installation FOR UPDATE"}, st)
}

// diagnosis finds out why a write touched no row. It returns the refusal, errDone if there is nothing to do, or nil
// if it finds no reason.
type diagnosis func(context.Context, session.Conn) error

// errDone ends a write that has nothing to do.
var errDone = errors.New("done")

// write runs exec. If that touches no row, write returns what diagnose finds. If that is no reason either, another
// change came between the two, and both are tried again.
func (s *Store) write(ctx context.Context, exec execution, diagnose diagnosis) error {
	err := s.db.Write(ctx, func(ctx context.Context, c session.Conn) error {
		n, err := exec(ctx, c)
		repeated := strings.HasSuffix(duplicate(err), "_pkey") // an earlier try of an INSERT took effect
		if err != nil && !repeated || n > 0 {
			return err
		}
		if reason := diagnose(ctx, c); reason != nil {
			return reason
		}
		return domain.ErrContended.WithCause(errors.New("a write touched no row, and the diagnosis found no reason"))
	})
	switch {
	case errors.Is(err, errDone):
		return nil
	case duplicate(err) == "one_email":
		return domain.ErrEmailTaken.WithCause(err)
	case duplicate(err) == "one_snowflake_user":
		return domain.ErrSnowflakeUserTaken.WithCause(err)
	case isForeignKey(err):
		return domain.ErrSignedOut.WithCause(err) // the owner is the actor, and was deleted meanwhile
	}
	return err
}

// changed executes st and reports whether it changed a row. That it changed none needs no reason.
func (s *Store) changed(ctx context.Context, st session.Statement) (bool, error) {
	some := true
	err := s.write(ctx, statement(st), func(context.Context, session.Conn) error {
		some = false
		return errDone
	})
	return err == nil && some, err
}

// duplicate returns the unique constraint that err says a row would break, or "".
func duplicate(err error) string {
	var broken *session.ConstraintError
	if errors.As(err, &broken) && broken.Code == session.CodeUnique {
		return broken.Constraint
	}
	return ""
}

// isForeignKey reports whether err says that the owner of a row does not exist.
func isForeignKey(err error) bool {
	var broken *session.ConstraintError
	return errors.As(err, &broken) && broken.Code == session.CodeForeignKey
}

// andVersion adds the condition that ifVersion allows the row's version.
func andVersion(st session.Statement, ifVersion domain.Versions) session.Statement {
	allowed, limited := ifVersion.Limit()
	if !limited {
		return st
	}
	return st.And("version = ANY (?)", append([]int64{}, allowed...)) // not nil, which would be NULL
}

// key returns id as a value of a statement. PostgreSQL refuses NUL and invalid UTF-8 in a text. No row has such an id,
// so that an id that no row has either takes its place.
func key(id string) string {
	if strings.ContainsRune(id, 0) || !utf8.ValidString(id) {
		return ""
	}
	return id
}
