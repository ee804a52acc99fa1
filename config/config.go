// Package config reads flags, the environment, .env and an optional YAML file into one typed
// [Config], and checks it. It is the only package that reads the environment. It imports none of our
// packages, opens no connection and logs nothing. It checks the syntax of a value; the package that
// uses a value checks what it means.
//
// Every key stands once, in the table of keys.go. A later source overrides an earlier one: default,
// config file, .env in the working directory, environment, flag. An empty value counts as not set in
// every source.
package config

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The values of STORAGE.
const (
	StorageMemory    = "memory"
	StorageSnowflake = "snowflake"
	StoragePostgres  = "postgres"
)

// The values of SNOWFLAKE_AUTH_TYPE.
const (
	AuthOAuth    = "oauth"
	AuthPassword = "password"
	AuthKeyPair  = "keypair"
	AuthPAT      = "pat"
)

// AuthSnowflake and [AuthPassword] are the values of POSTGRES_AUTH.
const AuthSnowflake = "snowflake"

// The values of SNOWFLAKE_SIGN_IN.
const (
	SignInOff      = "off"
	SignInExisting = "existing" // for users in Snowflake that have an account
	SignInCreate   = "create"   // and creates an account for all others
)

// DefaultSuperuser and DefaultPassword are the documented sign-in of a service in development. The
// password is refused everywhere else: see [Config.Development].
const (
	DefaultSuperuser = "admin@example.com"
	DefaultPassword  = "changethis"
)

// Config is the configuration of the service. A Config from [Load] is valid.
type Config struct {
	ProjectName string
	APIV1Prefix string // such as /api/v1: begins with a slash, ends without one
	Docs        bool   // whether the pages and the API document are served
	Storage     string // one of the Storage constants
	ReadOnly    bool   // whether changes are refused
	HTTPAddr    string // host:port; an empty host means every interface

	RequestTimeout  time.Duration // time limit of a request
	ShutdownDelay   time.Duration // how long to accept requests while unready
	ShutdownTimeout time.Duration // how long running requests may take after ShutdownDelay

	JWTSecretKey        Secret   // at least 32 bytes
	JWTAcceptedKeys     []Secret // tokens of these keys are valid, too; may repeat JWTSecretKey
	AccessTokenLifetime time.Duration

	PasswordSignIn  bool   // whether accounts can sign in with a password
	SnowflakeSignIn string // one of the SignIn constants: who can sign in with Snowflake

	FirstSuperuser              string // an e-mail, not checked here
	FirstSuperuserPassword      Secret // not checked here, except that DefaultPassword is for development
	FirstSuperuserSnowflakeUser string // not checked here; may be empty

	Snowflake Snowflake
	Postgres  Postgres
	Telemetry Telemetry

	SourceHeader string   // name of the request header that names the caller; may be empty
	SourceHops   int      // 0: SourceHeader has one value; n: it is a list, and the n-th value from its end counts
	CORSOrigins  []string // scheme://host[:port] in lower case, or *
	ServerTiming bool     // whether replies tell what they cost in the store
	LogLevel     string   // debug, info, warn or error
	LogFormat    string   // auto, text or json; auto is text on a terminal, otherwise json

	settings []Setting
}

// Snowflake says how to reach the database with [StorageSnowflake]. [AuthSnowflake] signs in with it.
type Snowflake struct {
	Account     string
	Host        string // empty: derived from Account
	Port        int
	Protocol    string // https; http on a loopback host only
	Database    string
	Schema      string
	Warehouse   string
	Role        string // empty: the role of the service or user
	Connections int    // maximum number

	AuthType       string // one of the Auth constants
	OAuthTokenPath string // for AuthOAuth
	User           string // for all other types
	Password       Secret // for AuthPassword
	PrivateKey     Secret // for AuthKeyPair: PEM, not checked here
	PAT            Secret // for AuthPAT: a programmatic access token
}

// Postgres says how to reach the database with [StoragePostgres].
type Postgres struct {
	Host         string // host name, IP address, or the absolute path of a Unix socket's folder
	Port         int
	Database     string
	User         string
	Password     Secret // for AuthPassword; may be empty if the host is this machine
	PasswordFile string // the file of Password, to read again for each connection; may be empty
	TLS          bool   // whether TLS verifies certificate and host name; false only if the host is this machine
	CAFile       string // PEM file of root certificates, to read for each connection; empty: the system's
	Auth         string // AuthPassword or AuthSnowflake
	Instance     string // for AuthSnowflake: the instance of Snowflake Postgres, as an SQL identifier
	Connections  int    // maximum number
	Schema       string // plain SQL identifier; empty: the search_path of the role
	Pooler       bool   // whether a pooler in transaction mode is between service and server
}

// Telemetry says where to send traces and metrics (OTLP over gRPC).
type Telemetry struct {
	TracesEndpoint   string // URL; empty: no traces
	MetricsEndpoint  string // URL; empty: no metrics
	TrustTraceparent bool   // whether a request continues the trace that its client names
}

// Development reports whether the service uses the memory store and listens on a loopback address:
// its data ends with the process, and only this machine can reach it. Only then are the default
// secrets accepted.
func (c Config) Development() bool {
	return c.Storage == StorageMemory && c.loopback()
}

// OffersSnowflakeSignIn reports whether users in Snowflake can sign in.
func (c Config) OffersSnowflakeSignIn() bool {
	return c.SnowflakeSignIn == SignInExisting || c.SnowflakeSignIn == SignInCreate
}

// UsesDefaultPassword reports whether the first superuser signs in with [DefaultPassword].
func (c Config) UsesDefaultPassword() bool {
	return c.PasswordSignIn && c.FirstSuperuserPassword.Reveal() == DefaultPassword
}

func (c Config) loopback() bool {
	host, _, err := net.SplitHostPort(c.HTTPAddr)
	return err == nil && isLoopback(host)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(host, "localhost")
	}
	return addr.Unmap().IsLoopback()
}

// SignsInToSnowflake reports whether the service uses the keys of [Snowflake] to sign in.
func (c Config) SignsInToSnowflake() bool {
	return c.Storage == StorageSnowflake || c.Storage == StoragePostgres && c.Postgres.Auth == AuthSnowflake
}

// Setting is the effective value of one key and its source.
type Setting struct {
	Name   string
	Value  string // a secret is redacted
	Origin string // default, generated, file PATH, .env, environment or flag --NAME
}

// IsSet reports whether a source sets the key.
func (s Setting) IsSet() bool { return s.Origin != originDefault && s.Origin != originGenerated }

// Settings returns one setting for each key, in the order of [Keys].
func (c Config) Settings() []Setting { return slices.Clone(c.settings) }
