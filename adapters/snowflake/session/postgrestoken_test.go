package session

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestATokenIsForTheNamedInstanceAndRole(t *testing.T) {
	f := newFixture(t)
	f.server.PostgresToken = func(instance, role string) string { return instance + " and " + role }
	for _, name := range []string{"echo_pg", `"Echo""Pg"`, `it's`, `\`, `\'`, `'); DROP TABLE notes; --`} {
		token, err := PostgresToken(t.Context(), f.DB, name, name)
		require.NoError(t, err, name)
		assert.Equal(t, name+" and "+name, token)
	}
	require.NoError(t, f.read(t.Context()))
}

func TestATokenIsInNoSpan(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	f := newFixture(t, func(o *Options) { o.Traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)) })
	f.server.PostgresToken = func(string, string) string { return "opaque" }
	_, err := PostgresToken(t.Context(), f.DB, "echo_pg", "echo_app")
	require.NoError(t, err)
	require.NotEmpty(t, spans.GetSpans())
	assert.NotContains(t, fmt.Sprintf("%+v", spans.GetSpans()), "opaque")
}

func TestWithoutATokenThereIsAnError(t *testing.T) {
	f := newFixture(t)
	f.server.PostgresToken = func(string, string) string { return "" }
	_, err := PostgresToken(t.Context(), f.DB, "echo_pg", "echo_app")
	require.ErrorContains(t, err, "no token")

	f.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Code: "2003"} })
	_, err = PostgresToken(t.Context(), f.DB, "echo_pg", "echo_app")
	require.Error(t, err)
	f.server.Stop()
	_, err = PostgresToken(t.Context(), f.DB, "echo_pg", "echo_app")
	assert.ErrorIs(t, err, domain.ErrUnavailable)
}
