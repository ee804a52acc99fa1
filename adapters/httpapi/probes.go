package httpapi

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// State is the readiness of the process for new requests.
type State int32

// The states, in the order in which a process passes through them.
const (
	Starting State = iota // the store has not been reached
	Ready
	Draining // the process ends soon
)

func (s State) String() string { return [...]string{"starting", "ready", "draining"}[s] }

// SetState sets the state that /readyz and /health report. It ignores a state before the current one. The
// Server serves requests in every state: if the store fails later, each request that needs it gets 503, and
// the instance stays ready.
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

// State returns the current state.
func (s *Server) State() State { return State(s.state.Load()) }

// probe is the reply of /livez and /readyz. The platform calls them; they are not in the contract.
type probe struct {
	Status  string `json:"status"`
	Storage string `json:"storage,omitzero"` // name of the store
	Store   string `json:"store,omitzero"`   // reached since the start, or not
}

const (
	livez  = "/livez"
	readyz = "/readyz"
)

func isProbe(route string) bool {
	return strings.HasSuffix(route, livez) || strings.HasSuffix(route, readyz)
}

func (s *Server) registerProbes(open *openRoutes) {
	for _, folder := range s.folders() {
		open.GET(folder+livez, func(c echo.Context) error {
			return writeJSON(c, http.StatusOK, probe{Status: "alive"})
		})
		open.GET(folder+readyz, s.getReadiness)
	}
}

func (s *Server) getReadiness(c echo.Context) error {
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
}

var errNotReady = &domain.Error{
	Kind: domain.Unavailable, Code: "not_ready", Message: "the service is starting or stopping: try again",
}

// GetHealth implements GET /health. It sends no statement, because a probe must not wake a warehouse.
func (s *Server) GetHealth(c echo.Context) error {
	if s.State() != Ready {
		return errNotReady
	}
	return writeJSON(c, http.StatusOK, Health{Status: Healthy})
}
