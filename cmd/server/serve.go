package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

func serve(cmd *cobra.Command, cfg config.Config) error {
	log, lines := newLoggers(cfg, cmd.OutOrStdout())
	defer closeLog(lines)
	sink, err := startTelemetry(cmd.Context(), cfg, log.ordinary)
	if err != nil {
		return err
	}
	store, err := openStore(cfg, sink)
	defer shutdown(store, sink, log.ordinary)
	if err = errors.Join(err, observeLog(sink.Metrics, lines)); err != nil {
		return err
	}
	svc, err := wire(cfg, store, sink, log, standardSignInCost())
	if err != nil {
		return err
	}
	defer svc.audit.flush()
	listener, err := net.Listen("tcp", cfg.HTTPAddr)
	if err != nil {
		return fmt.Errorf("HTTP_ADDR: %w", err)
	}
	load := func() (config.Config, error) { return config.Load(cmd.Flags(), config.SigningKeys) }
	go newKeyReloader(cfg, load, svc.tokens, log.essential).run(cmd.Context(), reloadInterval)
	return svc.serve(cmd.Context(), cfg, listener, log.ordinary)
}

// shutdown closes the store and the telemetry exporters concurrently. Each may take two seconds, and
// the process has no more time than that for both.
func shutdown(store storage, sink *telemetry.Telemetry, log *zap.Logger) {
	var pending sync.WaitGroup
	pending.Go(store.shutdown)
	pending.Go(func() {
		if err := sink.Close(); err != nil {
			log.Warn("telemetry is lost", zap.Error(err))
		}
	})
	pending.Wait()
}

// serve answers requests on listener until ctx ends. Then it stops without losing a request: first it
// becomes unready, so that it gets no new requests, and then it finishes the running ones. It returns
// early, with the error, if the listener fails or the first superuser's password is not allowed.
func (s *service) serve(ctx context.Context, cfg config.Config, listener net.Listener, log *zap.Logger) error {
	server := s.http.HTTPServer()
	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	url := "http://" + listener.Addr().String()
	log.Info("listening", zap.String("url", url), zap.String("version", version()), zap.String("storage", cfg.Storage))
	if cfg.ReadOnly {
		log.Warn("the service is read-only: it refuses changes, because READ_ONLY=true")
	}

	starting, stop := context.WithCancel(ctx)
	var start sync.WaitGroup
	start.Go(func() {
		if err := s.start(starting, log); err != nil {
			failed <- err
		} else if starting.Err() == nil {
			welcome(cfg, url, log)
		}
	})
	if !cfg.ReadOnly {
		start.Go(func() { s.cleanUp(starting, log) })
	}

	var err error
	select {
	case err = <-failed:
		_ = server.Close() // The error of Close does not matter beside err.
	case <-ctx.Done():
		err = s.drain(server, cfg, log)
	}
	stop()
	start.Wait()
	return err
}

// welcome tells a developer where to begin. The log never shows another password than the documented
// default.
func welcome(cfg config.Config, url string, log *zap.Logger) {
	if !cfg.Development() {
		return
	}
	if cfg.Docs {
		log.Info("API documentation: " + url + cfg.APIV1Prefix + "/docs")
	}
	if cfg.FirstSuperuser == config.DefaultSuperuser && cfg.UsesDefaultPassword() {
		log.Info("sign in as " + config.DefaultSuperuser + " with the password " + config.DefaultPassword)
	}
}

const (
	// tryTimeout limits one try to reach the store at the start, so that a try that hangs does not
	// prevent the next one.
	tryTimeout = 10 * time.Second
	// checkTimeout limits the check of the store with which a try begins. It is short, so that the
	// service notices within five seconds that a store that hung has recovered.
	checkTimeout = 3 * time.Second
)

// start waits for the store, ensures that the first superuser exists, and makes the service ready. It
// retries until ctx ends, because a store that cannot be reached must not end the process. It returns only an
// error that retrying cannot correct: a first superuser with a password that is not allowed.
func (s *service) start(ctx context.Context, log *zap.Logger) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, time.Second
	_, err := backoff.Retry(ctx,
		func() (bool, error) {
			ctx, cancel := context.WithTimeout(ctx, tryTimeout)
			defer cancel()
			if err := s.storage.ready(ctx, log); err != nil {
				return false, err
			}
			created, err := s.operator.EnsureFirstSuperuser(ctx, s.first.email, s.first.snowflakeUser, s.first.password)
			if errors.As(err, new(configError)) {
				err = backoff.Permanent(badConfig(err))
			}
			return created, err
		},
		backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, next time.Duration) {
			log.Warn("the store is not ready", zap.Error(err), zap.Duration("next_try", next))
		}))
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	s.http.SetState(httpapi.Ready)
	log.Info("ready")
	return nil
}

const (
	// cleanupInterval is the time between two cleanups, and before the first one. Jitter adds up to as much, so that
	// instances do not clean up at the same time, and a service that starts often does no work that can wait.
	cleanupInterval = time.Hour
	// cleanupTimeout limits one cleanup. The next one removes what is left.
	cleanupTimeout = time.Minute
)

// cleanUp removes again and again the sessions and clients that no longer work, until ctx ends. It logs an error that
// repeats once.
func (s *service) cleanUp(ctx context.Context, log *zap.Logger) {
	var logged string
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(cleanupInterval + rand.N(cleanupInterval)):
		}
		switch err := s.cleanUpOnce(ctx); {
		case ctx.Err() != nil:
			return
		case err == nil:
			logged = ""
		case err.Error() != logged:
			log.Warn("ended sessions and clients could not be removed", zap.Error(err))
			logged = err.Error()
		}
	}
}

func (s *service) cleanUpOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, cleanupTimeout)
	defer cancel()
	// Query tags show the name in the place of a route.
	return s.storage.CleanUp(requestinfo.NewContext(ctx, &requestinfo.Info{Route: "cleanup"}), now())
}

func (s *service) drain(server *http.Server, cfg config.Config, log *zap.Logger) error {
	log.Info("stopping")
	s.http.SetState(httpapi.Draining)
	if !cfg.Development() {
		// A load balancer needs a moment to notice. In development there is none.
		time.Sleep(cfg.ShutdownDelay)
	}
	ctx, cancel := context.WithTimeout(context.Background(), cfg.ShutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests were still running after %s", cfg.ShutdownTimeout), server.Close())
	}
	log.Info("stopped")
	return nil
}
