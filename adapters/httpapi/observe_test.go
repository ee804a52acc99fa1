package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestALogLineHasTheRouteAndNothingThatTheClientSent(t *testing.T) {
	const account = "0193f2c7-5d1e-7c3a-8f00-9a6b1c2d3e4f"
	s, logs := newServer(t, useCases{})
	for target, want := range map[string]map[string]any{
		"/api/v1/items/secret?secret":         {"route": "/api/v1/items/:id", "status": int64(422), "code": "invalid", "account_id": account},
		"/api/v1/items/secret/secret":         {"route": "", "status": int64(404), "code": "no_such_path"},
		"/secret":                             {"route": "", "status": int64(404), "code": "no_such_path"},
		"/api/v1/items?limit=secret":          {"route": "/api/v1/items/", "status": int64(422), "code": "invalid", "account_id": account},
		"/" + strings.Repeat("secret/", 2000): {"route": "", "status": int64(414), "code": "uri_too_long"},
		"/api/v1/openapi.json?secret":         {"route": "/api/v1/openapi.json", "status": int64(200)},
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

func TestAnInvalidRequestIDIsReplaced(t *testing.T) {
	s, _ := newServer(t, useCases{})
	for id, usable := range map[string]bool{
		"a": true, "AZaz09._-": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a b": false, "a\n": false, "é": false, "a\x00": false, `{"a":1}`: false,
	} {
		got := send(s, "GET", "/livez", nil, "X-Request-ID", id).Header().Get("X-Request-ID")
		assert.Regexp(t, validRequestID, got)
		assert.Equal(t, usable, got == id, "%q", id)
	}
}

func TestAServerThatLogsOnlyErrorsStillReplies(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	s, _ := newServer(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
		return domain.Page[domain.Item]{}, errors.New("broken")
	}})
	s.Log = zap.New(core)
	assert.Equal(t, http.StatusOK, send(s, "GET", "/livez", nil).Code)
	assert.Empty(t, logs.TakeAll())
	assert.Equal(t, http.StatusInternalServerError, send(s, "GET", "/api/v1/items/", nil).Code)
	assert.Equal(t, 1, logs.Len())
}

// costly is a list of items that cost two statements.
func costly(ctx context.Context, _ domain.PageRequest) (domain.Page[domain.Item], error) {
	requestinfo.FromContext(ctx).Add(requestinfo.Cost{Statements: 2, Rows: 30, Waited: 1500 * time.Microsecond, Ran: 20 * time.Millisecond})
	return domain.Page[domain.Item]{}, nil
}

func TestProbesAreLoggedOnlyIfTheyFail(t *testing.T) {
	s, logs := newServer(t, useCases{})
	send(s, "GET", "/livez", nil)
	assert.Empty(t, logs.TakeAll())
	send(s, "GET", "/readyz", nil)
	assert.Equal(t, int64(http.StatusServiceUnavailable), logs.TakeAll()[0].ContextMap()["status"])
	s.SetState(Ready)
	send(s, "GET", "/readyz", nil)
	assert.Empty(t, logs.TakeAll())
}

func TestALogLineHasTheCostInTheStore(t *testing.T) {
	s, logs := newServer(t, useCases{items: costly})
	send(s, "GET", "/api/v1/items/", nil)
	line := logs.TakeAll()[0].ContextMap()
	assert.Equal(t, []any{int64(2), int64(30), 1.5, 20.0}, []any{line["statements"], line["rows"], line["store_wait_ms"], line["store_ms"]})
}

func TestTheStoreGetsTheRouteAndTheIDsOfARequest(t *testing.T) {
	var seen *requestinfo.Info
	s, logs := newServer(t, useCases{items: func(ctx context.Context, _ domain.PageRequest) (domain.Page[domain.Item], error) {
		seen = requestinfo.FromContext(ctx)
		return domain.Page[domain.Item]{}, nil
	}})
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	send(s, "GET", "/api/v1/items?limit=1", nil, "X-Request-ID", "the-id", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
	assert.Equal(t, []string{"/api/v1/items/", "the-id", trace}, []string{seen.Route, seen.RequestID, seen.TraceID})
	assert.Equal(t, trace, logs.TakeAll()[0].ContextMap()["trace_id"])
}

func TestAnInvalidTraceparentIsIgnored(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for header, want := range map[string]string{
		"00-" + id + "-00f067aa0ba902b7-01":       id,
		"01-" + id + "-00f067aa0ba902b7-01-later": id,
		"":                                      "",
		id:                                      "",
		"ff-" + id + "-00f067aa0ba902b7-01":     "",
		"00-" + id[1:] + "-00f067aa0ba902b7-01": "",
		"00-" + strings.ToUpper(id) + "-00f067aa0ba902b7-01":     "",
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01": "",
		"00-" + id + `"; drop-00f067aa0ba902b7-01`:               "",
		"00-" + id + "-00f067aa0ba902b7-01-later":                "",
		"00-" + id + "-00f067aa0ba902b7-01later":                 "",
		"01-" + id + "-00f067aa0ba902b7-01later":                 "",
		"00-" + id + "-0000000000000000-01":                      "",
	} {
		s, logs := newServer(t, useCases{items: costly})
		send(s, "GET", "/api/v1/items/", nil, "Traceparent", header)
		got, _ := logs.TakeAll()[0].ContextMap()["trace_id"].(string)
		assert.Equal(t, want, got, header)
	}
}

func TestServerTiming(t *testing.T) {
	header := func(t *testing.T, on bool, items func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error)) string {
		s, _ := newServer(t, useCases{items: items})
		s.ServerTiming = on
		return send(s, "GET", "/api/v1/items/", nil).Header().Get("Server-Timing")
	}
	t.Run("has the cost in the store if it is switched on", func(t *testing.T) {
		assert.Equal(t, `store;dur=20.0, wait;dur=1.5, statements;desc="2"`, header(t, true, costly))
	})
	t.Run("is on a refusal too", func(t *testing.T) {
		assert.NotEmpty(t, header(t, true, func(ctx context.Context, p domain.PageRequest) (domain.Page[domain.Item], error) {
			page, _ := costly(ctx, p)
			return page, domain.ErrSignedOut
		}))
	})
	t.Run("is absent if it is switched off or no statement was sent", func(t *testing.T) {
		assert.Empty(t, header(t, false, costly))
		assert.Empty(t, header(t, true, func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
			return domain.Page[domain.Item]{}, nil
		}))
	})
}
