package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	pgsession "github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// storage is a store, and how to check and close it.
type storage struct {
	ports.Store
	check func(context.Context, *zap.Logger) error // returns why the store cannot be used; nil: it always can
	close func() error                             // nil: there is nothing to close
	// examine checks what an operator decides outside the service; nil: nothing.
	examine func(context.Context) []ports.CheckResult
}

// ready returns why the store cannot be used now.
func (s storage) ready(ctx context.Context, log *zap.Logger) error {
	if s.check == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return s.check(ctx, log)
}

// shutdown closes the store. It ignores errors, because the process ends.
func (s storage) shutdown() {
	if s.close != nil {
		_ = s.close()
	}
}

// openStore opens the store that the configuration selects. It does not connect to a database yet.
func openStore(cfg config.Config, sink *telemetry.Telemetry) (storage, error) {
	opened, err := openWritable(cfg, sink)
	if cfg.ReadOnly {
		opened.Store = readOnlyStore{opened.Store}
	}
	return opened, err
}

func openWritable(cfg config.Config, sink *telemetry.Telemetry) (storage, error) {
	switch cfg.Storage {
	case config.StorageMemory:
		return storage{Store: memory.New()}, nil
	case config.StorageSnowflake:
		return openSnowflake(cfg, sink)
	case config.StoragePostgres:
		return openPostgres(cfg, sink)
	default:
		return storage{}, configError{fmt.Errorf("STORAGE: %q is unknown", cfg.Storage)}
	}
}

func openSnowflake(cfg config.Config, sink *telemetry.Telemetry) (storage, error) {
	auth, err := snowflakeAuth(cfg)
	if err != nil {
		return storage{}, configError{err}
	}
	store, err := snowflake.Open(snowflakeOptions(cfg, auth, sink))
	if err != nil {
		return storage{}, err
	}
	var warn sync.Once
	check := func(ctx context.Context, log *zap.Logger) error {
		found, err := store.Check(ctx)
		if errors.Is(err, session.ErrLoginRefused) {
			return fmt.Errorf("%w: %w", err, backoff.RetryAfter(int(refusedPause.Seconds())))
		}
		if err != nil {
			return err
		}
		line := []zap.Field{
			zap.String("read_consistency_mode", found.Consistency),
			zap.Bool("hybrid_tables", found.Hybrid),
		}
		if weakened := found.Weakened(); weakened != "" {
			line = append(line, zap.String("weakened", weakened))
		}
		log.Info("Snowflake", line...)
		if exposed := found.Exposed(); exposed != "" {
			warn.Do(func() {
				log.Warn("Snowflake keeps data of users in the query history", zap.String("exposed", exposed))
			})
		}
		return nil
	}
	return storage{store, check, store.Close, store.Examine}, nil
}

func snowflakeOptions(cfg config.Config, auth session.Auth, sink *telemetry.Telemetry) session.Options {
	c := cfg.Snowflake
	return session.Options{
		Account: c.Account, Host: c.Host, Port: c.Port, Protocol: c.Protocol,
		Database: c.Database, Schema: c.Schema, Warehouse: c.Warehouse, Role: c.Role,
		Auth: auth, RequestTimeout: cfg.RequestTimeout, Connections: c.Connections, Version: version(),
		Traces: sink.Traces, Metrics: sink.Metrics,
	}
}

func snowflakeAuth(cfg config.Config) (session.Auth, error) {
	c := cfg.Snowflake
	switch c.AuthType {
	case config.AuthKeyPair:
		key, err := session.ParsePrivateKey(c.PrivateKey.Reveal())
		if err != nil {
			return session.Auth{}, fmt.Errorf("SNOWFLAKE_PRIVATE_KEY: %w", err)
		}
		return session.Auth{User: c.User, PrivateKey: key}, nil
	case config.AuthPAT:
		return session.Auth{User: c.User, PAT: c.PAT.Reveal()}, nil
	case config.AuthPassword:
		return session.Auth{User: c.User, Password: c.Password.Reveal()}, nil
	case config.AuthOAuth:
		return session.Auth{TokenPath: c.OAuthTokenPath}, nil
	default:
		return session.Auth{}, fmt.Errorf("SNOWFLAKE_AUTH_TYPE: %q is unknown", c.AuthType)
	}
}

