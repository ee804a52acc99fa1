// Package telemetry sends traces and metrics to an OpenTelemetry collector, by OTLP over gRPC. What
// is measured is said where it happens: the other adapters take the providers that are made here.
// Where no collector is configured those do nothing, and nothing of this package runs.
package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/metric"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Options say where telemetry goes, and of whom it speaks.
type Options struct {
	TracesEndpoint  string // URL of a collector, http or https; empty: no traces
	MetricsEndpoint string // likewise; empty: no metrics
	Name            string // of the service
	Version         string
	Log             *zap.Logger // hears of a collector that does not answer
}

// Telemetry is where measurements go to.
type Telemetry struct {
	Traces  trace.TracerProvider
	Metrics metric.MeterProvider

	close []func(context.Context) error
}

// None returns providers that do nothing.
func None() *Telemetry {
	return &Telemetry{Traces: notraces.NewTracerProvider(), Metrics: nometrics.NewMeterProvider()}
}

// longestFarewell bounds Close: a process that is being stopped has no time to wait for a collector.
const longestFarewell = 2 * time.Second

// Start makes the providers; it waits for no collector, which may be away. What else OpenTelemetry
// lets one configure (sampling, intervals, resource attributes) its libraries read from the
// environment variables of its specification.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	t := None()
	if o.TracesEndpoint == "" && o.MetricsEndpoint == "" {
		return t, nil
	}
	// It logs in a form of its own, above all that it cannot read the endpoints, which are given here.
	otel.SetLogger(logr.Discard())
	// A collector that is away fails once for every batch.
	sometimes := rate.Sometimes{Interval: time.Minute}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		sometimes.Do(func() { o.Log.Warn("telemetry is lost", zap.Error(err)) })
	}))
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			semconv.ServiceName(o.Name), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(uuid.NewString()),
		),
		resource.WithFromEnv())
	if err != nil {
		otel.Handle(err) // what could be read of the environment is used, as the specification wants it
	}
	if o.TracesEndpoint != "" {
		exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(o.TracesEndpoint))
		if err != nil {
			return nil, err
		}
		provider := sdktrace.NewTracerProvider(
			sdktrace.WithBatcher(exporter), sdktrace.WithIDGenerator(ids{time.Now}), sdktrace.WithResource(about))
		t.Traces, t.close = provider, append(t.close, provider.Shutdown)
	}
	if o.MetricsEndpoint != "" {
		exporter, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(o.MetricsEndpoint))
		if err != nil {
			return nil, err
		}
		provider := sdkmetric.NewMeterProvider(
			sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)), sdkmetric.WithResource(about))
		t.Metrics, t.close = provider, append(t.close, provider.Shutdown)
	}
	return t, nil
}

// Close sends what was not sent yet, as far as the collector takes it within two seconds.
func (t *Telemetry) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), longestFarewell)
	defer cancel()
	errs := make(chan error, len(t.close))
	for _, end := range t.close {
		go func() { errs <- end(ctx) }()
	}
	var err error
	for range t.close {
		err = errors.Join(err, <-errs)
	}
	return err
}
