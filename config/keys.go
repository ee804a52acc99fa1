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
	Secret      bool // never printed, and without a flag
	Description string

	group Group
	list  bool // a config file may give a list
	set   func(*Config, string) error

	setFile func(*Config, string) error // keeps the path of a secret's file; nil: it is not kept
}

// Group is a set of keys that are used together. A command names the groups that it uses to [Load],
// so that it runs even if other keys are wrong or missing.
type Group int

const (
	serverKeys   Group = iota // only a service uses them
	sourceKeys                // say where other keys are: every command uses them
	ListenerKeys              // the address of the service
	StorageKeys               // the store, and the time limit of a request to it
	SigningKeys               // the keys that sign access tokens
	LoggingKeys
)

// Flag returns the name of the key's flag without dashes. It is empty for a secret, because every
// user of a machine can see its command lines.
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

// fileKey returns the name of the key that holds the path of a file with the secret's value.
func fileKey(secret string) string { return secret + "_FILE" }

// Keys returns every key, each secret followed by its …_FILE key.
func Keys() []Key { return slices.Clone(keys) }

// find returns the key with that name, or nil if there is none.
func find(name string) *Key {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return nil
	}
	return &keys[i]
}

// AddFlags adds --config and one flag for each key that is not a secret. [Load] reads them.
func AddFlags(fs *pflag.FlagSet) {
	for _, k := range keys {
		if !k.Secret {
			fs.String(k.Flag(), k.Default, k.Description)
		}
	}
}

