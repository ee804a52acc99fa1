package deploytest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

// newGateway starts a server that answers as Snowflake's gateway does: without a token with 401, with one as
// the service behind it.
func newGateway(t *testing.T, health int) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("X-SF-SPCS-Authorization") != `Snowflake Token="a PAT"`:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/api/v1/health":
			w.WriteHeader(health)
			fmt.Fprint(w, `{"status":"healthy"}`)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestTheSmokeTestAsksAsAClientDoes(t *testing.T) {
	o := newOperator(t)
	for name, tt := range map[string]struct {
		pat, url string
		code     int
		says     string
	}{
		"without a token it sees the gateway":       {"", newGateway(t, http.StatusOK), 0, "/: 401"},
		"with a token it asks the service":          {"a PAT", newGateway(t, http.StatusOK), 0, `/api/v1/health: 200 {"status":"healthy"}`},
		"it reports a service that is not ready":    {"a PAT", newGateway(t, http.StatusServiceUnavailable), 1, "was answered with 503"},
		"it reports an address that nobody answers": {"a PAT", "http://127.0.0.1:1", 1, "was answered with 000"},
	} {
		t.Run(name, func(t *testing.T) {
			r := o.run(map[string]string{"SMOKE_PAUSE": "0", "SNOWFLAKE_PAT": tt.pat}, "", "bash", "deploy/smoke.sh", tt.url)
			assert.Equal(t, tt.code, r.Code, r.Out)
			assert.Contains(t, r.Out, tt.says)
		})
	}
}
