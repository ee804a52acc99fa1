package session

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	failuresToOpen = 5           // consecutive ones open the breaker
	openFor        = time.Second // then one call is let through
)

// outage marks an error that means that Snowflake was not reached or did not answer.
type outage struct{ error }

func (o outage) Unwrap() error { return o.error }

func isOutage(err error) bool { return errors.As(err, new(outage)) }

// newBreaker returns a circuit breaker that stops calls to a database that does not answer. Errors that
// Snowflake reports, and cancelled calls, do not count as failures.
func newBreaker() *gobreaker.CircuitBreaker[any] {
	return gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      openFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= failuresToOpen },
		IsSuccessful: func(err error) bool { return !isOutage(err) },
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, domain.ErrBusy) ||
				errors.Is(err, context.DeadlineExceeded) && !isOutage(err)
		},
	})
}
