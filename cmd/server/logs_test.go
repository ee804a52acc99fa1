package main

import (
	"bytes"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap/zapcore"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// written returns all log lines as the service writes them.
func (r *testService) written(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	log, lines := newLoggers(config.Config{LogLevel: "debug", LogFormat: "json"}, &out)
	for _, line := range r.logs.All() {
		require.NoError(t, log.ordinary.Core().Write(line.Entry, line.Context))
	}
	require.NoError(t, lines.Close(waitLimit))
	return out.String()
}

func passwordFile(t *testing.T, password string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(path, []byte(password), 0o600))
	return path
}

func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	r := newService(t, "--first-superuser-password-file="+passwordFile(t, "secret of the admin"))
	admin := r.admin(t)
	const email, password, next = "ann.secret@example.com", "first secret of Ann", "next secret of Ann"
	admin.request("POST", "/users/", fields{"email": email, "password": password, "full_name": "Ann Secret"}).is(http.StatusCreated)
	ann := r.client(t).signIn(email, password)
	item := "/items/" + ann.request("POST", "/items/", fields{"title": "secret title"}).is(http.StatusCreated).text("id")
	ann.request("PATCH", item, fields{"title": "secret title", "secret field": 1}).is(http.StatusUnprocessableEntity)
	ann.request("GET", item+"?secret=query", nil, "Cookie", "secret=cookie").is(http.StatusOK)
	ann.request("GET", "/secret/path", nil).is(http.StatusNotFound)
	ann.request("POST", "/users/", fields{"email": "secret@example.com", "password": next}).is(http.StatusForbidden)
	ann.request("PATCH", "/users/me", fields{"email": adminEmail}).is(http.StatusConflict)
	ann.request("PATCH", "/users/me/password", fields{"current_password": "wrong secret", "new_password": next}).is(http.StatusForbidden)
	ann.request("PATCH", "/users/me/password", fields{"current_password": password, "new_password": next}).is(http.StatusNoContent)
	ann.request("GET", "/users/me", nil).is(http.StatusUnauthorized)
	r.client(t).request("POST", "/auth/login", signInForm(email, "wrong secret")).is(http.StatusUnauthorized)
	client{t, r.origin, "secret.made.up"}.request("GET", "/users/me", nil).is(http.StatusUnauthorized)
	for _, path := range []string{"/auth/snowflake", "/users/me", "/health", "/nowhere"} {
		r.client(t).request("POST", path, nil, "Sf-Context-Current-User-Token", "secret.of.the.caller")
	}

	written := strings.ToLower(r.written(t))
	require.Contains(t, written, `"route":"/api/v1/items/:id"`)
	for _, secret := range []string{
		"secret", strings.ToLower(password), adminPassword, adminEmail, "@example.com", strings.TrimPrefix(item, "/items/"),
		strings.ToLower(ann.token), strings.ToLower(ann.token[strings.LastIndexByte(ann.token, '.'):]), "argon2id", "bearer",
	} {
		assert.NotContains(t, written, secret)
	}
}

func TestNoSecretOfASessionOrAClientIsLogged(t *testing.T) {
	t.Parallel()
	r := newServiceBehindGateway(t, true)
	ann, _ := r.admin(t).newAccount("ann@example.com")
	first := ann.signInFully("ann@example.com")
	second := grantOf(ann.refresh(first.refresh))
	third := grantOf(ann.refresh(second.refresh))
	ann.refresh(first.refresh).is(http.StatusBadRequest)
	ann.refresh(third.refresh + "x").is(http.StatusBadRequest)
	ann.request("POST", "/auth/logout", url.Values{"token": {third.refresh}}).is(http.StatusNoContent)
	p := ann.newClient(fields{"name": "of-the-client"})
	p.signIn(ann)
	wrong := basicAuth(p.id, "echo_cs_wrong")
	ann.request("POST", "/auth/login", url.Values{"grant_type": {"client_credentials"}}, "Authorization", wrong).is(http.StatusUnauthorized)
	ann.request("POST", "/auth/login", p.form(), "Authorization", basicAuth(p.id, p.secret), "User-Agent", "of-the-agent").is(http.StatusBadRequest)
	ann.signInAs("of-the-caller").is(http.StatusOK)
	ann.signInAs("forged").is(http.StatusUnauthorized)

	written := strings.ToLower(r.written(t))
	require.Contains(t, written, `"event":"refresh_token_reused"`)
	require.Contains(t, written, `"event":"client_sign_in_failed"`)
	lookup, newest, _ := strings.Cut(strings.TrimPrefix(third.refresh, "echo_rt_"), ".")
	for _, secret := range []string{
		"echo_rt_", "echo_cs_", lookup, newest, first.access, third.access, p.secret, "basic", wrong, "of-the-", "forged",
	} {
		assert.NotContains(t, written, strings.ToLower(secret))
	}
}