var keys = withFileKeys([]Key{
	{
		Name: configFile, group: sourceKeys, set: unused,
		Description: "YAML file with the same keys in lower case",
	},

	{
		Name: "PROJECT_NAME", Default: "Echo in Snowflake",
		Description: "title of the API and its pages",
		set:         text(func(c *Config) *string { return &c.ProjectName }),
	},
	{
		Name: "API_V1_PREFIX", Default: "/api/v1",
		Description: "path prefix of the API",
		set:         parsed(parsePrefix, func(c *Config) *string { return &c.APIV1Prefix }),
	},
	{
		Name: "DOCS", Default: "on",
		Description: "on, or off: the service has no start page, no Swagger UI, no ReDoc and no openapi.json",
		set: func(c *Config, s string) error {
			chosen, err := choice(s, "on", "off")
			c.Docs = chosen == "on"
			return err
		},
	},
	{
		Name: "STORAGE", Default: StorageMemory, group: StorageKeys,
		Description: "memory, snowflake or postgres; required unless HTTP_ADDR is a loopback address",
		set: oneOf(func(c *Config) *string { return &c.Storage },
			StorageMemory, StorageSnowflake, StoragePostgres),
	},
	{
		Name: "READ_ONLY", Default: "false", group: StorageKeys,
		Description: "true: changes are refused with 503, for example while data moves to another store",
		set:         parsed(parseBool, func(c *Config) *bool { return &c.ReadOnly }),
	},
	{
		Name: "HTTP_ADDR", Default: "127.0.0.1:8000", group: ListenerKeys,
		Description: "host:port to listen on; without a host, on every interface",
		set:         parsed(parseAddr, func(c *Config) *string { return &c.HTTPAddr }),
	},
	{
		Name: "CORS_ORIGINS", list: true,
		Description: "web origins whose pages may call the API, separated by commas; * allows any origin",
		set:         parsed(parseOrigins, func(c *Config) *[]string { return &c.CORSOrigins }),
	},
	{
		Name: "SOURCE_HEADER",
		Description: "trusted header that names the caller, set by a gateway that clients cannot bypass; " +
			"limits on attempts and audit events use it instead of the IP address",
		set: parsed(parseHeaderName, func(c *Config) *string { return &c.SourceHeader }),
	},
	{
		Name: "SOURCE_HOPS", Default: "0",
		Description: "0: SOURCE_HEADER has one value; otherwise it is a list, and this value from its end counts; " +
			"for X-Forwarded-For, the number of your proxies",
		set: number(func(c *Config) *int { return &c.SourceHops }, 0, 16),
	},

	{
		Name: "REQUEST_TIMEOUT", Default: "10s", group: StorageKeys,
		Description: "time limit of a request; a request that takes longer is answered with 503",
		set:         duration(func(c *Config) *time.Duration { return &c.RequestTimeout }, time.Millisecond),
	},
	{
		Name: "SHUTDOWN_DELAY", Default: "2s",
		Description: "how long the service still accepts requests, while unready, after a signal to stop; " +
			"not used in development",
		set: duration(func(c *Config) *time.Duration { return &c.ShutdownDelay }, 0),
	},
	{
		Name: "SHUTDOWN_TIMEOUT", Default: "20s",
		Description: "after SHUTDOWN_DELAY, how long running requests may take to finish",
		set:         duration(func(c *Config) *time.Duration { return &c.ShutdownTimeout }, time.Millisecond),
	},

	{
		Name: "JWT_SECRET_KEY", Secret: true, group: SigningKeys,
		Description: "key that signs the access tokens, at least 32 bytes; " +
			"in development the default is a random key for each start",
		set: parsed(parseSigningKey, func(c *Config) *Secret { return &c.JWTSecretKey }),
	},
	{
		Name: "JWT_PREVIOUS_SECRET_KEY", Secret: true, group: SigningKeys,
		Description: "other keys whose tokens are accepted, one per line; " +
			"during a rotation, the previous keys or the next one",
		set: parsed(parseSigningKeys, func(c *Config) *[]Secret { return &c.JWTAcceptedKeys }),
	},
	{
		Name: "JWT_ALGORITHM", Default: "HS256", group: SigningKeys,
		Description: "signing algorithm; only HS256 is supported",
		set:         hs256,
	},
	{
		Name: "ACCESS_TOKEN_EXPIRE_MINUTES", Default: "60",
		Description: "lifetime of an access token, 1 to 1440 minutes",
		set:         parsed(parseMinutes, func(c *Config) *time.Duration { return &c.AccessTokenLifetime }),
	},
	{
		Name: "PASSWORD_SIGN_IN", Default: "true",
		Description: "true, or false: the service refuses passwords; " +
			"false needs SNOWFLAKE_SIGN_IN and FIRST_SUPERUSER_SNOWFLAKE_USER",
		set: parsed(parseBool, func(c *Config) *bool { return &c.PasswordSignIn }),
	},
	{
		Name: "SNOWFLAKE_SIGN_IN", Default: SignInOff,
		Description: "off; existing: a user in Snowflake signs in to the account that a superuser linked; " +
			"create: and gets an ordinary account if there is none; needs oauth as SNOWFLAKE_AUTH_TYPE",
		set: oneOf(func(c *Config) *string { return &c.SnowflakeSignIn }, SignInOff, SignInExisting, SignInCreate),
	},

	{
		Name: "FIRST_SUPERUSER", Default: DefaultSuperuser,
		Description: "e-mail of the superuser that the first start creates",
		set:         text(func(c *Config) *string { return &c.FirstSuperuser }),
	},
	{
		Name: "FIRST_SUPERUSER_PASSWORD", Default: DefaultPassword, Secret: true,
		Description: "password of that superuser; the default is accepted in development only",
		set:         secret(func(c *Config) *Secret { return &c.FirstSuperuserPassword }),
	},
	{
		Name: "FIRST_SUPERUSER_SNOWFLAKE_USER",
		Description: "user in Snowflake who signs in as that superuser, as CURRENT_USER() shows the name; " +
			"without passwords, that superuser has none",
		set: text(func(c *Config) *string { return &c.FirstSuperuserSnowflakeUser }),
	},

	{
		Name: "SNOWFLAKE_ACCOUNT", group: StorageKeys,
		Description: "account identifier; set by the platform inside Snowflake",
		set:         parsed(parseAccount, func(c *Config) *string { return &c.Snowflake.Account }),
	},
	{
		Name: "SNOWFLAKE_HOST", group: StorageKeys,
		Description: "host name; set by the platform inside Snowflake",
		set:         parsed(parseHost, func(c *Config) *string { return &c.Snowflake.Host }),
	},
	{
		Name: "SNOWFLAKE_PORT", Default: "443", group: StorageKeys,
		Description: "port of SNOWFLAKE_HOST; a local emulator uses another one",
		set:         number(func(c *Config) *int { return &c.Snowflake.Port }, 1, 65535),
	},
	{
		Name: "SNOWFLAKE_PROTOCOL", Default: "https", group: StorageKeys,
		Description: "https, or http for an emulator on this machine",
		set:         oneOf(func(c *Config) *string { return &c.Snowflake.Protocol }, "https", "http"),
	},
	{
		Name: "SNOWFLAKE_DATABASE", Default: "echo_db", group: StorageKeys,
		Description: "database of the tables; set by the platform inside Snowflake",
		set:         text(func(c *Config) *string { return &c.Snowflake.Database }),
	},
	{
		Name: "SNOWFLAKE_SCHEMA", Default: "echo_schema", group: StorageKeys,
		Description: "schema of the tables; set by the platform inside Snowflake",
		set:         text(func(c *Config) *string { return &c.Snowflake.Schema }),
	},
	{
		Name: "SNOWFLAKE_WAREHOUSE", Default: "echo_wh", group: StorageKeys,
		Description: "warehouse that runs the statements",
		set:         text(func(c *Config) *string { return &c.Snowflake.Warehouse }),
	},
	{
		Name: "SNOWFLAKE_ROLE", group: StorageKeys,
		Description: "role to use; without it, the role of the service or user",
		set:         text(func(c *Config) *string { return &c.Snowflake.Role }),
	},
	{
		Name: "SNOWFLAKE_CONNECTIONS", Default: "8", group: StorageKeys,
		Description: "maximum number of connections, 1 to 64; each is one Snowflake session",
		set:         number(func(c *Config) *int { return &c.Snowflake.Connections }, 1, 64),
	},
	{
		Name: "SNOWFLAKE_AUTH_TYPE", Default: AuthOAuth, group: StorageKeys,
		Description: "how to sign in to Snowflake: oauth (the platform's token), password, keypair or pat",
		set: oneOf(func(c *Config) *string { return &c.Snowflake.AuthType },
			AuthOAuth, AuthPassword, AuthKeyPair, AuthPAT),
	},
	{
		Name: "SNOWFLAKE_OAUTH_TOKEN_PATH", Default: "/snowflake/session/token", group: StorageKeys,
		Description: "oauth: file that holds the token; every login reads it again",
		set:         text(func(c *Config) *string { return &c.Snowflake.OAuthTokenPath }),
	},
	{
		Name: "SNOWFLAKE_USER", group: StorageKeys,
		Description: "password, keypair, pat: user name",
		set:         text(func(c *Config) *string { return &c.Snowflake.User }),
	},
	{
		Name: "SNOWFLAKE_PASSWORD", Secret: true, group: StorageKeys,
		Description: "password: the user's password",
		set:         secret(func(c *Config) *Secret { return &c.Snowflake.Password }),
	},
	{
		Name: "SNOWFLAKE_PRIVATE_KEY", Secret: true, group: StorageKeys,
		Description: "keypair: the user's RSA key in PEM (PKCS #8, not encrypted)",
		set:         secret(func(c *Config) *Secret { return &c.Snowflake.PrivateKey }),
	},
	{
		Name: "SNOWFLAKE_PAT", Secret: true, group: StorageKeys,
		Description: "pat: the user's programmatic access token",
		set:         secret(func(c *Config) *Secret { return &c.Snowflake.PAT }),
	},

	{
		Name: "POSTGRES_HOST", group: StorageKeys,
		Description: "host name, IP address, or the folder of a Unix socket; TLS is required unless it is this machine",
		set:         parsed(parsePostgresHost, func(c *Config) *string { return &c.Postgres.Host }),
	},
	{
		Name: "POSTGRES_PORT", Default: "5432", group: StorageKeys,
		Description: "port of POSTGRES_HOST",
		set:         number(func(c *Config) *int { return &c.Postgres.Port }, 1, 65535),
	},
	{
		Name: "POSTGRES_DATABASE", group: StorageKeys,
		Description: "database of the tables",
		set:         parsed(parseName, func(c *Config) *string { return &c.Postgres.Database }),
	},
	{
		Name: "POSTGRES_USER", group: StorageKeys,
		Description: "user name, which PostgreSQL calls a role",
		set:         parsed(parseName, func(c *Config) *string { return &c.Postgres.User }),
	},
	{
		Name: "POSTGRES_PASSWORD", Secret: true, group: StorageKeys,
		Description: "the user's password; its file is read again for each connection",
		set:         secret(func(c *Config) *Secret { return &c.Postgres.Password }),
		setFile:     text(func(c *Config) *string { return &c.Postgres.PasswordFile }),
	},
	{
		Name: "POSTGRES_CA_FILE", group: StorageKeys,
		Description: "PEM file of the root certificates that TLS accepts, read again for each connection; " +
			"without it, those of the system",
		set: parsed(parseReadable, func(c *Config) *string { return &c.Postgres.CAFile }),
	},
	{
		Name: "POSTGRES_URL", Secret: true, group: StorageKeys,
		Description: "postgres://user:password@host:port/database instead of POSTGRES_HOST, _PORT, _DATABASE, " +
			"_USER and _PASSWORD; of its query only sslmode is read; not for a Unix socket",
		set: func(c *Config, s string) error { return c.Postgres.setURL(s) }, // overrides the keys above
	},
	{
		Name: "POSTGRES_AUTH", Default: AuthPassword, group: StorageKeys,
		Description: "how to sign in to PostgreSQL: password, or snowflake " +
			"(tokens of Snowflake Postgres, fetched with the sign-in of the SNOWFLAKE_ keys)",
		set: oneOf(func(c *Config) *string { return &c.Postgres.Auth }, AuthPassword, AuthSnowflake),
	},
	{
		Name: "POSTGRES_INSTANCE", group: StorageKeys,
		Description: "snowflake: name of the Snowflake Postgres instance",
		set:         parsed(parseInstance, func(c *Config) *string { return &c.Postgres.Instance }),
	},
	{
		Name: "POSTGRES_CONNECTIONS", Default: "8", group: StorageKeys,
		Description: "maximum number of connections, 1 to 64",
		set:         number(func(c *Config) *int { return &c.Postgres.Connections }, 1, 64),
	},
	{
		Name: "POSTGRES_SCHEMA", group: StorageKeys,
		Description: "schema of the tables; without it, the search_path of the role",
		set:         parsed(parseSchema, func(c *Config) *string { return &c.Postgres.Schema }),
	},
	{
		Name: "POSTGRES_POOLER", Default: "false", group: StorageKeys,
		Description: "true: a pooler in transaction mode, such as PgBouncer, is between service and server",
		set:         parsed(parseBool, func(c *Config) *bool { return &c.Postgres.Pooler }),
	},

	{
		Name: "OTEL_EXPORTER_OTLP_ENDPOINT",
		Description: "OpenTelemetry collector that receives traces and metrics (OTLP over gRPC, " +
			"encrypted if it begins with https://); without it, nothing is sent",
		set: func(c *Config, s string) (err error) {
			c.Telemetry.TracesEndpoint, err = parseEndpoint(s)
			c.Telemetry.MetricsEndpoint = c.Telemetry.TracesEndpoint
			return err
		},
	},
	{
		Name:        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		Description: "another collector for traces; set by the platform inside Snowflake",
		set:         endpoint(func(c *Config) *string { return &c.Telemetry.TracesEndpoint }),
	},
	{
		Name:        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
		Description: "another collector for metrics; set by the platform inside Snowflake",
		set:         endpoint(func(c *Config) *string { return &c.Telemetry.MetricsEndpoint }),
	},
	{
		Name: "OTEL_TRACES_EXPORTER", Default: "otlp",
		Description: "otlp, or none: no traces are sent",
		set:         exporter(func(c *Config) *string { return &c.Telemetry.TracesEndpoint }),
	},
	{
		Name: "OTEL_METRICS_EXPORTER", Default: "otlp",
		Description: "otlp, or none: no metrics are sent",
		set:         exporter(func(c *Config) *string { return &c.Telemetry.MetricsEndpoint }),
	},
	{
		Name: "OTEL_SDK_DISABLED", Default: "false",
		Description: "true: neither traces nor metrics are sent",
		set: func(c *Config, s string) error {
			disabled, err := parseBool(s)
			if disabled {
				c.Telemetry.TracesEndpoint, c.Telemetry.MetricsEndpoint = "", ""
			}
			return err
		},
	},
	{
		Name: "OTEL_PROPAGATORS", Default: "tracecontext",
		Description: "tracecontext: a request continues the trace that its traceparent header names; " +
			"none: it starts a trace of its own, which Snowsight needs",
		set: parsed(parsePropagators, func(c *Config) *bool { return &c.Telemetry.TrustTraceparent }),
	},
	{
		Name: "SERVER_TIMING", Default: "false",
		Description: "true or false: whether a Server-Timing header tells what the request cost in the store",
		set:         parsed(parseBool, func(c *Config) *bool { return &c.ServerTiming }),
	},
	{
		Name: "LOG_LEVEL", Default: "info", group: LoggingKeys,
		Description: "debug, info, warn or error; audit events and changes of signing keys are always logged",
		set:         oneOf(func(c *Config) *string { return &c.LogLevel }, "debug", "info", "warn", "error"),
	},
	{
		Name: "LOG_FORMAT", Default: "auto", group: LoggingKeys,
		Description: "text, json, or auto: text on a terminal, otherwise json",
		set:         oneOf(func(c *Config) *string { return &c.LogFormat }, "auto", "text", "json"),
	},
})

func withFileKeys(table []Key) []Key {
	var all []Key
	for _, k := range table {
		all = append(all, k)
		if k.Secret {
			file := Key{
				Name: fileKey(k.Name), group: k.group, set: unused,
				Description: "path of a file that holds " + k.Name,
			}
			if k.setFile != nil {
				file.set = k.setFile
			}
			all = append(all, file)
		}
	}
	return all
}

// unused is the setter of a key that only says where other values are.
func unused(*Config, string) error { return nil }
