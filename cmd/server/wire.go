package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	"go.uber.org/zap"

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

// signInCost is the time and memory that sign-ins take on purpose. Tests pass cheap values; no
// configuration can change it.
type signInCost struct {
	hasher       *security.PasswordHasher
	failureFloor time.Duration // minimum time of a refused sign-in
}

// standardSignInCost returns the cost in every process of the program. Its floor is well above the time
// of a query and a hash on a machine that is not overloaded, even for a bcrypt hash of cost 12 (270 ms).
func standardSignInCost() signInCost {
	return signInCost{security.NewPasswordHasher(), 500 * time.Millisecond}
}

// service is the constructed service.
type service struct {
	operator *users.Operator
	http     *httpapi.Server
	tokens   *security.TokenIssuer
	audit    *auditLog
	first    firstSuperuser
	storage  storage
}

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

// wire constructs the service on the given store.
func wire(
	cfg config.Config, store storage, sink *telemetry.Telemetry, log loggers, cost signInCost,
) (*service, error) {
	first, err := newFirstSuperuser(cfg)
	if err != nil {
		return nil, err
	}
	tokens, err := newTokens(cfg)
	if err != nil {
		return nil, err
	}
	auditLog := newAuditLog(log.essential)
	audit, err := countEvents(sink.Metrics, auditLog.record)
	if err != nil {
		return nil, err
	}
	hasher := cost.hasher
	if err := observeHasher(sink.Metrics, hasher); err != nil {
		return nil, err
	}
	options := httpOptions(cfg, sink, log.ordinary)
	options.Auth = newAuth(store, cost, tokens, audit)
	options.Users = &users.Service{
		Store: store, Hasher: hasher, ServiceName: cfg.ProjectName, Audit: audit, NewID: newID, Now: now,
		EmailAttempts:    security.NewAttemptLimiter(10, 6*time.Minute, time.Now),
		PasswordAttempts: security.NewAttemptLimiter(10, 6*time.Second, time.Now),
	}
	options.Items = &items.Service{Store: store, Audit: audit, NewID: newID, Now: now}
	server, err := httpapi.New(options)
	operator := newOperator(store, hasher, audit)
	return &service{
		operator: operator, http: server, tokens: tokens, audit: auditLog, first: first, storage: store,
	}, err
}

// httpOptions returns the options of the HTTP adapter, without the use cases.
func httpOptions(cfg config.Config, sink *telemetry.Telemetry, log *zap.Logger) httpapi.Options {
	return httpapi.Options{
		Log:   log,
		Pages: static.Files,

		Traces:           sink.Traces,
		Metrics:          sink.Metrics,
		TrustTraceparent: cfg.Telemetry.TrustTraceparent,

		Docs:           cfg.Docs,
		Name:           cfg.ProjectName,
		Version:        version(),
		Storage:        cfg.Storage,
		Prefix:         cfg.APIV1Prefix,
		RequestTimeout: cfg.RequestTimeout,
		CORSOrigins:    cfg.CORSOrigins,
		SourceHeader:   cfg.SourceHeader,
		SourceHops:     cfg.SourceHops,
		ServerTiming:   cfg.ServerTiming,
		OnlyLoopback:   cfg.Development() && cfg.FirstSuperuserPassword.Reveal() == config.DefaultPassword,
	}
}

func newAuth(
	store ports.SignInStore, cost signInCost, tokens ports.TokenIssuer, audit func(context.Context, domain.Event),
) *auth.Service {
	return &auth.Service{
		Store: store, Hasher: cost.hasher, Tokens: tokens, Audit: audit, Now: time.Now,
		FailureFloor:    cost.failureFloor,
		PairAttempts:    security.NewAttemptLimiter(10, 6*time.Second, time.Now),
		SourceAttempts:  security.NewAttemptLimiter(30, time.Second, time.Now),
		AccountAttempts: security.NewAttemptLimiter(100, time.Minute, time.Now), // NIST SP 800-63B §5.2.2
	}
}

// openStore opens the store that the configuration selects. It does not connect to a database yet.
func openStore(cfg config.Config, sink *telemetry.Telemetry) (storage, error) {
	switch cfg.Storage {
	case config.StorageMemory:
		return storage{Store: memory.New()}, nil
	case config.StorageSnowflake:
		return openSnowflake(cfg, sink)
	default:
		return storage{}, configError{fmt.Errorf("STORAGE: %q is unknown", cfg.Storage)}
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
	var warn sync.Once
	check := func(ctx context.Context, log *zap.Logger) error {
		found, err := store.Check(ctx)
		if errors.Is(err, session.ErrLoginRefused) {
			// An operator needs minutes to correct that, and Snowflake locks a user after too many tries.
			return fmt.Errorf("%w: %w", err, backoff.RetryAfter(60))
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

// validate returns the problems of the configuration that only the user of a value finds. It checks
// the keys of the given groups, or all keys if no group is given.
func validate(cfg config.Config, groups []config.Group) error {
	all := len(groups) == 0
	var errs []error
	if all {
		first, err := newFirstSuperuser(cfg)
		errs = append(errs, err)
		// The memory store is empty at each start, so that each start uses the password.
		if cfg.Storage == config.StorageMemory {
			_, err := first.password()
			errs = append(errs, err)
		}
	}
	// config reports a private key that is missing.
	key := cfg.Snowflake.PrivateKey.Reveal()
	if (all || slices.Contains(groups, config.StorageKeys)) && cfg.Storage == config.StorageSnowflake && key != "" {
		_, err := snowflakeAuth(cfg)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func newOperator(
	store ports.Store, hasher ports.PasswordHasher, audit func(context.Context, domain.Event),
) *users.Operator {
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

// now returns the time in the precision that every store keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// firstSuperuser is the account that the first start of an installation creates. Later starts do not
// use the password, so that it need not stay valid.
type firstSuperuser struct {
	email       domain.Email
	configured  string // the password
	serviceName string
}

func newFirstSuperuser(cfg config.Config) (firstSuperuser, error) {
	email, err := domain.ParseEmail(cfg.FirstSuperuser)
	if err != nil {
		err = fmt.Errorf("FIRST_SUPERUSER: %w", err)
	}
	return firstSuperuser{email, cfg.FirstSuperuserPassword.Reveal(), cfg.ProjectName}, err
}

// password returns the password, or a configError if no account may have it. It allows the default:
// config refuses that where it must not be used.
func (f firstSuperuser) password() (string, error) {
	if f.configured == config.DefaultPassword {
		return f.configured, nil
	}
	password, err := domain.ParsePasswordFor(f.configured, f.email, f.serviceName)
	if err != nil {
		return "", configError{fmt.Errorf("FIRST_SUPERUSER_PASSWORD: %w", err)}
	}
	return password.Reveal(), nil
}