func TestTheLogHasOneLineForEachRequest(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	id := admin.request("GET", "/users/me", nil).text("id")
	item := admin.newItem("x")
	r.logs.TakeAll()

	for name, c := range map[string]struct {
		by           client
		method, path string
		want         map[string]any
	}{
		"found":         {admin, "GET", item, map[string]any{"route": "/api/v1/items/:id", "status": int64(200), "account_id": id}},
		"not found":     {admin, "GET", "/items/" + newID(), map[string]any{"route": "/api/v1/items/:id", "status": int64(404), "account_id": id, "code": "not_found"}},
		"no such path":  {admin, "GET", "/secret", map[string]any{"route": "", "status": int64(404), "code": "no_such_path"}},
		"not signed in": {r.client(t), "GET", "/items", map[string]any{"route": "/api/v1/items/", "status": int64(401), "code": "not_signed_in"}},
		"bad method":    {admin, "PUT", item, map[string]any{"route": "/api/v1/items/:id", "status": int64(405), "code": "method_not_allowed"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.by.in(t).request(c.method, c.path, nil, "X-Request-ID", "the-id")
			// The service writes the line after the response has begun.
			require.Eventually(t, func() bool { return r.logs.Len() > 0 }, waitLimit, pollInterval)
			lines := r.logs.TakeAll()
			require.Len(t, lines, 1)
			line := lines[0].ContextMap()
			assert.IsType(t, 0.0, line["duration_ms"])
			for _, cost := range []string{"duration_ms", "statements", "rows", "store_ms", "store_wait_ms"} {
				delete(line, cost)
			}
			c.want["request_id"], c.want["method"] = "the-id", c.method
			assert.Equal(t, c.want, line)
			assert.Equal(t, zapcore.InfoLevel, lines[0].Level)
		})
	}
}

func TestAnAuditLineNamesTheEventTheActorAndTheAccount(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	adminID := admin.request("GET", "/users/me", nil).text("id")
	r.logs.TakeAll()
	_, id := admin.newAccount("ann@example.com")
	admin.request("PATCH", "/users/"+id, fields{"full_name": "Ann", "is_superuser": true}).is(http.StatusOK)
	admin.request("PATCH", "/users/"+id, fields{"is_active": false}, "X-Request-ID", "the-id").is(http.StatusOK)
	admin.request("DELETE", "/users/"+id, nil).is(http.StatusNoContent)

	var events []string
	for _, line := range r.logs.FilterMessage("audit").All() {
		fields := line.ContextMap()
		events = append(events, fields["event"].(string))
		assert.Equal(t, id, fields["subject_id"])
		if fields["event"] != "signed_in" {
			assert.Equal(t, adminID, fields["actor_id"])
		}
		if fields["event"] == "activation_changed" {
			assert.Equal(t, "the-id", fields["request_id"])
		}
	}
	assert.Equal(t, []string{"user_created", "signed_in", "profile_changed", "role_changed", "activation_changed", "user_deleted"}, events)
}

// fullDisk refuses every write.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestLostLogLinesAreAMetric(t *testing.T) {
	t.Parallel()
	log, lines := newLoggers(config.Config{}, fullDisk{})
	reader := sdkmetric.NewManualReader()
	require.NoError(t, observeLog(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), lines))
	log.ordinary.Info("lost")
	log.essential.Info("lost too")
	require.NoError(t, lines.Close(waitLimit))

	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	require.Len(t, all.ScopeMetrics, 1)
	require.Len(t, all.ScopeMetrics[0].Metrics, 1)
	dropped := all.ScopeMetrics[0].Metrics[0]
	assert.Equal(t, "echo.log.dropped_lines", dropped.Name)
	assert.EqualValues(t, 2, dropped.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
}
