package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/auth"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/items"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/users"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/static"
)

// failureFloor is the least time of a refused sign-in: well above what a look-up and a hash take on
// a machine that is not overloaded, a legacy one of bcrypt's usual cost 12 (270 ms) included.
const failureFloor = 500 * time.Millisecond

// service is all of it, constructed.
type service struct {
	operator *users.Operator
	http     *httpapi.Server
	tokens   *security.TokenIssuer
	first    firstSuperuser
	storage  storage
}

// storage is a store with what it takes to start and end it.
type storage struct {
	ports.Store
	check func(context.Context, *zap.Logger) error // whether it can be used; nil: it can
	close func() error                             // nil: there is nothing to close
}

func (s storage) ready(ctx context.Context, log *zap.Logger) error {
	if s.check == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, longestCheck)
	defer cancel()
	return s.check(ctx, log)
}

func (s storage) end() {
	if s.close != nil {
		_ = s.close() // the process ends anyway
	}
}

// wire constructs the service on the given store.
func wire(cfg config.Config, store storage, sink *telemetry.Telemetry, log *zap.Logger) (*service, error) {
	first, err := firstSuperuserOf(cfg)
	if err != nil {
		return nil, err
	}
	tokens, err := newTokens(cfg)
	if err != nil {
		return nil, err
	}
	audit, err := countEvents(sink.Metrics, auditTo(log))
	if err != nil {
		return nil, err
	}
	hasher := security.NewPasswordHasher()
	if err := observeHasher(sink.Metrics, hasher); err != nil {
		return nil, err
	}
	server, err := httpapi.New(httpapi.Options{
		Auth: &auth.Service{
			Store: store, Hasher: hasher, Tokens: tokens, Audit: audit, Now: time.Now, FailureFloor: failureFloor,
			Attempts: security.NewAttemptLimiter(10, 6*time.Second, time.Now),
		},
		Users: &users.Service{
			Store: store, Hasher: hasher, Audit: audit, NewID: newID, Now: now,
			EmailAttempts:    security.NewAttemptLimiter(10, 6*time.Minute, time.Now),
			PasswordAttempts: security.NewAttemptLimiter(10, 6*time.Second, time.Now),
		},
		Items: &items.Service{Store: store, NewID: newID, Now: now},
		Log:   log,
		Pages: static.Files,

		Traces:           sink.Traces,
		Metrics:          sink.Metrics,
		TrustTraceparent: cfg.Telemetry.TrustTraceparent,

		Name:           cfg.ProjectName,
		Version:        version(),
		Storage:        cfg.Storage,
		Prefix:         cfg.APIV1Prefix,
		RequestTimeout: cfg.RequestTimeout,
		CORSOrigins:    cfg.CORSOrigins,
		SourceHeader:   cfg.SourceHeader,
		ServerTiming:   cfg.ServerTiming,
	})
	return &service{operator: newOperator(store, hasher, audit), http: server, tokens: tokens, first: first, storage: store}, err
}

// openStore is the one switch between storage adapters. It connects to nothing yet.
func openStore(cfg config.Config, sink *telemetry.Telemetry) (storage, error) {
	switch cfg.Storage {
	case config.StorageMemory:
		return storage{Store: memory.New()}, nil
	default:
		return openSnowflake(cfg, sink)
	}
}

