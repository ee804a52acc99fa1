package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The error for a statement that was sent and has no definite reply.
var (
	unanswered  = domain.ErrUnavailable    // it changed nothing
	unconfirmed = domain.ErrOutcomeUnknown // it may have taken effect
)

// ErrLoginRefused means that Snowflake refuses the user or password. Snowflake locks a user after too
// many such attempts.
var ErrLoginRefused = errors.New("user or password refused by Snowflake")

// DuplicateKeyError means that a row with the same key exists. Only hybrid tables have keys. The table
// knows what it means.
type DuplicateKeyError struct {
	Message string // Snowflake's, which names the constraint
	err     error
}

func (e *DuplicateKeyError) Error() string { return e.err.Error() }
func (e *DuplicateKeyError) Unwrap() error { return e.err }

// notSent marks an error of a request that did not leave this process.
type notSent struct{ error }

func (e notSent) Unwrap() error { return e.error }

// badStatus is an HTTP status from a gateway in front of Snowflake.
type badStatus int

func (s badStatus) Error() string { return fmt.Sprintf("HTTP status %d", int(s)) }

// Numbers of Snowflake's errors. The driver's documentation and sources have those about sessions.
const (
	numberTooManyWaiters = 625
	numberTimeout        = 630 // of a statement, and of its wait for a row of a hybrid table
	numberNoSuchColumn   = 904
	numberNoSuchTable    = 2003
	numberNoSuchSchema   = 2043
	numberNoDatabase     = 90105 // none is selected in this session
	numberNoSchema       = 90106
	numberDuplicateKey   = 200001
	numberSignIn         = 390000 // the first of a thousand about sign-in
	numberWrongPassword  = 390100
	numberUserLocked     = 390102
)

var missingNumbers = []int{numberNoSuchColumn, numberNoSuchTable, numberNoSuchSchema, numberNoDatabase, numberNoSchema}

// Snowflake does not document the numbers of a lock timeout and of a duplicate unique key.
var (
	lockText      = regexp.MustCompile(`(?i)(^|[^a-z])(dead)?lock(s|ed)?([^a-z]|$)`)
	duplicateText = regexp.MustCompile(`(?i)duplicate key value violates unique constraint`)
)

// lockTimeout returns ErrContended if err, of a write that ran for that long, is the end of a wait for a row of a
// hybrid table. Otherwise it returns err. Snowflake has one number for that and for a statement that was slow.
func (d *DB) lockTimeout(err error, ran time.Duration) error {
	var reply *sf.SnowflakeError
	_, lock := limits(d.options.RequestTimeout)
	if d.hybrid.Load() && errors.As(err, &reply) && reply.Number == numberTimeout && ran >= lock {
		return domain.ErrContended.WithCause(err)
	}
	return err
}

// translate turns an error of the driver into one of package domain. It is the only place that knows
// what the driver's errors mean. lost is the error for a statement whose outcome is not known.
func (d *DB) translate(err error, lost *domain.Error) error {
	var reply *sf.SnowflakeError
	switch {
	case err == nil, errors.As(err, new(*domain.Error)):
		return err
	case errors.As(err, &reply) && (reply.Number == numberWrongPassword || reply.Number == numberUserLocked):
		return domain.ErrUnavailable.WithCause(guard.Outage(fmt.Errorf("%w: %w", ErrLoginRefused, err)))
	case errors.As(err, new(notSent)), errors.Is(err, driver.ErrBadConn):
		return domain.ErrUnavailable.WithCause(guard.Outage(err))
	case errors.As(err, &reply) && reply.Number != sf.ErrFailedToPostQuery:
		return d.translateReply(err, reply)
	case errors.Is(err, context.Canceled):
		return lost.WithCause(err)
	}
	return lost.WithCause(guard.Outage(err))
}

// translateReply translates an error that Snowflake reports. The statement failed, so it changed nothing.
func (d *DB) translateReply(err error, reply *sf.SnowflakeError) error {
	class := reply.SQLState[:min(2, len(reply.SQLState))]
	switch {
	case reply.Number == numberTooManyWaiters, reply.SQLState == "57014" && lockText.MatchString(reply.Message):
		return domain.ErrContended.WithCause(err)
	case reply.Number == numberDuplicateKey, class == "22" && duplicateText.MatchString(reply.Message):
		return &DuplicateKeyError{Message: reply.Message, err: err}
	case slices.Contains(missingNumbers, reply.Number):
		return domain.ErrUnavailable.WithCause(fmt.Errorf("%w: %s", err, d.options.MissingHint))
	case reply.Number >= numberSignIn && reply.Number < numberSignIn+1000:
		return domain.ErrUnavailable.WithCause(guard.Outage(err))
	case class == "22":
		// Internal: a fault of this service. Snowflake's message may quote a value, which must not be logged.
		return fmt.Errorf("a value was refused: %06d (%s), query %s", reply.Number, reply.SQLState, reply.QueryID)
	case class == "42" && reply.SQLState != "42501":
		return err // Internal: wrong SQL is a fault of this service
	}
	// For example: the warehouse is suspended, the credits are used up, the statement was cancelled or timed
	// out, or a grant is missing (42501).
	return domain.ErrUnavailable.WithCause(err)
}
