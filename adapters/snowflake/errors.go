package snowflake

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strings"

	sf "github.com/snowflakedb/gosnowflake/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// What to answer when a statement went out and nothing definite came back.
var (
	unanswered  = domain.ErrUnavailable    // it changed nothing
	unconfirmed = domain.ErrOutcomeUnknown // it may have taken effect
)

// ErrLoginRefused is what Snowflake has against the user or password. It locks users for whom that is
// tried too often.
var ErrLoginRefused = errors.New("user or password refused by Snowflake")

const runSetup = "run setup.sql"

// outage is an error that says that Snowflake was not reached or did not answer.
type outage struct{ error }

func (o outage) Unwrap() error { return o.error }

// notSent is an error of a request that never left.
type notSent struct{ error }

func (e notSent) Unwrap() error { return e.error }

// badStatus is an HTTP status with which something in front of Snowflake answers.
type badStatus int

func (s badStatus) Error() string { return fmt.Sprintf("HTTP status %d", int(s)) }

// Numbers of Snowflake's errors. Those of a session's end are in the driver's documentation and
// sources; the number of a lock time-out is not documented, hence its text.
const (
	numberTooManyWaiters = 625
	numberNoSuchTable    = 2003
	numberNoSuchSchema   = 2043
	numberNoDatabase     = 90105 // chosen in this session
	numberNoSchema       = 90106
	numberNoSuchColumn   = 904
	numberDuplicateKey   = 200001
	numberSignIn         = 390000 // and those above it: sign-in to Snowflake
	numberWrongPassword  = 390100
	numberUserLocked     = 390102
)

// translate is the one place that knows what the errors of the driver mean. lost is what to answer
// when it is not known whether the statement took effect.
func translate(err error, lost *domain.Error) error {
	var answered *sf.SnowflakeError
	switch {
	case err == nil, errors.As(err, new(*domain.Error)):
		return err
	case errors.As(err, &answered) && (answered.Number == numberWrongPassword || answered.Number == numberUserLocked):
		return domain.ErrUnavailable.WithCause(outage{fmt.Errorf("%w: %w", ErrLoginRefused, err)})
	case errors.As(err, new(notSent)), errors.Is(err, driver.ErrBadConn):
		return domain.ErrUnavailable.WithCause(outage{err})
	case !errors.As(err, &answered) || answered.Number == sf.ErrFailedToPostQuery:
		if errors.Is(err, context.Canceled) {
			return lost.WithCause(err)
		}
		return lost.WithCause(outage{err})
	}

	text := strings.ToLower(answered.Message)
	switch {
	case answered.Number == numberTooManyWaiters, answered.SQLState == "57014" && strings.Contains(text, "lock"):
		return domain.ErrContended.WithCause(err)
	case answered.Number == numberDuplicateKey, answered.SQLState == "22000" && strings.Contains(text, "duplicate key value violates unique constraint"):
		// Only hybrid tables have keys, and besides ids, which are never used twice, only the e-mail
		// is one.
		return domain.ErrEmailTaken.WithCause(err)
	case slices.Contains([]int{numberNoSuchTable, numberNoSuchSchema, numberNoDatabase, numberNoSchema, numberNoSuchColumn}, answered.Number):
		return domain.ErrUnavailable.WithCause(fmt.Errorf("%w: %s", err, runSetup))
	case answered.Number >= numberSignIn && answered.Number < numberSignIn+1000:
		return domain.ErrUnavailable.WithCause(outage{err})
	case strings.HasPrefix(answered.SQLState, "22"): // a fault of ours; the text may quote a value, and would be logged
		return fmt.Errorf("a value was refused: %06d (%s), query %s", answered.Number, answered.SQLState, answered.QueryID)
	case strings.HasPrefix(answered.SQLState, "42") && answered.SQLState != "42501": // likewise ours
		return err
	}
	// Warehouse suspended, credits used up, statement cancelled or timed out, a grant that is missing:
	// the statement failed, and so took no effect.
	return domain.ErrUnavailable.WithCause(err)
}
