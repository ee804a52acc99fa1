package deploytest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

// gateway answers as that of Snowflake does, and hands on what has its token.
func gateway(t *testing.T, health int) string {
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

func TestTheSmokeTestAsksAsACallerWould(t *testing.T) {
	t.Setenv("SMOKE_PAUSE", "0")
	o := newOperator(t)
	for name, tt := range map[string]struct {
		pat, url string
		code     int
		says     string
	}{
		"without a token it sees the gateway":    {"", gateway(t, http.StatusOK), 0, "/: 401"},
		"with one it asks the service":           {"a PAT", gateway(t, http.StatusOK), 0, `/api/v1/health: 200 {"status":"healthy"}`},
		"a service that is not ready is said so": {"a PAT", gateway(t, http.StatusServiceUnavailable), 1, "was answered with 503"},
		"nothing there is said so":               {"", "http://127.0.0.1:1", 1, "was answered with 000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SNOWFLAKE_PAT", tt.pat)
			r := o.run("", "bash", "deploy/smoke.sh", tt.url)
			assert.Equal(t, tt.code, r.code, r.out)
			assert.Contains(t, r.out, tt.says)
		})
	}
}
