package config

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Key is one name that can be configured.
type Key struct {
	Name        string // of the environment variable; in lower case in a config file
	Default     string
	Secret      bool // neither printed nor given as a flag
	Description string

	list bool // a config file may give a list
	set  func(*Config, string) error
}

// Flag is the name of the key's flag without dashes, or empty for a secret: what is on a command
// line, every user of the machine can see.
func (k Key) Flag() string {
	switch {
	case k.Secret:
		return ""
	case k.Name == configFile:
		return "config"
	}
	return strings.ReplaceAll(strings.ToLower(k.Name), "_", "-")
}

const configFile = "CONFIG_FILE"

// fileKey names the companion of a secret that holds the path of a file with its value.
func fileKey(secret string) string { return secret + "_FILE" }

// Keys returns every key, each secret followed by its …_FILE companion.
func Keys() []Key { return slices.Clone(keys) }

// AddFlags adds --config and one flag per key that is not a secret, for [Load] to read.
func AddFlags(fs *pflag.FlagSet) {
	for _, k := range keys {
		if !k.Secret {
			fs.String(k.Flag(), k.Default, k.Description)
		}
	}
}

var keys = withFileKeys([]Key{
	{Name: configFile, Description: "YAML file with these same keys in lower case",
		set: elsewhere},

	{Name: "PROJECT_NAME", Default: "Echo in Snowflake", Description: "title of the API and its pages",
		set: text(func(c *Config) *string { return &c.ProjectName })},
	{Name: "API_V1_PREFIX", Default: "/api/v1", Description: "path below which the API lives",
		set: func(c *Config, s string) (err error) { c.APIV1Prefix, err = parsePrefix(s); return }},
	{Name: "STORAGE", Default: StorageMemory,
		Description: "memory or snowflake; must be named unless HTTP_ADDR is a loopback address",
		set:         oneOf(func(c *Config) *string { return &c.Storage }, StorageMemory, StorageSnowflake)},
	{Name: "HTTP_ADDR", Default: "127.0.0.1:8000", Description: "host:port to listen on; without a host, every interface",
		set: func(c *Config, s string) (err error) { c.HTTPAddr, err = parseAddr(s); return }},
	{Name: "CORS_ORIGINS", list: true,
		Description: "origins whose pages may call the API from a browser, separated by commas; * for any",
		set:         func(c *Config, s string) (err error) { c.CORSOrigins, err = parseOrigins(s); return }},
	{Name: "SOURCE_HEADER", Description: "header in which a gateway that nobody can pass by says whom a request is from; limits on attempts count by it, or else by address",
		set: func(c *Config, s string) (err error) { c.SourceHeader, err = parseHeaderName(s); return }},

	{Name: "REQUEST_TIMEOUT", Default: "10s", Description: "how long a request may take before it is answered with 503",
		set: duration(func(c *Config) *time.Duration { return &c.RequestTimeout }, time.Millisecond)},
	{Name: "SHUTDOWN_DELAY", Default: "2s", Description: "how long to serve on, unready, after a signal to stop; not in development",
		set: duration(func(c *Config) *time.Duration { return &c.ShutdownDelay }, 0)},
	{Name: "SHUTDOWN_TIMEOUT", Default: "20s", Description: "how long, after that delay, requests under way may take",
		set: duration(func(c *Config) *time.Duration { return &c.ShutdownTimeout }, time.Millisecond)},

	{Name: "JWT_SECRET_KEY", Secret: true,
		Description: "signs the access tokens, at least 32 bytes; random at each start in development",
		set:         func(c *Config, s string) (err error) { c.JWTSecretKey, err = parseSigningKey(s); return }},
	{Name: "JWT_PREVIOUS_SECRET_KEY", Secret: true,
		Description: "further keys whose tokens are accepted, one per line: those before a rotation, or the next one",
		set:         func(c *Config, s string) (err error) { c.JWTAcceptedKeys, err = parseSigningKeys(s); return }},
	{Name: "JWT_ALGORITHM", Default: "HS256", Description: "HS256, the only one supported",
		set: hs256},
	{Name: "ACCESS_TOKEN_EXPIRE_MINUTES", Default: "60", Description: "lifetime of an access token, 1 to 1440 minutes",
		set: func(c *Config, s string) (err error) { c.AccessTokenLifetime, err = parseMinutes(s); return }},

	{Name: "FIRST_SUPERUSER", Default: "admin@example.com", Description: "e-mail of the superuser that the first start creates",
		set: text(func(c *Config) *string { return &c.FirstSuperuser })},
	{Name: "FIRST_SUPERUSER_PASSWORD", Default: DefaultPassword, Secret: true,
		Description: "password of that superuser; the default is accepted in development only",
		set:         secret(func(c *Config) *Secret { return &c.FirstSuperuserPassword })},

	{Name: "SNOWFLAKE_ACCOUNT", Description: "account identifier; set by the platform inside Snowflake",
		set: text(func(c *Config) *string { return &c.Snowflake.Account })},
	{Name: "SNOWFLAKE_HOST", Description: "host name; set by the platform inside Snowflake",
		set: text(func(c *Config) *string { return &c.Snowflake.Host })},
	{Name: "SNOWFLAKE_PORT", Default: "443", Description: "port of that host; another one for local emulators",
		set: number(func(c *Config) *int { return &c.Snowflake.Port }, 1, 65535)},
	{Name: "SNOWFLAKE_PROTOCOL", Default: "https", Description: "https, or http for an emulator on this machine",
		set: oneOf(func(c *Config) *string { return &c.Snowflake.Protocol }, "https", "http")},
	{Name: "SNOWFLAKE_DATABASE", Default: "echo_db", Description: "database of the tables; set by the platform inside Snowflake",
		set: text(func(c *Config) *string { return &c.Snowflake.Database })},
	{Name: "SNOWFLAKE_SCHEMA", Default: "echo_schema", Description: "schema of the tables; set by the platform inside Snowflake",
		set: text(func(c *Config) *string { return &c.Snowflake.Schema })},
	{Name: "SNOWFLAKE_WAREHOUSE", Default: "echo_wh", Description: "warehouse that runs the statements",
		set: text(func(c *Config) *string { return &c.Snowflake.Warehouse })},
	{Name: "SNOWFLAKE_ROLE", Description: "role to use; without one, that of the service or user",
		set: text(func(c *Config) *string { return &c.Snowflake.Role })},
	{Name: "SNOWFLAKE_CONNECTIONS", Default: "8", Description: "connections at most, 1 to 64, each a session of its own",
		set: number(func(c *Config) *int { return &c.Snowflake.Connections }, 1, 64)},
	{Name: "SNOWFLAKE_AUTH_TYPE", Default: AuthOAuth, Description: "how to sign in to Snowflake: oauth (the platform's token), password, keypair or pat",
		set: oneOf(func(c *Config) *string { return &c.Snowflake.AuthType }, AuthOAuth, AuthPassword, AuthKeyPair, AuthPAT)},
	{Name: "SNOWFLAKE_OAUTH_TOKEN_PATH", Default: "/snowflake/session/token", Description: "oauth: file of the token, read anew at each login",
		set: text(func(c *Config) *string { return &c.Snowflake.OAuthTokenPath })},
	{Name: "SNOWFLAKE_USER", Description: "password, keypair, pat: user name",
		set: text(func(c *Config) *string { return &c.Snowflake.User })},
	{Name: "SNOWFLAKE_PASSWORD", Secret: true, Description: "password: that of the user",
		set: secret(func(c *Config) *Secret { return &c.Snowflake.Password })},
	{Name: "SNOWFLAKE_PRIVATE_KEY", Secret: true, Description: "keypair: RSA key of the user in PEM, PKCS #8, not encrypted",
		set: secret(func(c *Config) *Secret { return &c.Snowflake.PrivateKey })},
	{Name: "SNOWFLAKE_PAT", Secret: true, Description: "pat: programmatic access token of the user",
		set: secret(func(c *Config) *Secret { return &c.Snowflake.PAT })},

	{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Description: "OpenTelemetry collector (OTLP over gRPC) that traces and metrics are sent to, encrypted if it begins with https://; without one, none are made",
		set: func(c *Config, s string) (err error) {
			c.Telemetry.TracesEndpoint, err = parseEndpoint(s)
			c.Telemetry.MetricsEndpoint = c.Telemetry.TracesEndpoint
			return
		}},
	{Name: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Description: "another one for traces; set by the platform inside Snowflake",
		set: endpoint(func(c *Config) *string { return &c.Telemetry.TracesEndpoint })},
	{Name: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", Description: "another one for metrics; set by the platform inside Snowflake",
		set: endpoint(func(c *Config) *string { return &c.Telemetry.MetricsEndpoint })},
	{Name: "OTEL_PROPAGATORS", Default: "tracecontext", Description: "tracecontext: a request belongs to the trace that its traceparent header names; none, as Snowsight needs it: to one of its own",
		set: func(c *Config, s string) (err error) { c.Telemetry.TrustTraceparent, err = parsePropagators(s); return }},
	{Name: "SERVER_TIMING", Default: "false", Description: "true or false: whether replies say in a Server-Timing header what they cost in the store",
		set: boolean(func(c *Config) *bool { return &c.ServerTiming })},
	{Name: "LOG_LEVEL", Default: "info", Description: "debug, info, warn or error",
		set: oneOf(func(c *Config) *string { return &c.LogLevel }, "debug", "info", "warn", "error")},
	{Name: "LOG_FORMAT", Default: "auto", Description: "text, json, or auto: text on a terminal, else json",
		set: oneOf(func(c *Config) *string { return &c.LogFormat }, "auto", "text", "json")},
})

func withFileKeys(table []Key) []Key {
	var all []Key
	for _, k := range table {
		all = append(all, k)
		if k.Secret {
			all = append(all, Key{Name: fileKey(k.Name), Description: "path of a file that holds " + k.Name, set: elsewhere})
		}
	}
	return all
}

// elsewhere is for a key that only says where other values are.
func elsewhere(*Config, string) error { return nil }
