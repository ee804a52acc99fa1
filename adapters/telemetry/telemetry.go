// Package telemetry sends traces and metrics to an OpenTelemetry collector (OTLP over gRPC). It only
// makes the providers: the code that is measured names its spans and metrics. Without a collector the
// providers do nothing.
package telemetry

import (
	"context"
	"errors"
	"fmt"
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

// Options say where to send telemetry, and which service sends it.
type Options struct {
	TracesEndpoint  string // URL of a collector, http or https; empty: no traces
	MetricsEndpoint string // URL of a collector, http or https; empty: no metrics
	Name            string // of the service
	Version         string
	Log             *zap.Logger // logs that a collector does not answer
}

// Telemetry holds the providers of traces and metrics.
type Telemetry struct {
	Traces  trace.TracerProvider
	Metrics metric.MeterProvider

	close []func(context.Context) error
}

// None returns providers that do nothing.
func None() *Telemetry {
	return &Telemetry{Traces: notraces.NewTracerProvider(), Metrics: nometrics.NewMeterProvider()}
}

// closeTimeout limits Close: a process that is stopping has no time to wait for a collector.
const closeTimeout = 2 * time.Second

// Start returns providers that send to the collectors. It does not connect to a collector. It returns
// an error if an endpoint cannot be used. The libraries of OpenTelemetry read further options
// (sampling, intervals, resource attributes) from the environment variables of its specification.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	t := None()
	if o.TracesEndpoint == "" && o.MetricsEndpoint == "" {
		return t, nil
	}
	// The libraries log in a format of their own, for example that they cannot read the endpoints from
	// the environment. They get the endpoints from o.
	otel.SetLogger(logr.Discard())
	// If a collector cannot be reached, every batch fails.
	sometimes := rate.Sometimes{Interval: time.Minute}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		sometimes.Do(func() { o.Log.Warn("telemetry is lost", zap.Error(err)) })
	}))
	service, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			semconv.ServiceName(o.Name), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(uuid.NewString()),
		),
		resource.WithFromEnv())
	if err != nil {
		otel.Handle(err) // The specification wants the readable part of the environment to be used.
	}
	if err := t.start(ctx, o, service); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// start starts the providers that o asks for. Beside an error, those that it started are in t.
func (t *Telemetry) start(ctx context.Context, o Options, service *resource.Resource) error {
	if o.TracesEndpoint != "" {
		exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(o.TracesEndpoint))
		if err != nil {
			return fmt.Errorf("send traces: %w", err)
		}
		provider := sdktrace.NewTracerProvider(
			sdktrace.WithBatcher(exporter), sdktrace.WithIDGenerator(ids{time.Now}), sdktrace.WithResource(service))
		t.Traces, t.close = provider, append(t.close, provider.Shutdown)
	}
	if o.MetricsEndpoint != "" {
		exporter, err := otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(o.MetricsEndpoint))
		if err != nil {
			return fmt.Errorf("send metrics: %w", err)
		}
		provider := sdkmetric.NewMeterProvider(
			sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)), sdkmetric.WithResource(service))
		t.Metrics, t.close = provider, append(t.close, provider.Shutdown)
	}
	return nil
}

// Close sends what was not sent yet, and stops the providers. It returns within two seconds, with an
// error if the collector has not accepted everything.
func (t *Telemetry) Close() error { return t.closeWithin(closeTimeout) }

func (t *Telemetry) closeWithin(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	errs := make(chan error, len(t.close))
	for _, stop := range t.close {
		go func() { errs <- stop(ctx) }()
	}
	var err error
	for range t.close {
		err = errors.Join(err, <-errs)
	}
	return err
}
