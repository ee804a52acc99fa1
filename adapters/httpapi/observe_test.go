package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestALogLineHasTheRouteAndNothingThatTheClientWrote(t *testing.T) {
	const account = "0193f2c7-5d1e-7c3a-8f00-9a6b1c2d3e4f"
	s, logs := serve(t, useCases{})
	for target, want := range map[string]map[string]any{
		"/api/v1/items/secret?secret":         {"route": "/api/v1/items/:id", "status": int64(422), "code": "invalid", "account_id": account},
		"/api/v1/items/secret/secret":         {"route": "", "status": int64(404), "code": "no_such_path"},
		"/secret":                             {"route": "", "status": int64(404), "code": "no_such_path"},
		"/api/v1/items?limit=secret":          {"route": "/api/v1/items/", "status": int64(422), "code": "invalid", "account_id": account},
		"/" + strings.Repeat("secret/", 2000): {"route": "", "status": int64(414), "code": "uri_too_long"},
		"/livez?secret":                       {"route": "/livez", "status": int64(200)},
	} {
		send(s, "GET", target, nil, "X-Request-ID", "the-id", "Cookie", "secret", "User-Agent", "secret")
		lines := logs.TakeAll()
		require.Len(t, lines, 1)
		line := lines[0].ContextMap()
		assert.GreaterOrEqual(t, line["duration_ms"], 0.0)
		delete(line, "duration_ms")
		want["method"], want["request_id"] = "GET", "the-id"
		assert.Equal(t, want, line, target)
		assert.Equal(t, zapcore.InfoLevel, lines[0].Level)
	}
}

func TestARequestIDThatCannotBeUsedIsReplaced(t *testing.T) {
	s, _ := serve(t, useCases{})
	for id, usable := range map[string]bool{
		"a": true, "AZaz09._-": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\n": false, "é": false, "a\x00": false, `{"a":1}`: false,
	} {
		got := send(s, "GET", "/livez", nil, "X-Request-ID", id).Header().Get("X-Request-ID")
		assert.Regexp(t, usableRequestID, got)
		assert.Equal(t, usable, got == id, "%q", id)
	}
}

func TestAServerThatLogsLittleStillAnswers(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	s, _ := serve(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
		return domain.Page[domain.Item]{}, errors.New("broken")
	}})
	s.Log = zap.New(core)
	assert.Equal(t, http.StatusOK, send(s, "GET", "/livez", nil).Code)
	assert.Empty(t, logs.TakeAll())
	assert.Equal(t, http.StatusInternalServerError, send(s, "GET", "/api/v1/items/", nil).Code)
	assert.Equal(t, 1, logs.Len())
}

func TestAnAuditEventIsALineWithTheIDOfItsRequest(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	ctx := context.WithValue(t.Context(), recordKey{}, &record{requestID: "the-id"})
	Audit(zap.New(core))(ctx, domain.Event{Name: domain.EventUserDeleted, ActorID: "a", SubjectID: "b"})
	require.Equal(t, 1, logs.Len())
	assert.Equal(t, map[string]any{"event": "user_deleted", "actor_id": "a", "subject_id": "b", "request_id": "the-id"}, logs.All()[0].ContextMap())
}
