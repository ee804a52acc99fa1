package main

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/logbuffer"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func startTelemetry(ctx context.Context, cfg config.Config, log *zap.Logger) (*telemetry.Telemetry, error) {
	return telemetry.Start(ctx, telemetry.Options{
		TracesEndpoint:  cfg.Telemetry.TracesEndpoint,
		MetricsEndpoint: cfg.Telemetry.MetricsEndpoint,
		Name:            "echo-in-snowflake",
		Version:         version(),
		Log:             log,
	})
}

// meterName is the name of the OpenTelemetry meter of this package.
const meterName = "github.com/echo-in-snowflake/echo-in-snowflake/cmd/server"

// countEvents returns an audit function that calls audit and counts the events by name.
func countEvents(
	metrics metric.MeterProvider, audit func(context.Context, domain.Event),
) (func(context.Context, domain.Event), error) {
	events, err := metrics.Meter(meterName).Int64Counter("echo.audit.events",
		metric.WithUnit("{event}"), metric.WithDescription("Audit events, by name, such as sign_in_failed."))
	return func(ctx context.Context, e domain.Event) {
		audit(ctx, e)
		events.Add(ctx, 1, metric.WithAttributes(attribute.String("event", e.Name)))
	}, err
}

// observeHasher reports the load of the hasher as a metric.
func observeHasher(metrics metric.MeterProvider, hasher *security.PasswordHasher) error {
	state := func(s string) metric.ObserveOption { return metric.WithAttributes(attribute.String("state", s)) }
	running, waiting := state("running"), state("waiting")
	_, err := metrics.Meter(meterName).Int64ObservableGauge("echo.password_hashing",
		metric.WithUnit("{hash}"), metric.WithDescription("Password hashes that are running or waiting."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			runs, waits := hasher.Load()
			o.Observe(int64(runs), running)
			o.Observe(int64(waits), waiting)
			return nil
		}))
	return err
}

// observeLog reports lost log lines as a metric.
func observeLog(metrics metric.MeterProvider, lines *logbuffer.Buffer) error {
	_, err := metrics.Meter(meterName).Int64ObservableCounter("echo.log.dropped_lines",
		metric.WithUnit("{line}"), metric.WithDescription("Log lines that were not written."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(lines.Dropped())
			return nil
		}))
	return err
}
