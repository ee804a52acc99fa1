package guard

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	// FailuresToOpen is how many consecutive outages open the circuit breaker.
	FailuresToOpen = 5
	// OpenFor is how long the circuit breaker stays open before it lets one operation through.
	OpenFor = time.Second
)

type outage struct{ error }

func (o outage) Unwrap() error { return o.error }

// Outage marks err as one that means that the database was not reached or did not answer. Such errors open the
// circuit breaker.
func Outage(err error) error { return outage{err} }

// IsOutage reports whether err wraps an error that [Outage] marked.
func IsOutage(err error) bool { return errors.As(err, new(outage)) }

// Healthy reports whether the last operation had a reply from the database.
func (g *Guard) Healthy() bool { return g.breaker.Counts().ConsecutiveFailures == 0 }

// Closed reports whether the circuit breaker lets all operations through.
func (g *Guard) Closed() bool { return g.breaker.State() == gobreaker.StateClosed }

// newBreaker returns a circuit breaker that stops calls to a database that does not answer. Errors that the
// database reports, and cancelled calls, do not count as failures.
func newBreaker() *gobreaker.CircuitBreaker[any] {
	return gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		MaxRequests:  1,
		Timeout:      OpenFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= FailuresToOpen },
		IsSuccessful: func(err error) bool { return !IsOutage(err) },
		IsExcluded: func(err error) bool {
			return errors.Is(err, context.Canceled) || errors.Is(err, domain.ErrBusy) ||
				errors.Is(err, context.DeadlineExceeded) && !IsOutage(err)
		},
	})
}
