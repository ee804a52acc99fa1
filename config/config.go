// Package config is the only place that reads the environment: it turns flags, environment, .env
// and an optional YAML file into one checked [Config]. It imports none of our packages, opens no
// connection and logs nothing; what a value means beyond its own syntax is for its user to say.
//
// Every key stands once, in the table of keys.go. A later source wins over an earlier one:
// default, config file, .env in the working directory, environment, flag. An empty value counts as
// not set, whatever its source.
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
)

// The values of SNOWFLAKE_AUTH_TYPE.
const (
	AuthOAuth    = "oauth"
	AuthPassword = "password"
	AuthKeyPair  = "keypair"
	AuthPAT      = "pat"
)

// DefaultPassword is the first superuser's password where none is set, which only
// [Config.Development] allows.
const DefaultPassword = "changethis"

// Config is what the service runs with. One that comes from [Load] is valid.
type Config struct {
	ProjectName string
	APIV1Prefix string // such as /api/v1: begins with a slash, ends without one
	Storage     string // StorageMemory or StorageSnowflake
	HTTPAddr    string // host:port; an empty host means every interface

	RequestTimeout  time.Duration // how long a request may take
	ShutdownDelay   time.Duration // how long to serve on while unready
	ShutdownTimeout time.Duration // how long, after that, requests under way may take

	JWTSecretKey        Secret   // at least 32 bytes
	JWTAcceptedKeys     []Secret // those whose tokens are good as well; may repeat JWTSecretKey
	AccessTokenLifetime time.Duration

	FirstSuperuser         string // an e-mail, not checked here
	FirstSuperuserPassword Secret // not checked here, save that DefaultPassword is for development

	Snowflake Snowflake
	Telemetry Telemetry

	SourceHeader string   // of requests: whom a gateway says that one is from; may be empty
	CORSOrigins  []string // scheme://host[:port] in lower case, or *
	ServerTiming bool     // whether replies say what they cost in the store
	LogLevel     string   // debug, info, warn or error
	LogFormat    string   // auto, text or json; auto is text on a terminal, else json

	settings []Setting
}

// Snowflake is how to reach the database; unused with [StorageMemory].
type Snowflake struct {
	Account     string
	Host        string // empty: derived from Account
	Port        int
	Protocol    string // https; http on a loopback host only
	Database    string
	Schema      string
	Warehouse   string
	Role        string // empty: the role of the service or user
	Connections int    // at most

	AuthType       string // one of the Auth constants
	OAuthTokenPath string // of AuthOAuth
	User           string // of all the others
	Password       Secret // of AuthPassword
	PrivateKey     Secret // of AuthKeyPair: PEM, not checked here
	PAT            Secret // of AuthPAT: a programmatic access token
}

// Telemetry says where traces and metrics go, by OTLP over gRPC.
type Telemetry struct {
	TracesEndpoint   string // URL; empty: no traces
	MetricsEndpoint  string // URL; empty: no metrics
	TrustTraceparent bool   // whether requests belong to the traces that their clients name
}

// Development reports whether the service is tried out on somebody's own machine: its store ends
// with the process and nobody else can reach it. Only then are the default secrets accepted.
func (c Config) Development() bool {
	return c.Storage == StorageMemory && c.loopback()
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

// Setting is the effective value of one key and where it came from.
type Setting struct {
	Name   string
	Value  string // a secret is redacted
	Origin string // default, generated, file PATH, .env, environment or flag --NAME
}

// Settings returns one setting for each of [Keys], in that order.
func (c Config) Settings() []Setting { return slices.Clone(c.settings) }
