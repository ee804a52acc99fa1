package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// State says whether new requests should come here.
type State int32

// The states in the order in which a process goes through them.
const (
	Starting State = iota // the store was not reached yet
	Ready
	Draining // the process is about to end
)

func (s State) String() string { return [...]string{"starting", "ready", "draining"}[s] }

// SetState says what /readyz and /health answer from now on; it never goes back to an earlier
// state. Requests are served in any state: a later outage of the store is a 503 of each request
// that needs it, not of the instance.
func (s *Server) SetState(state State) {
	if state == Ready {
		s.reached.Store(true)
	}
	for old := s.state.Load(); old < int32(state); old = s.state.Load() {
		if s.state.CompareAndSwap(old, int32(state)) {
			return
		}
	}
}

// State returns the last state that was set.
func (s *Server) State() State { return State(s.state.Load()) }

// probe is what /livez and /readyz answer; they are the platform's, not the contract's.
type probe struct {
	Status  string `json:"status"`
	Storage string `json:"storage,omitzero"` // which store it is
	Store   string `json:"store,omitzero"`   // whether it was reached since the start
}

const (
	livez  = "/livez"
	readyz = "/readyz"
)

func isProbe(route string) bool { return route == livez || route == readyz }

func (s *Server) registerProbes(open *openRoutes) {
	open.GET(livez, func(c echo.Context) error {
		return writeJSON(c, http.StatusOK, probe{Status: "alive"})
	})
	open.GET(readyz, func(c echo.Context) error {
		state, status := s.State(), http.StatusOK
		if state != Ready {
			status = http.StatusServiceUnavailable
			c.Response().Header().Set(echo.HeaderRetryAfter, "1")
		}
		store := "not reached yet"
		if s.reached.Load() {
			store = "reached"
		}
		return writeJSON(c, status, probe{Status: state.String(), Storage: s.Storage, Store: store})
	})
}

var errNotReady = &domain.Error{Kind: domain.Unavailable, Code: "not_ready", Message: "the service is starting or stopping: try again"}

// GetHealth implements GET /health. It asks nobody: a probe must not wake a warehouse.
func (s *Server) GetHealth(c echo.Context) error {
	if s.State() != Ready {
		return errNotReady
	}
	return writeJSON(c, http.StatusOK, Health{Status: Healthy})
}
