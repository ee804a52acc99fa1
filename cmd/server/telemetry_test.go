package main

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	collectmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	collecttraces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// collector is an OpenTelemetry collector in this process. It keeps what it receives.
type collector struct {
	collecttraces.UnimplementedTraceServiceServer
	address string

	mu      sync.Mutex
	service []*common.KeyValue // the attributes of the resource
	spans   []*traces.Span
	metrics map[string]*metrics.Metric // the latest value of each
}

// meters receives the metrics of a collector, in a method that has the same name as that for traces.
type meters struct {
	collectmetrics.UnimplementedMetricsServiceServer
	*collector
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &collector{address: listener.Addr().String(), metrics: map[string]*metrics.Metric{}}
	server := grpc.NewServer()
	collecttraces.RegisterTraceServiceServer(server, c)
	collectmetrics.RegisterMetricsServiceServer(server, meters{collector: c})
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c
}

func (c *collector) Export(_ context.Context, r *collecttraces.ExportTraceServiceRequest) (*collecttraces.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range r.ResourceSpans {
		c.service = of.Resource.Attributes
		for _, scope := range of.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	return &collecttraces.ExportTraceServiceResponse{}, nil
}

func (m meters) Export(_ context.Context, r *collectmetrics.ExportMetricsServiceRequest) (*collectmetrics.ExportMetricsServiceResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, of := range r.ResourceMetrics {
		for _, scope := range of.ScopeMetrics {
			for _, metric := range scope.Metrics {
				m.collector.metrics[metric.Name] = metric
			}
		}
	}
	return &collectmetrics.ExportMetricsServiceResponse{}, nil
}

// named returns the spans with that name.
func (c *collector) named(name string) []*traces.Span {
	return slices.DeleteFunc(slices.Clone(c.spans), func(s *traces.Span) bool { return s.Name != name })
}

// collect starts the service with a collector, on a fake of Snowflake. It calls act, stops the service
// and returns the collector, which then has received everything.
func collect(t *testing.T, act func(*testService, *snowflaketest.Server), flags ...string) *collector {
	t.Helper()
	c := startCollector(t)
	server := fakeSnowflake(t, engine.Rules{})
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"+c.address) // The platform sets it.
	t.Setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", c.address)
	r := newService(t, append(flags, snowflakeConfig(t, server))...)
	act(r, server)
	r.stop()
	for range r.stopped {
	}
	require.NoError(t, r.sink.Close())
	return c
}

// labels returns the attributes of a span or a data point, as text.
func labels(attributes []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range attributes {
		all[a.Key] = a.Value.GetStringValue()
		if _, ok := a.Value.Value.(*common.AnyValue_IntValue); ok {
			all[a.Key] = a.Value.String()
		}
	}
	return all
}

func TestARequestIsATraceWithASpanForEachStatement(t *testing.T) {
	var traceID string
	var sent []string
	c := collect(t, func(r *testService, server *snowflaketest.Server) {
		admin := r.admin(t)
		before := len(server.Requests())
		admin.request("GET", "/items/", nil).is(http.StatusOK)
		lines := r.logs.FilterMessage("request").All()
		traceID = lines[len(lines)-1].ContextMap()["trace_id"].(string)
		for _, q := range server.Requests()[before:] {
			sent = append(sent, q.Header.Get("Traceparent"))
		}
	})
	requests := c.named("GET /api/v1/items/")
	require.Len(t, requests, 1)
	request := requests[0]
	assert.Equal(t, traces.Span_SPAN_KIND_SERVER, request.Kind)
	assert.Equal(t, hex.EncodeToString(request.TraceId), traceID, "the log line names the trace")
	assert.Equal(t, "/api/v1/items/", labels(request.Attributes)["http.route"])
	assert.NotEmpty(t, labels(request.Attributes)["echo.request_id"])

	of := slices.DeleteFunc(c.named("SELECT"), func(s *traces.Span) bool { return !slices.Equal(s.ParentSpanId, request.SpanId) })
	require.Len(t, of, 1)
	statement := of[0]
	assert.Equal(t, traces.Span_SPAN_KIND_CLIENT, statement.Kind)
	assert.Equal(t, request.TraceId, statement.TraceId)
	assert.Contains(t, labels(statement.Attributes)["db.query.text"], "FROM items")
	assert.Equal(t, "echo_db|echo_schema", labels(statement.Attributes)["db.namespace"])
	assert.NotEmpty(t, labels(statement.Attributes)["snowflake.query_id"])
	assert.Equal(t, []string{"00-" + traceID + "-" + hex.EncodeToString(statement.SpanId) + "-01"}, sent, "Snowflake gets the trace")

	assert.Len(t, c.named("LOGIN"), 1, "a login has a span, too")

	minutes := time.Duration(binary.BigEndian.Uint32(request.TraceId)) * time.Minute
	assert.WithinDuration(t, time.Now(), time.Unix(0, 0).Add(minutes), 2*time.Minute, "Snowsight needs the time in the id")
	assert.Equal(t, "echo-in-snowflake", labels(c.service)["service.name"])
	assert.NotEmpty(t, labels(c.service)["service.instance.id"])
}

func TestATransactionIsATraceWithASpanForEachStep(t *testing.T) {
	var sent []string
	c := collect(t, func(r *testService, server *snowflaketest.Server) {
		admin := r.admin(t)
		before := len(server.Requests())
		admin.request("POST", "/users/", fields{"email": "a@example.com", "password": goodPassword}).is(http.StatusCreated)
		for _, q := range server.Requests()[before:] {
			sent = append(sent, strings.Split(q.Header.Get("Traceparent"), "-")[2])
		}
	})
	request := c.named("POST /api/v1/users/")[0]
	var steps, spans []string
	for _, s := range c.spans {
		if slices.Equal(s.ParentSpanId, request.SpanId) {
			steps, spans = append(steps, s.Name), append(spans, hex.EncodeToString(s.SpanId))
		}
	}
	assert.Equal(t, []string{"BEGIN", "UPDATE", "INSERT", "COMMIT"}, steps)
	whole := hex.EncodeToString(request.SpanId)
	assert.Equal(t, []string{whole, spans[1], spans[2], whole}, sent, "the driver sends COMMIT without its span")
}

func TestTheTraceOfAClientIsContinuedOrLinked(t *testing.T) {
	const theirs, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	send := func(r *testService, _ *snowflaketest.Server) {
		r.client(t).request("GET", "/health", nil, "Traceparent", "00-"+theirs+"-"+parent+"-01").is(http.StatusOK)
	}
	t.Run("it is continued outside Snowflake", func(t *testing.T) {
		span := collect(t, send).named("GET /api/v1/health")[0]
		assert.Equal(t, theirs, hex.EncodeToString(span.TraceId))
		assert.Equal(t, parent, hex.EncodeToString(span.ParentSpanId))
		assert.Empty(t, span.Links)
	})
	t.Run("it is linked inside Snowflake, because Snowsight would not find it", func(t *testing.T) {
		span := collect(t, send, "--otel-propagators=none").named("GET /api/v1/health")[0]
		assert.NotEqual(t, theirs, hex.EncodeToString(span.TraceId))
		assert.Empty(t, span.ParentSpanId)
		require.Len(t, span.Links, 1)
		assert.Equal(t, theirs, hex.EncodeToString(span.Links[0].TraceId))
	})
}

func TestTracesAndMetricsShowAnOutage(t *testing.T) {
	c := collect(t, func(r *testService, server *snowflaketest.Server) {
		admin := r.admin(t)
		server.Stop()
		for range 10 {
			admin.request("GET", "/items/", nil).is(http.StatusServiceUnavailable)
		}
	})
	for _, s := range c.named("GET /api/v1/items/") {
		assert.Equal(t, traces.Status_STATUS_CODE_ERROR, s.Status.Code)
		assert.Equal(t, "unavailable", labels(s.Attributes)["error.type"])
	}
	statements := c.named("SELECT")
	last := statements[len(statements)-1]
	assert.Equal(t, traces.Status_STATUS_CODE_ERROR, last.Status.Code)
	assert.NotEmpty(t, labels(last.Attributes)["error.type"])
	// A second after it opened, the breaker is half-open, even without a call.
	assert.Positive(t, c.metrics["echo.breaker.state"].GetGauge().DataPoints[0].GetAsInt(), "not closed")
}

func TestTheSpanOfARefusedStatementHasItsQueryIDAndErrorNumber(t *testing.T) {
	const refusal = `{"success":false,"code":"100038","message":"Numeric value 'ann@example.com' is not recognized",` +
		`"data":{"errorCode":"100038","sqlState":"22018","queryId":"01b2-refused"}}`
	c := collect(t, func(r *testService, server *snowflaketest.Server) {
		admin := r.admin(t)
		server.Intercept(func(q *snowflaketest.Request) *snowflaketest.Fault {
			if !strings.Contains(q.SQL, "FROM items") {
				return nil
			}
			return &snowflaketest.Fault{Status: http.StatusOK, Body: refusal}
		})
		admin.request("GET", "/items/", nil).is(http.StatusInternalServerError)
	})
	statements := c.named("SELECT")
	last := statements[len(statements)-1]
	of := labels(last.Attributes)
	assert.Equal(t, traces.Status_STATUS_CODE_ERROR, last.Status.Code)
	assert.Equal(t, "100038", of["db.response.status_code"])
	assert.Equal(t, "100038", of["error.type"])
	assert.Equal(t, "01b2-refused", of["snowflake.query_id"])
	for _, s := range c.spans {
		assert.NotContains(t, s.String(), "ann@example.com")
	}
}

func TestMetricsCountRequestsStatementsEventsAndConnections(t *testing.T) {
	c := collect(t, func(r *testService, _ *snowflaketest.Server) {
		admin := r.admin(t)
		for range 3 {
			admin.request("GET", "/items/", nil).is(http.StatusOK)
		}
		r.client(t).request("POST", "/auth/login", signInForm(adminEmail, "wrong")).is(http.StatusUnauthorized)
	})
	for _, s := range c.named("POST /api/v1/auth/login") {
		assert.NotEqual(t, traces.Status_STATUS_CODE_ERROR, s.Status.Code, "the service has not failed")
	}
	durations, counts := map[string]uint64{}, map[string]float64{}
	for _, p := range c.metrics["http.server.request.duration"].GetHistogram().DataPoints {
		of := labels(p.Attributes)
		durations[strings.Join([]string{of["http.request.method"], of["http.route"], of["http.response.status_code"]}, " ")] = p.Count
	}
	assert.Equal(t, uint64(3), durations[`GET /api/v1/items/ int_value:200`], durations)
	assert.Equal(t, uint64(1), durations[`POST /api/v1/auth/login int_value:401`], durations)
	for _, p := range c.metrics["echo.request.statements"].GetHistogram().DataPoints {
		counts[labels(p.Attributes)["http.route"]] = p.GetSum()
	}
	assert.Equal(t, 3.0, counts["/api/v1/items/"])

	events := map[string]int64{}
	for _, p := range c.metrics["echo.audit.events"].GetSum().DataPoints {
		events[labels(p.Attributes)["event"]] = p.GetAsInt()
	}
	assert.Equal(t, map[string]int64{"first_superuser_created": 1, "signed_in": 1, "sign_in_failed": 1}, events)

	assert.Zero(t, c.metrics["http.server.active_requests"].GetSum().DataPoints[0].GetAsInt())
	states := map[string]int64{}
	for _, name := range []string{"db.client.connection.count", "echo.password_hashing"} {
		points := append(c.metrics[name].GetGauge().GetDataPoints(), c.metrics[name].GetSum().GetDataPoints()...)
		for _, p := range points {
			states[labels(p.Attributes)["state"]+labels(p.Attributes)["db.client.connection.state"]] = p.GetAsInt()
		}
	}
	assert.Equal(t, map[string]int64{"used": 0, "idle": 1, "running": 0, "waiting": 0}, states)
	assert.Equal(t, int64(8), c.metrics["db.client.connection.max"].GetSum().DataPoints[0].GetAsInt())
	assert.Zero(t, c.metrics["db.client.connection.pending_requests"].GetSum().DataPoints[0].GetAsInt())
	assert.Zero(t, c.metrics["echo.breaker.state"].GetGauge().DataPoints[0].GetAsInt(), "closed")
}

func TestAProbeIsCountedButHasNoTrace(t *testing.T) {
	c := collect(t, func(r *testService, _ *snowflaketest.Server) {
		r.client(t).requestAt("GET", "/livez", nil).is(http.StatusOK)
		r.client(t).requestAt("GET", "/readyz", nil).is(http.StatusOK)
	})
	assert.Empty(t, c.named("GET /livez"))
	assert.Empty(t, c.named("GET /readyz"))
	assert.Len(t, c.metrics["http.server.request.duration"].GetHistogram().DataPoints, 2)
}

func TestNoClientCanAddALabel(t *testing.T) {
	const theirs = "FROBNICATE"
	c := collect(t, func(r *testService, _ *snowflaketest.Server) {
		for _, target := range []string{"GET /" + theirs, "GET /api/v1/items/" + theirs, "GET /api/v1/users/me/" + theirs, theirs + " /api/v1/items/"} {
			method, path, _ := strings.Cut(target, " ")
			request, err := http.NewRequest(method, r.origin+path, http.NoBody)
			require.NoError(t, err)
			reply, err := http.DefaultTransport.RoundTrip(request)
			require.NoError(t, err)
			require.NoError(t, reply.Body.Close())
		}
	})
	points := c.metrics["http.server.request.duration"].GetHistogram().DataPoints
	require.NotEmpty(t, points)
	for _, p := range points {
		assert.NotContains(t, fmt.Sprint(labels(p.Attributes)), theirs)
	}
	for _, s := range c.spans {
		assert.NotContains(t, s.String(), theirs)
	}
}

func TestWithoutACollectorNothingIsSent(t *testing.T) {
	r, server := newServiceOnSnowflake(t)
	r.admin(t).request("GET", "/items/", nil).is(http.StatusOK)
	assert.Empty(t, server.Requests()[len(server.Requests())-1].Header.Get("Traceparent"))
	lines := r.logs.FilterMessage("request").All()
	assert.NotContains(t, lines[len(lines)-1].ContextMap(), "trace_id")
}

func TestACollectorThatIsAwayChangesNothingForClients(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "100") // milliseconds
	away, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, away.Close())
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", away.Addr().String())
	r := newService(t)
	r.admin(t).request("GET", "/items/", nil).is(http.StatusOK)
	for range 3 {
		otel.Handle(errors.New("a batch is lost"))
	}
	assert.Equal(t, 1, r.logs.FilterMessage("telemetry is lost").Len(), "once a minute")
	r.stop()
	for range r.stopped {
	}
	assert.Error(t, r.sink.Close())
}

func TestTheServiceStartsEvenIfAResourceAttributeIsWrong(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,broken")
	t.Setenv("OTEL_SERVICE_NAME", "theirs")
	c := collect(t, func(r *testService, _ *snowflaketest.Server) {
		r.client(t).request("GET", "/health", nil).is(http.StatusOK)
		lost := r.logs.FilterMessage("telemetry is lost").All()
		require.Len(t, lost, 1)
		assert.Contains(t, lost[0].ContextMap()["error"], "broken")
	})
	assert.Equal(t, "theirs", labels(c.service)["service.name"])
	assert.Equal(t, version(), labels(c.service)["service.version"])
}
