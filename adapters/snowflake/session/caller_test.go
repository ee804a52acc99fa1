package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

const serviceToken = "the.token-of:the-service"

// callerFixture is a CallerIdentity on a fake of Snowflake, which is also its [portstest.Gateway].
type callerFixture struct {
	*CallerIdentity
	*snowflaketest.Server
	tokenPath string
}

func newCallerFixture(t *testing.T, changes ...func(*Options)) callerFixture {
	t.Helper()
	server := snowflaketest.New(t, engine.Rules{})
	server.SetServiceToken(serviceToken)
	path := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(path, []byte(serviceToken+"\n"), 0o600))
	o := options(server)
	o.Auth, o.Warehouse, o.Role = Auth{TokenPath: path}, "a warehouse", "a role"
	for _, change := range changes {
		change(&o)
	}
	identity, err := NewCallerIdentity(o)
	require.NoError(t, err)
	return callerFixture{identity, server, path}
}

func (f callerFixture) CallerToken(user string) string {
	return f.Server.CallerToken(serviceToken, user)
}

func (f callerFixture) ForeignCallerToken(user string) string {
	return f.Server.CallerToken("the token of another service", user)
}

func (f callerFixture) ExpireCallerTokens() {
	now := f.Now().Add(snowflaketest.CallerTokenLife)
	f.Server.Now = func() time.Time { return now }
}

func (f callerFixture) Hang() {
	f.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
}

// answer makes the fake answer requests on a path in this way.
func (f callerFixture) answer(path string, fault snowflaketest.Fault) {
	f.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
		if r.Path == path {
			return &fault
		}
		return nil
	})
}

func TestCallerIdentity(t *testing.T) {
	portstest.TestCallerIdentity(t, func(t *testing.T) (ports.CallerIdentity, portstest.Gateway) {
		f := newCallerFixture(t)
		return f, f
	})
}

func TestACallerIsIdentifiedInASessionOfItsOwn(t *testing.T) {
	f := newCallerFixture(t)
	info := &requestinfo.Info{RequestID: "r1", Route: "/api/v1/auth/snowflake"}
	_, err := f.Identify(requestinfo.NewContext(t.Context(), info), f.CallerToken("ANN"))
	require.NoError(t, err)
	var paths []string
	require.Eventually(t, func() bool {
		paths = nil
		for _, r := range f.Requests() {
			paths = append(paths, r.Path)
		}
		return len(paths) >= 3
	}, 5*time.Second, time.Millisecond)
	assert.Equal(t, []string{snowflaketest.LoginPath, snowflaketest.QueryPath, "/session"}, paths)

	login, query := f.Requests()[0], f.Requests()[1]
	for _, ours := range []string{"warehouse", "roleName", "databaseName", "schemaName"} {
		assert.Empty(t, login.URL.Query().Get(ours), "the caller may have no right to it")
	}
	assert.JSONEq(t, `{"app":"echo-in-snowflake","v":"test","route":"/api/v1/auth/snowflake","rid":"r1","trace":""}`, query.Tag)
	assert.Equal(t, 1, info.Cost().Statements)
}