func openSnowflake(cfg config.Config, sink *telemetry.Telemetry) (storage, error) {
	auth, err := snowflakeAuth(cfg)
	if err != nil {
		return storage{}, configError{err}
	}
	c := cfg.Snowflake
	store, err := snowflake.Open(session.Options{
		Account: c.Account, Host: c.Host, Port: c.Port, Protocol: c.Protocol,
		Database: c.Database, Schema: c.Schema, Warehouse: c.Warehouse, Role: c.Role,
		Auth: auth, RequestTimeout: cfg.RequestTimeout, Connections: c.Connections, Version: version(),
		Traces: sink.Traces, Metrics: sink.Metrics,
	})
	if err != nil {
		return storage{}, err
	}
	check := func(ctx context.Context, log *zap.Logger) error {
		found, err := store.Check(ctx)
		if errors.Is(err, session.ErrLoginRefused) {
			// Whoever mends that needs some minutes, and Snowflake locks users who try too often.
			return fmt.Errorf("%w: %w", err, backoff.RetryAfter(60))
		}
		if err != nil {
			return err
		}
		line := []zap.Field{zap.String("read_consistency_mode", found.Consistency), zap.Bool("hybrid_tables", found.Hybrid)}
		if weakened := found.Weakened(); weakened != "" {
			line = append(line, zap.String("weakened", weakened))
		}
		log.Info("Snowflake", line...)
		return nil
	}
	return storage{store, check, store.Close}, nil
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
	default:
		return session.Auth{TokenPath: c.OAuthTokenPath}, nil
	}
}

// judge finds what is wrong with the configuration beyond its own syntax.
func judge(cfg config.Config) error {
	_, err := firstSuperuserOf(cfg)
	if cfg.Storage == config.StorageSnowflake && cfg.Snowflake.PrivateKey.Reveal() != "" {
		_, keyErr := snowflakeAuth(cfg)
		err = errors.Join(err, keyErr)
	}
	return err
}

func newOperator(store ports.Store, hasher ports.PasswordHasher, audit func(context.Context, domain.Event)) *users.Operator {
	return &users.Operator{Accounts: store, Store: store, Hasher: hasher, Audit: audit, NewID: newID, Now: now}
}

func newTokens(cfg config.Config) (*security.TokenIssuer, error) {
	key, accepted := signingKeys(cfg)
	tokens, err := security.NewTokenIssuer(cfg.AccessTokenLifetime, time.Now, key, accepted...)
	if err != nil {
		return nil, configError{err}
	}
	return tokens, nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// now is in the precision that every store keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// firstSuperuser is what the first start of an installation creates.
type firstSuperuser struct {
	email    domain.Email
	password string
}

func firstSuperuserOf(cfg config.Config) (firstSuperuser, error) {
	var errs []error
	email, err := domain.ParseEmail(cfg.FirstSuperuser)
	if err != nil {
		errs = append(errs, fmt.Errorf("FIRST_SUPERUSER: %w", err))
	}
	password := cfg.FirstSuperuserPassword.Reveal()
	if password != config.DefaultPassword { // where that one may be used, config has said
		if _, err := domain.ParsePassword(password); err != nil {
			errs = append(errs, fmt.Errorf("FIRST_SUPERUSER_PASSWORD: %w", err))
		}
	}
	return firstSuperuser{email, password}, errors.Join(errs...)
}

// newLogger logs JSON, or readable text when that is asked for or w is a terminal. The JSON has the
// form that Snowflake puts into the columns of an event table (its documentation, "Monitoring
// services"): of a line with any other key at its top, that key is lost.
func newLogger(cfg config.Config, w io.Writer) *zap.Logger {
	level, err := zapcore.ParseLevel(cfg.LogLevel)
	if err != nil {
		level = zapcore.InfoLevel
	}
	encoding := zap.NewProductionEncoderConfig()
	encoding.EncodeLevel = zapcore.CapitalLevelEncoder
	encoding.EncodeDuration = zapcore.StringDurationEncoder
	if cfg.LogFormat == "text" || cfg.LogFormat == "auto" && isTerminal(w) {
		encoding.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoding), zapcore.Lock(zapcore.AddSync(w)), level))
	}
	encoding.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	encoding.TimeKey, encoding.LevelKey, encoding.MessageKey, encoding.NameKey = "timestamp", "severity_text", "body", ""
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoding), zapcore.Lock(zapcore.AddSync(w)), level)).
		With(zap.Namespace("attributes"))
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