func openPostgres(cfg config.Config, sink *telemetry.Telemetry) (storage, error) {
	options, err := postgresOptions(cfg, sink)
	if err != nil {
		return storage{}, err
	}
	store, err := postgres.Open(options)
	if err != nil {
		return storage{}, err
	}
	check := func(ctx context.Context, log *zap.Logger) error {
		found, err := store.Check(ctx)
		if errors.Is(err, session.ErrLoginRefused) { // by Snowflake, which gives the tokens
			return fmt.Errorf("%w: %w", err, backoff.RetryAfter(int(refusedPause.Seconds())))
		}
		if err != nil {
			return err
		}
		log.Info("PostgreSQL",
			zap.String("server_version", found.Server), zap.Int("schema_version", found.SchemaVersion))
		return nil
	}
	return storage{store, check, store.Close, store.Examine}, nil
}

func postgresOptions(cfg config.Config, sink *telemetry.Telemetry) (pgsession.Options, error) {
	c := cfg.Postgres
	credential, err := postgresCredential(cfg)
	return pgsession.Options{
		Host: c.Host, Port: c.Port, Database: c.Database, User: c.User, Credential: credential,
		TLS: c.TLS, CAFile: c.CAFile, Schema: c.Schema, Pooler: c.Pooler,
		RequestTimeout: cfg.RequestTimeout, Connections: c.Connections, Version: version(),
		Traces: sink.Traces, Metrics: sink.Metrics,
	}, err
}

// postgresCredential returns how to sign in, or nil if the server asks for no password.
func postgresCredential(cfg config.Config) (pgsession.Credential, error) {
	c := cfg.Postgres
	switch {
	case c.Auth == config.AuthSnowflake:
		return postgresTokens(cfg)
	case c.PasswordFile != "":
		return pgsession.PasswordFile(c.PasswordFile), nil
	case c.Password != config.Secret{}:
		return pgsession.Password(c.Password.Reveal()), nil
	}
	return nil, nil
}

// refusedPause is how long the service waits after Snowflake refused its user or password. An operator needs minutes to
// correct that, and Snowflake locks a user after too many tries.
const refusedPause = time.Minute

// postgresTokens returns tokens of Snowflake. Each comes from a session of its own, because the next one is needed ten
// minutes later. It needs no database. Whether it needs a warehouse is not documented: inside Snowflake, it has the
// QUERY_WAREHOUSE of the service or job.
func postgresTokens(cfg config.Config) (pgsession.Credential, error) {
	auth, err := snowflakeAuth(cfg)
	if err != nil {
		return nil, configError{err}
	}
	c := cfg.Snowflake
	options := session.Options{
		Account: c.Account, Host: c.Host, Port: c.Port, Protocol: c.Protocol, Role: c.Role,
		Auth: auth, RequestTimeout: cfg.RequestTimeout, Connections: 1, Version: version(),
	}
	var refused error
	var refusedAt time.Time
	return pgsession.NewTokens(func(ctx context.Context) (token string, err error) {
		if refused != nil && time.Since(refusedAt) < refusedPause {
			return "", refused
		}
		snowflake, err := session.Open(options)
		if err != nil {
			return "", err
		}
		defer func() { go snowflake.Close() }() // it may take two seconds
		token, err = session.PostgresToken(ctx, snowflake, cfg.Postgres.Instance, cfg.Postgres.User)
		refused = nil
		if errors.Is(err, session.ErrLoginRefused) {
			refused, refusedAt = err, time.Now()
		}
		return token, err
	}), nil
}