func TestTheServiceTokenIsReadForEachCaller(t *testing.T) {
	f := newCallerFixture(t)
	assertIdentifies := func(token string) {
		t.Helper()
		_, err := f.Identify(t.Context(), f.Server.CallerToken(token, "ANN"))
		assert.NoError(t, err)
	}
	assertIdentifies(serviceToken)
	f.SetServiceToken("the next token")
	require.NoError(t, os.WriteFile(f.tokenPath, []byte("the next token"), 0o600))
	assertIdentifies("the next token")

	require.NoError(t, os.Remove(f.tokenPath))
	_, err := f.Identify(t.Context(), f.Server.CallerToken("the next token", "ANN"))
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestACallerIsNotBlamedForAnotherFault(t *testing.T) {
	for name, inject := range map[string]func(callerFixture){
		"the service token is refused": func(f callerFixture) { f.SetServiceToken("another token") },
		"a gateway answers the login":  func(f callerFixture) { f.answer(snowflaketest.LoginPath, snowflaketest.Fault{Status: 502}) },
		"the login is no JSON": func(f callerFixture) {
			f.answer(snowflaketest.LoginPath, snowflaketest.Fault{Status: 200, Body: "<html>"})
		},
		"the login is forbidden":            func(f callerFixture) { f.answer(snowflaketest.LoginPath, snowflaketest.Fault{Status: 403}) },
		"the login is cut off":              func(f callerFixture) { f.answer(snowflaketest.LoginPath, snowflaketest.Fault{Drop: true}) },
		"the login has another fault":       func(f callerFixture) { f.answer(snowflaketest.LoginPath, snowflaketest.Fault{Code: "000603"}) },
		"the query fails":                   func(f callerFixture) { f.answer(snowflaketest.QueryPath, snowflaketest.Fault{Code: "000606"}) },
		"the session ends before the query": func(f callerFixture) { f.answer(snowflaketest.QueryPath, snowflaketest.Fault{Code: "390111"}) },
		"the reply is cut off":              func(f callerFixture) { f.answer(snowflaketest.QueryPath, snowflaketest.Fault{Truncate: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newCallerFixture(t)
			inject(f)
			_, err := f.Identify(t.Context(), f.CallerToken("ANN"))
			assert.ErrorIs(t, err, domain.ErrUnavailable)
		})
	}
	for _, name := range []string{"", strings.Repeat("X", domain.MaxSnowflakeUser+1)} {
		f := newCallerFixture(t)
		u, err := f.Identify(t.Context(), f.CallerToken(name))
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.ErrorContains(t, err, "CURRENT_USER() is not the name of a user")
		assert.Zero(t, u)
	}
}

func TestACallerCannotStopTheSignInsOfOthers(t *testing.T) {
	for name, fault := range map[string]struct{ path, code, user string }{
		"by a setting with which every statement fails": {snowflaketest.QueryPath, "000008", "EVE"},
		"by a login that fails":                         {snowflaketest.LoginPath, "000603", "EVE"},
		"by a name that is none":                        {"", "", strings.Repeat("X", domain.MaxSnowflakeUser+1)},
	} {
		t.Run(name, func(t *testing.T) {
			f := newCallerFixture(t)
			f.answer(fault.path, snowflaketest.Fault{Code: fault.code})
			for range guard.FailuresToOpen {
				_, err := f.Identify(t.Context(), f.CallerToken(fault.user))
				require.ErrorIs(t, err, domain.ErrUnavailable)
			}
			f.Intercept(nil)
			_, err := f.Identify(t.Context(), f.CallerToken("ANN"))
			assert.NoError(t, err)
		})
	}
}

func TestATokenWithoutTheFormOfOneIsNotSent(t *testing.T) {
	f := newCallerFixture(t)
	for _, token := range []string{"", "a\r\nb", "a b", `a"`, `a\`, "é", strings.Repeat("a", maxCallerToken+1)} {
		_, err := f.Identify(t.Context(), token)
		assert.ErrorIs(t, err, domain.ErrInvalidCallerToken)
	}
	assert.Empty(t, f.Requests())
}

// The fake repeats a token that it refuses.
func TestNoErrorAndNoSpanShowsAToken(t *testing.T) {
	echo := func(body string) func(callerFixture, string) {
		return func(f callerFixture, token string) {
			body := fmt.Sprintf(body, serviceToken+"."+token)
			f.answer(snowflaketest.LoginPath, snowflaketest.Fault{Status: 200, Body: body})
		}
	}
	for name, inject := range map[string]func(f callerFixture, token string){
		"a caller is refused":         func(f callerFixture, _ string) { f.DropUser("ANN") },
		"the service is refused":      func(f callerFixture, _ string) { f.SetServiceToken("another token") },
		"Snowflake refuses in words":  echo(`{"success": false, "code": "390303", "message": "%s"}`),
		"Snowflake's number is wrong": echo(`{"success": false, "code": "%s"}`),
		"the driver panics": func(f callerFixture, _ string) {
			f.connector.config.Transporter = roundTripper(func(r *http.Request) (*http.Response, error) {
				body, _ := r.GetBody()
				content := make([]byte, 1<<16)
				n, _ := body.Read(content)
				panic(string(content[:n]))
			})
		},
		"the transport repeats the request": func(f callerFixture, _ string) {
			f.connector.config.Transporter = roundTripper(func(r *http.Request) (*http.Response, error) {
				body, _ := r.GetBody()
				content := make([]byte, 1<<16)
				n, _ := body.Read(content)
				return nil, errors.New(string(content[:n]))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			spans := tracetest.NewInMemoryExporter()
			f := newCallerFixture(t, func(o *Options) { o.Traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)) })
			token := f.CallerToken("ANN")
			inject(f, token)
			_, err := f.Identify(t.Context(), token)
			require.Error(t, err)
			shown := fmt.Sprintf("%+v %#v %+v", err, err, spans.GetSpans())
			require.NotEmpty(t, spans.GetSpans())
			assert.NotContains(t, shown, token)
			assert.NotContains(t, shown, serviceToken)
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheDriverLogsNoToken(t *testing.T) {
	f := newCallerFixture(t)
	_, err := f.Identify(t.Context(), f.CallerToken("ANN"))
	require.NoError(t, err)
	_, err = f.Identify(t.Context(), "forged")
	require.ErrorIs(t, err, domain.ErrInvalidCallerToken)
	assert.Empty(t, driverLog.String())
}

func TestOnlyTheTokenOfAServiceIdentifiesCallers(t *testing.T) {
	_, err := NewCallerIdentity(Options{Auth: Auth{User: "u", Password: "p"}, RequestTimeout: time.Second})
	assert.Error(t, err)
}

func TestACallerWhoLeavesIsNoOutage(t *testing.T) {
	f := newCallerFixture(t)
	f.Hang()
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Millisecond, cancel)
		_, err := f.Identify(ctx, f.CallerToken("ANN"))
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.ErrorIs(t, err, context.Canceled)
	}
	f.Intercept(nil)
	_, err := f.Identify(t.Context(), f.CallerToken("ANN"))
	assert.NoError(t, err)
}
