package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

func serve(cmd *cobra.Command, cfg config.Config) error {
	log := newLogger(cfg, cmd.OutOrStdout())
	sink, err := startTelemetry(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	store, err := openStore(cfg, sink)
	defer end(store, sink, log)
	if err != nil {
		return err
	}
	svc, err := wire(cfg, store, sink, log, standardSignInCost())
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.HTTPAddr)
	if err != nil {
		return fmt.Errorf("HTTP_ADDR: %w", err)
	}
	load := func() (config.Config, error) { return config.LoadSigningKeys(cmd.Flags()) }
	go followKeys(cfg, load, svc.tokens, log).run(cmd.Context(), rereadKeys)
	return svc.serve(cmd.Context(), cfg, listener, log)
}

// end takes leave of the store and of the collector, at once: each may hang for two seconds, and for
// both together there is no more time than that.
func end(store storage, sink *telemetry.Telemetry, log *zap.Logger) {
	var farewells sync.WaitGroup
	farewells.Go(store.end)
	farewells.Go(func() {
		if err := sink.Close(); err != nil {
			log.Warn("telemetry is lost", zap.Error(err))
		}
	})
	farewells.Wait()
}

// serve answers requests on listener until ctx ends, and then stops in such an order that no
// request is lost: first unready, so that no new ones are sent here, then the ones under way.
func (s *service) serve(ctx context.Context, cfg config.Config, listener net.Listener, log *zap.Logger) error {
	server := s.http.HTTPServer()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	log.Info("listening",
		zap.String("url", "http://"+listener.Addr().String()),
		zap.String("version", version()),
		zap.String("storage", cfg.Storage))

	starting, stop := context.WithCancel(ctx)
	started := make(chan struct{})
	go func() {
		defer close(started)
		s.start(starting, log)
	}()

	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		err = s.drain(server, cfg, log)
	}
	stop()
	<-started
	return err
}

// longestTry bounds one try to reach the store at the start: what hangs must not keep the next try,
// which may not hang, from being made.
const longestTry = 10 * time.Second

// longestCheck bounds its first part, which costs a database nothing, so that one that hangs and then
// recovers is noticed within five seconds.
const longestCheck = 3 * time.Second

// start reaches the store, sees to it that there is a first superuser, and only then is ready. It
// goes on trying for as long as ctx lasts: a store that is away must not take the process down.
func (s *service) start(ctx context.Context, log *zap.Logger) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, time.Second
	_, err := backoff.Retry(ctx,
		func() (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, longestTry)
			defer cancel()
			if err := s.storage.ready(ctx, log); err != nil {
				return false, err
			}
			return s.operator.EnsureFirstSuperuser(ctx, s.first.email, s.first.password)
		},
		backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, next time.Duration) {
			log.Warn("the store is not ready", zap.Error(err), zap.Duration("next_try", next))
		}))
	if err != nil {
		return // stopped before it began
	}
	s.http.SetState(httpapi.Ready)
	log.Info("ready")
}

func (s *service) drain(server *http.Server, cfg config.Config, log *zap.Logger) error {
	log.Info("stopping")
	s.http.SetState(httpapi.Draining)
	if !cfg.Development() {
		// Whoever sends requests here needs a moment to notice; nobody does in development.
		time.Sleep(cfg.ShutdownDelay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cfg.ShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests were still under way after %s", cfg.ShutdownTimeout), server.Close())
	}
	log.Info("stopped")
	return nil
}
