package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/auth"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/credentials"
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
	signIn := newAuth(store, cost, tokens, audit)
	if err := chooseSignIn(signIn, cfg, sink); err != nil {
		return nil, err
	}
	options.Auth = signIn
	options.Users = &users.Service{
		Store: store, Hasher: hasher, ServiceName: cfg.ProjectName, Audit: audit, NewID: newID, Now: now,
		EmailAttempts:    security.NewAttemptLimiter(10, 6*time.Minute, time.Now),
		PasswordAttempts: security.NewAttemptLimiter(10, 6*time.Second, time.Now),
	}
	options.Credentials = &credentials.Service{
		Store: store, NewSecret: auth.NewClientSecret, Audit: audit, NewID: newID, Now: now,
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
		OnlyLoopback:   cfg.Development() && cfg.UsesDefaultPassword(),

		SnowflakeSignIn: cfg.OffersSnowflakeSignIn(),
	}
}

func newAuth(
	store auth.Store, cost signInCost, tokens ports.TokenIssuer, audit func(context.Context, domain.Event),
) *auth.Service {
	return &auth.Service{
		Store: store, Hasher: cost.hasher, Tokens: tokens, Audit: audit, NewID: newID, Now: now,
		FailureFloor:    cost.failureFloor,
		PairAttempts:    security.NewAttemptLimiter(10, 6*time.Second, time.Now),
		SourceAttempts:  security.NewAttemptLimiter(30, time.Second, time.Now),
		AccountAttempts: security.NewAttemptLimiter(100, time.Minute, time.Now), // NIST SP 800-63B §5.2.2
	}
}

// chooseSignIn sets how accounts can sign in.
func chooseSignIn(s *auth.Service, cfg config.Config, sink *telemetry.Telemetry) error {
	s.NoPasswords = !cfg.PasswordSignIn
	if !cfg.OffersSnowflakeSignIn() {
		return nil
	}
	service, err := snowflakeAuth(cfg)
	if err != nil {
		return configError{err}
	}
	callers, err := session.NewCallerIdentity(snowflakeOptions(cfg, service, sink))
	if err != nil {
		return err
	}
	s.Callers, s.CreateAccounts = callers, cfg.SnowflakeSignIn == config.SignInCreate
	s.CallerAttempts = security.NewAttemptLimiter(10, 6*time.Second, time.Now)
	return nil
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
	if (all || slices.Contains(groups, config.StorageKeys)) && cfg.SignsInToSnowflake() && key != "" {
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
	email         domain.Email
	snowflakeUser domain.Optional[domain.SnowflakeUser]
	noPassword    bool
	configured    string // the password
	serviceName   string
}

func newFirstSuperuser(cfg config.Config) (firstSuperuser, error) {
	f := firstSuperuser{
		noPassword: !cfg.PasswordSignIn, configured: cfg.FirstSuperuserPassword.Reveal(), serviceName: cfg.ProjectName,
	}
	var errs []error
	var err error
	if f.email, err = domain.ParseEmail(cfg.FirstSuperuser); err != nil {
		errs = append(errs, fmt.Errorf("FIRST_SUPERUSER: %w", err))
	}
	if name := cfg.FirstSuperuserSnowflakeUser; name != "" {
		user, err := domain.ParseSnowflakeUser(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("FIRST_SUPERUSER_SNOWFLAKE_USER: %w", err))
		}
		f.snowflakeUser = domain.Some(user)
	}
	return f, errors.Join(errs...)
}

// password returns the password, or a configError if no account may have it. It allows the default:
// config refuses that where it must not be used. It is empty if the account has none.
func (f firstSuperuser) password() (string, error) {
	if f.noPassword {
		return "", nil
	}
	if f.configured == config.DefaultPassword {
		return f.configured, nil
	}
	password, err := domain.ParsePasswordFor(f.configured, f.email, f.serviceName)
	if err != nil {
		return "", configError{fmt.Errorf("FIRST_SUPERUSER_PASSWORD: %w", err)}
	}
	return password.Reveal(), nil
}
