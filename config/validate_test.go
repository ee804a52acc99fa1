package config_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// production is a valid configuration that does not allow default secrets.
var production = map[string]string{
	"HTTP_ADDR":                ":8000",
	"STORAGE":                  "memory",
	"JWT_SECRET_KEY":           signingKey,
	"FIRST_SUPERUSER_PASSWORD": "correct horse",
}

func TestAnInvalidValueIsRefused(t *testing.T) {
	tests := []struct{ key, value, want string }{
		{"STORAGE", "oracle", `"oracle" is unknown: choose one of memory, snowflake, postgres`},
		{"LOG_LEVEL", "loud", `"loud" is unknown: choose one of debug, info, warn, error`},
		{"LOG_FORMAT", "xml", `"xml" is unknown: choose one of auto, text, json`},
		{"SNOWFLAKE_AUTH_TYPE", "magic", `"magic" is unknown: choose one of oauth, password, keypair, pat`},
		{"SNOWFLAKE_SIGN_IN", "on", `"on" is unknown: choose one of off, existing, create`},
		{"PASSWORD_SIGN_IN", "off", `"off" is neither true nor false`},
		{"SNOWFLAKE_PROTOCOL", "ftp", `"ftp" is unknown: choose one of https, http`},
		{"SNOWFLAKE_PORT", "0", `"0" is not a whole number from 1 to 65535`},
		{"SNOWFLAKE_PORT", "https", `"https" is not a whole number`},
		{"SNOWFLAKE_CONNECTIONS", "65", `"65" is not a whole number from 1 to 64`},
		{"POSTGRES_PORT", "65536", `"65536" is not a whole number from 1 to 65535`},
		{"POSTGRES_CONNECTIONS", "0", `"0" is not a whole number from 1 to 64`},
		{"POSTGRES_AUTH", "peer", `"peer" is unknown: choose one of password, snowflake`},
		{"POSTGRES_POOLER", "yes", `"yes" is neither true nor false`},
		{"POSTGRES_HOST", "pg.example.com:5433", `has a port: set POSTGRES_HOST=pg.example.com and POSTGRES_PORT=5433`},
		{"POSTGRES_HOST", "a,b", `"a,b" is not a host: give one host name, IP address, or absolute path`},
		{"POSTGRES_HOST", "run/postgresql", `is not a host`},
		{"POSTGRES_HOST", "postgres://u@h/db", `is a URL: set POSTGRES_URL to it instead, or give only the host name`},
		{"POSTGRES_USER", "ada\n", `"ada\n" has a control character: remove it`},
		{"POSTGRES_DATABASE", "a\tb", `"a\tb" has a control character`},
		{"POSTGRES_SCHEMA", "a,public", `"a,public" is not a plain identifier: use letters, digits and _`},
		{"POSTGRES_SCHEMA", `"Quoted"`, `is not a plain identifier`},
		{"POSTGRES_SCHEMA", "1a", `is not a plain identifier`},
		{"POSTGRES_SCHEMA", strings.Repeat("a", 64), `is not a plain identifier`},
		{"POSTGRES_INSTANCE", "echo-pg", `"echo-pg" is not an identifier of Snowflake: write it like echo_pg`},
		{"POSTGRES_INSTANCE", `"a"b"`, `is not an identifier of Snowflake`},
		{"POSTGRES_INSTANCE", `""`, `is not an identifier of Snowflake`},
		{"POSTGRES_CA_FILE", "missing.pem", `open missing.pem: no such file or directory: name a file that can be read`},
		{"READ_ONLY", "on", `"on" is neither true nor false`},
		{"SERVER_TIMING", "maybe", `"maybe" is neither true nor false`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://", `"http://" is not the address of a collector: write http://host:port`},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector:4317", `is not the address of a collector`},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "collector:43 17", `is not the address of a collector`},
		{"SOURCE_HEADER", "X Client", `"X Client" is not the name of a header: write it like X-Client-Name`},
		{"SOURCE_HEADER", "forwarded", `the format of Forwarded (RFC 7239) is not supported: use X-Forwarded-For`},
		{"SOURCE_HEADER", "sf-context-current-user-token", `holds a secret, which audit events would show`},
		{"SOURCE_HEADER", "X-Authorization", `holds a secret`},
		{"SOURCE_HOPS", "17", `"17" is not a whole number from 0 to 16`},
		{"SOURCE_HOPS", "-1", `"-1" is not a whole number from 0 to 16`},
		{"SOURCE_HOPS", "1", `has no effect without SOURCE_HEADER: set SOURCE_HEADER, or remove SOURCE_HOPS`},
		{"OTEL_PROPAGATORS", "tracecontext, trace", `"trace" is not supported: set it to tracecontext or none`},
		{"JWT_ALGORITHM", "RS256", `"RS256" is not supported: tokens are signed with HS256 only`},
		{"JWT_ALGORITHM", "none", `"none" is not supported`},

		{"REQUEST_TIMEOUT", "10", `"10" is not a duration: write a number with a unit`},
		{"REQUEST_TIMEOUT", "soon", `"soon" is not a duration`},
		{"REQUEST_TIMEOUT", "0s", `"0s" is too short: give at least 1ms`},
		{"REQUEST_TIMEOUT", "-1s", `"-1s" is too short`},
		{"SHUTDOWN_TIMEOUT", "9.999s", `9.999s is shorter than REQUEST_TIMEOUT (10s)`},
		{"SHUTDOWN_DELAY", "-1ns", `"-1ns" is too short: give at least 0s`},
		{"SHUTDOWN_TIMEOUT", "0s", `"0s" is too short`},
		{"SHUTDOWN_TIMEOUT", "26s", `26s after a SHUTDOWN_DELAY of 2s is not less than 28s`},

		{"ACCESS_TOKEN_EXPIRE_MINUTES", "0", `"0" is not a whole number of minutes from 1 to 1440`},
		{"ACCESS_TOKEN_EXPIRE_MINUTES", "1441", `"1441" is not a whole number`},
		{"ACCESS_TOKEN_EXPIRE_MINUTES", "1h", `"1h" is not a whole number`},
		{"ACCESS_TOKEN_EXPIRE_MINUTES", "1.5", `"1.5" is not a whole number`},

		{"HTTP_ADDR", "8000", `"8000" is not host:port: write it like 127.0.0.1:8000`},
		{"HTTP_ADDR", "127.0.0.1", `is not host:port`},
		{"HTTP_ADDR", "127.0.0.1:http", `is not host:port`},
		{"HTTP_ADDR", "127.0.0.1:65536", `is not host:port`},
		{"HTTP_ADDR", "127.0.0.1:", `is not host:port`},
		{"HTTP_ADDR", "http://127.0.0.1:8000", `is not host:port`},
		{"HTTP_ADDR", "local host:8000", `is not host:port`},
		{"HTTP_ADDR", "[::g]:8000", `is not host:port`},

		{"API_V1_PREFIX", "api/v1", `"api/v1" is not a path prefix: begin it with a slash`},
		{"API_V1_PREFIX", "/", `is not a path prefix`},
		{"API_V1_PREFIX", "/api/", `is not a path prefix`},
		{"API_V1_PREFIX", "//api", `is not a path prefix`},
		{"API_V1_PREFIX", "/api/:id", `is not a path prefix`},
		{"API_V1_PREFIX", "/api/*", `is not a path prefix`},
		{"API_V1_PREFIX", "/ä", `is not a path prefix`},
		{"API_V1_PREFIX", "/a%20b", `is not a path prefix`},
		{"API_V1_PREFIX", "/api\n", `is not a path prefix`},
		{"API_V1_PREFIX", "/api/..", `has a segment . or ..`},
		{"API_V1_PREFIX", "/./v1", `has a segment . or ..`},
		{"API_V1_PREFIX", "/livez", `"/livez" collides with /livez`},
		{"API_V1_PREFIX", "/readyz/v1", `collides with /readyz`},
		{"API_V1_PREFIX", "/static", `collides with /static`},

		{"CORS_ORIGINS", "app.example.com", `"app.example.com" cannot be an origin: write scheme://host`},
		{"CORS_ORIGINS", "https://a.example/", `"https://a.example/" cannot be an origin`},
		{"CORS_ORIGINS", "https://a.example/x", `cannot be an origin`},
		{"CORS_ORIGINS", "https://a.example?x", `cannot be an origin`},
		{"CORS_ORIGINS", "https://u:p@a.example", `cannot be an origin`},
		{"CORS_ORIGINS", "https://*.example", `cannot be an origin`},
		{"CORS_ORIGINS", "https://a.example:", `cannot be an origin`},
		{"CORS_ORIGINS", "https://a.example:x", `cannot be an origin`},
		{"CORS_ORIGINS", "https://", `cannot be an origin`},
		{"CORS_ORIGINS", "https://:80", `cannot be an origin`},
		{"CORS_ORIGINS", "null", `cannot be an origin`},
		{"CORS_ORIGINS", "https://a.example,", `"" cannot be an origin`},
		{"CORS_ORIGINS", "a,https://b.example,c", `"a", "c" cannot be an origin`},

		{"CORS_ORIGINS", "https://1.2.3", `cannot be an origin`},
		{"CORS_ORIGINS", "https://a.0x7f", `cannot be an origin`},
		{"CORS_ORIGINS", "http://[fe80::1%25eth0]", `cannot be an origin`},
		{"CORS_ORIGINS", "https://a_b.example", `cannot be an origin`},
		{"DOCS", "no", `"no" is unknown: choose one of on, off`},
		{"OTEL_SDK_DISABLED", "1", `"1" is neither true nor false`},
		{"OTEL_TRACES_EXPORTER", "console", `"console" is unknown: choose one of otlp, none`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://[fe80::1%25eth0]:4317", `is not the address of a collector`},

		{"JWT_SECRET_KEY", signingKey[1:], `has 31 bytes: give at least 32 random bytes`},
		{"JWT_SECRET_KEY", "please-change-this-before-production", `is a placeholder`},
		{"JWT_SECRET_KEY", "CHANGEME" + signingKey, `is a placeholder`},
		{"JWT_SECRET_KEY", "your-256-bit-secret-your-256-bit-secret", `is a placeholder`},
		{"JWT_SECRET_KEY", signingKey + "\n" + otherKey, `has more than one line: give one key`},
		{"JWT_PREVIOUS_SECRET_KEY", "short", `line 1 has 5 bytes`},
		{"JWT_PREVIOUS_SECRET_KEY", otherKey + "\n" + strings.Repeat("x", 32), `line 2 has only 1 distinct byte values`},
		{"JWT_PREVIOUS_SECRET_KEY", otherKey + "\n\n" + signingKey, `line 2 is empty: remove it`},
		{"JWT_PREVIOUS_SECRET_KEY", "\n", `line 1 is empty`},
		{"JWT_PREVIOUS_SECRET_KEY", "please-change-this-before-production", `has a placeholder`},
		{"JWT_PREVIOUS_SECRET_KEY", otherKey + "\nplease-change-this-before-production", `has a placeholder`},
		{"FIRST_SUPERUSER_PASSWORD", "changethis", `is the default, which is accepted only with STORAGE=memory`},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			env := maps.Clone(production)
			env[tt.key] = tt.value
			_, err := load(t, env)
			require.ErrorContains(t, err, tt.want)
			assert.True(t, strings.HasPrefix(err.Error(), tt.key), err)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestAHeaderToWhichClientsCanAddNeedsTheNumberOfProxies(t *testing.T) {
	env := maps.Clone(production)
	env["SOURCE_HEADER"] = "x-forwarded-for"
	_, err := load(t, env)
	require.ErrorContains(t, err, "SOURCE_HOPS: must be set if SOURCE_HEADER is X-Forwarded-For")
	env["SOURCE_HOPS"] = "1"
	c, err := load(t, env)
	require.NoError(t, err)
	assert.Equal(t, 1, c.SourceHops)
}

func TestAValidValueIsAccepted(t *testing.T) {
	tests := []struct{ key, value string }{
		{"STORAGE", "Memory"},
		{"LOG_LEVEL", "INFO"},
		{"SERVER_TIMING", "True"},
		{"SNOWFLAKE_CONNECTIONS", "64"},
		{"POSTGRES_HOST", "my_db.example.com"},
		{"POSTGRES_HOST", "::1"},
		{"POSTGRES_HOST", "/var/run/postgresql"},
		{"POSTGRES_SCHEMA", "_Echo_1"},
		{"POSTGRES_SCHEMA", strings.Repeat("a", 63)},
		{"POSTGRES_INSTANCE", "Echo_pg$1"},
		{"POSTGRES_INSTANCE", `"echo ""pg"" 1"`},
		{"POSTGRES_AUTH", "Snowflake"},
		{"READ_ONLY", "True"},
		{"OTEL_PROPAGATORS", "tracecontext, baggage,b3"},
		{"REQUEST_TIMEOUT", "20s"},
		{"REQUEST_TIMEOUT", "1ms"},
		{"SHUTDOWN_DELAY", "0"},
		{"SHUTDOWN_DELAY", "7.999s"},
		{"ACCESS_TOKEN_EXPIRE_MINUTES", "1"},
		{"ACCESS_TOKEN_EXPIRE_MINUTES", "1440"},
		{"HTTP_ADDR", "[::1]:0"},
		{"HTTP_ADDR", "[fe80::1%eth0]:80"},
		{"HTTP_ADDR", "my-host.example.com:65535"},
		{"API_V1_PREFIX", "/a"},
		{"API_V1_PREFIX", "/A-b_c.d~1/v2/livez"},
		{"CORS_ORIGINS", "*"},
		{"CORS_ORIGINS", " https://A.example , http://[::1]:3000"},
		{"CORS_ORIGINS", "capacitor://localhost"},
		{"OTEL_SDK_DISABLED", "TRUE"},
		{"OTEL_METRICS_EXPORTER", "None"},
		{"JWT_PREVIOUS_SECRET_KEY", otherKey},
		// This happens during a rotation: the next key is accepted first, and signs later.
		{"JWT_PREVIOUS_SECRET_KEY", signingKey},
		{"JWT_PREVIOUS_SECRET_KEY", otherKey + "\n" + signingKey},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			env := maps.Clone(production)
			env[tt.key] = tt.value
			_, err := load(t, env)
			assert.NoError(t, err)
		})
	}
}

func TestASpecificCollectorOverridesTheGeneralOne(t *testing.T) {
	c, err := load(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "https://other:4317"})
	require.NoError(t, err)
	assert.Equal(t, config.Telemetry{
		TracesEndpoint: "http://collector:4317", MetricsEndpoint: "https://other:4317", TrustTraceparent: true,
	}, c.Telemetry)
}

func TestTelemetryCanBeSwitchedOffWhereThePlatformConfiguresIt(t *testing.T) {
	platform := map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a:1", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://b:2",
	}
	for switchedOff, want := range map[string]config.Telemetry{
		"OTEL_SDK_DISABLED=true":     {},
		"OTEL_TRACES_EXPORTER=none":  {MetricsEndpoint: "http://b:2"},
		"OTEL_METRICS_EXPORTER=none": {TracesEndpoint: "http://a:1"},
	} {
		t.Run(switchedOff, func(t *testing.T) {
			env := maps.Clone(platform)
			key, value, _ := strings.Cut(switchedOff, "=")
			env[key] = value
			c, err := load(t, env)
			require.NoError(t, err)
			want.TrustTraceparent = true
			assert.Equal(t, want, c.Telemetry)
		})
	}
}

func TestOriginsAreAsBrowsersSendThem(t *testing.T) {
	for written, want := range map[string]string{
		"https://A.example":           "https://a.example",
		"HTTPS://app.example.com:443": "https://app.example.com",
		"http://app.example.com:80":   "http://app.example.com",
		"http://app.example.com:443":  "http://app.example.com:443",
		"https://bücher.example":      "https://xn--bcher-kva.example",
		"https://BÜCHER.example:8443": "https://xn--bcher-kva.example:8443",
		"http://[::1]:3000":           "http://[::1]:3000",
		"http://[0:0::0:1]":           "http://[::1]",
		"http://127.0.0.1:80":         "http://127.0.0.1",
		"capacitor://localhost":       "capacitor://localhost",
	} {
		c, err := load(t, map[string]string{"CORS_ORIGINS": written})
		require.NoError(t, err, written)
		assert.Equal(t, []string{want}, c.CORSOrigins)
	}
}

func TestTheAddressOfAnAccountIsReducedToWhatTheDriverNeeds(t *testing.T) {
	for written, want := range map[string]string{
		"MyOrg-My_Account":                           "MyOrg-My_Account",
		"xy12345.eu-central-1.aws":                   "xy12345.eu-central-1.aws",
		"https://myorg-acct.snowflakecomputing.com":  "myorg-acct",
		"HTTPS://myorg-acct.SnowflakeComputing.com/": "myorg-acct",
		"myorg-acct.snowflakecomputing.cn":           "myorg-acct",
	} {
		c, err := load(t, map[string]string{"SNOWFLAKE_ACCOUNT": written})
		require.NoError(t, err, written)
		assert.Equal(t, want, c.Snowflake.Account)
	}
	for written, want := range map[string]string{
		"myorg-acct.snowflakecomputing.com":          "myorg-acct.snowflakecomputing.com",
		"https://myorg-acct.snowflakecomputing.com/": "myorg-acct.snowflakecomputing.com",
		"127.0.0.1": "127.0.0.1",
		"::1":       "::1",
	} {
		c, err := load(t, map[string]string{"SNOWFLAKE_HOST": written})
		require.NoError(t, err, written)
		assert.Equal(t, want, c.Snowflake.Host)
	}
	for setting, want := range map[string]string{
		"SNOWFLAKE_ACCOUNT=https://app.snowflake.com/myorg/acct": "is not an account identifier: write it like myorg-myaccount",
		"SNOWFLAKE_ACCOUNT=my account":                           "is not an account identifier",
		"SNOWFLAKE_HOST=host:8443":                               "has a port: set SNOWFLAKE_HOST=host and SNOWFLAKE_PORT=8443",
		"SNOWFLAKE_HOST=https://host:443":                        "has a port: set SNOWFLAKE_HOST=host and SNOWFLAKE_PORT=443",
		"SNOWFLAKE_HOST=a b":                                     "is not a host name: write it like myorg-myaccount.snowflakecomputing.com",
	} {
		key, value, _ := strings.Cut(setting, "=")
		_, err := load(t, map[string]string{key: value})
		assert.ErrorContains(t, err, want)
	}
}

func TestDefaultSecretsAreAcceptedOnlyInDevelopment(t *testing.T) {
	_, err := load(t, map[string]string{"STORAGE": "memory", "HTTP_ADDR": "localhost:0", "FIRST_SUPERUSER_PASSWORD": "changethis"})
	require.NoError(t, err)

	for name, env := range map[string]map[string]string{
		"on every interface": {"STORAGE": "memory", "HTTP_ADDR": ":8000"},
		"with another store": {"STORAGE": "snowflake", "HTTP_ADDR": "127.0.0.1:8000", "SNOWFLAKE_ACCOUNT": "acme"},
		"with PostgreSQL": {
			"STORAGE": "postgres", "HTTP_ADDR": "127.0.0.1:8000", "POSTGRES_URL": "postgres://u@localhost/db",
		},
		"on a private address": {"STORAGE": "memory", "HTTP_ADDR": "10.1.2.3:8000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, env)
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, 2)
			assert.Contains(t, lines[0], "JWT_SECRET_KEY: is not set, which is accepted only with STORAGE=memory")
			assert.Contains(t, lines[1], "FIRST_SUPERUSER_PASSWORD: is the default, which is accepted only with STORAGE=memory")
		})
	}
}

func TestAPlaceholderIsAcceptedInDevelopment(t *testing.T) {
	_, err := load(t, map[string]string{"JWT_SECRET_KEY": "only-for-development-change-this-later"})
	assert.NoError(t, err)
}

func TestStorageMustBeSetForAPublicListener(t *testing.T) {
	env := maps.Clone(production)
	delete(env, "STORAGE")
	_, err := load(t, env)
	assert.EqualError(t, err, "STORAGE: must be set if HTTP_ADDR (:8000) is not a loopback address: set it to memory, snowflake or postgres")
}

func TestTheSnowflakeStoreNeedsCredentials(t *testing.T) {
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"inside Snowflake, the platform's token is enough": {map[string]string{"SNOWFLAKE_ACCOUNT": "acme"}, nil},
		"no account": {nil, []string{
			"SNOWFLAKE_ACCOUNT: is not set, which STORAGE=snowflake needs: give the account identifier, such as myorg-myaccount",
		}},
		"a password without user and password": {map[string]string{"SNOWFLAKE_ACCOUNT": "acme", "SNOWFLAKE_AUTH_TYPE": "password"}, []string{
			"SNOWFLAKE_USER: is not set, which SNOWFLAKE_AUTH_TYPE=password needs: give the user's name",
			"SNOWFLAKE_PASSWORD: is not set, which SNOWFLAKE_AUTH_TYPE=password needs: set it, or set SNOWFLAKE_PASSWORD_FILE to the path of a file",
		}},
		"a key pair without its key": {map[string]string{"SNOWFLAKE_ACCOUNT": "acme", "SNOWFLAKE_AUTH_TYPE": "keypair", "SNOWFLAKE_USER": "u", "SNOWFLAKE_PASSWORD": "p"}, []string{
			"SNOWFLAKE_PRIVATE_KEY: is not set, which SNOWFLAKE_AUTH_TYPE=keypair needs: set it, or set SNOWFLAKE_PRIVATE_KEY_FILE to the path of a file",
		}},
		"an access token": {map[string]string{"SNOWFLAKE_ACCOUNT": "acme", "SNOWFLAKE_AUTH_TYPE": "pat", "SNOWFLAKE_USER": "u", "SNOWFLAKE_PAT": "t"}, nil},
		"no encryption to another machine": {map[string]string{"SNOWFLAKE_ACCOUNT": "acme", "SNOWFLAKE_PROTOCOL": "http", "SNOWFLAKE_HOST": "acme.example.com"}, []string{
			"SNOWFLAKE_PROTOCOL: http is accepted only if SNOWFLAKE_HOST is this machine: use https",
		}},
		"an emulator on this machine": {map[string]string{"SNOWFLAKE_ACCOUNT": "acme", "SNOWFLAKE_PROTOCOL": "http", "SNOWFLAKE_HOST": "localhost"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			env := maps.Clone(production)
			env["STORAGE"] = "snowflake"
			maps.Copy(env, tt.env)
			_, err := load(t, env)
			if tt.want == nil {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, strings.Join(tt.want, "\n"))
		})
	}
}

func TestSomebodyMustBeAbleToSignIn(t *testing.T) {
	const (
		noAccount = "SNOWFLAKE_ACCOUNT: is not set, which SNOWFLAKE_SIGN_IN=existing needs: " +
			"give the account identifier, such as myorg-myaccount"
		noOAuth = "SNOWFLAKE_SIGN_IN: create needs SNOWFLAKE_AUTH_TYPE=oauth, because only the token of a service in " +
			"Snowpark Container Services proves who calls it: set it, or set SNOWFLAKE_SIGN_IN=off"
		nobody = "PASSWORD_SIGN_IN: is false and SNOWFLAKE_SIGN_IN is off, so nobody could sign in: " +
			"set SNOWFLAKE_SIGN_IN=existing or create, or PASSWORD_SIGN_IN=true"
		noSuperuser = "PASSWORD_SIGN_IN: is false and FIRST_SUPERUSER_SNOWFLAKE_USER is not set, so no superuser could " +
			"sign in: set it to the name of a user as CURRENT_USER() shows it, or set PASSWORD_SIGN_IN=true"
	)
	for name, tt := range map[string]struct {
		settings string
		want     []string
	}{
		"with passwords or Snowflake": {"SNOWFLAKE_SIGN_IN=existing SNOWFLAKE_ACCOUNT=acme", nil},
		"with Snowflake alone": {
			"SNOWFLAKE_SIGN_IN=existing SNOWFLAKE_ACCOUNT=acme PASSWORD_SIGN_IN=false FIRST_SUPERUSER_SNOWFLAKE_USER=ANN", nil,
		},
		"with Snowflake and the tables of another store": {
			"SNOWFLAKE_SIGN_IN=create SNOWFLAKE_ACCOUNT=acme STORAGE=postgres POSTGRES_URL=postgres://u:p@localhost/db", nil,
		},
		"with Snowflake of no account": {"SNOWFLAKE_SIGN_IN=existing", []string{noAccount}},
		"with Snowflake by a key": {
			"SNOWFLAKE_SIGN_IN=create SNOWFLAKE_ACCOUNT=acme SNOWFLAKE_AUTH_TYPE=pat SNOWFLAKE_USER=u SNOWFLAKE_PAT=p",
			[]string{noOAuth},
		},
		"with nothing":    {"PASSWORD_SIGN_IN=false", []string{nobody, noSuperuser}},
		"as no superuser": {"PASSWORD_SIGN_IN=false SNOWFLAKE_SIGN_IN=existing SNOWFLAKE_ACCOUNT=acme", []string{noSuperuser}},
	} {
		t.Run(name, func(t *testing.T) {
			env := maps.Clone(production)
			for setting := range strings.FieldsSeq(tt.settings) {
				key, value, _ := strings.Cut(setting, "=")
				env[key] = value
			}
			_, err := load(t, env)
			if tt.want == nil {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, strings.Join(tt.want, "\n"))
		})
	}
}

func TestWithoutPasswordsTheDefaultPasswordIsNoProblem(t *testing.T) {
	env := maps.Clone(production)
	maps.Copy(env, map[string]string{
		"FIRST_SUPERUSER_PASSWORD": "changethis", "PASSWORD_SIGN_IN": "false", "SNOWFLAKE_SIGN_IN": "existing",
		"SNOWFLAKE_ACCOUNT": "acme", "FIRST_SUPERUSER_SNOWFLAKE_USER": "ANN",
	})
	c, err := load(t, env)
	require.NoError(t, err)
	assert.False(t, c.UsesDefaultPassword())
}

func TestEveryProblemIsReportedOnce(t *testing.T) {
	isolate(t)
	write(t, "c.yaml", "log_levle: debug\nlog_format: xml\n")
	write(t, ".env", "REQUEST_TIMEOUT=soon\n")
	_, err := loadHere(t, map[string]string{
		"CONFIG_FILE":             "c.yaml",
		"HTTP_ADDR":               ":8000",
		"STORAGE":                 "oracle",
		"JWT_SECRET_KEY":          "short",
		"JWT_ALGORITHM":           "RS256",
		"SNOWFLAKE_PASSWORD_FILE": "none",
	}, "--log-level=loud")
	require.Error(t, err)
	var got []string
	for line := range strings.Lines(err.Error()) {
		subject, _, _ := strings.Cut(line, ": ")
		got = append(got, subject)
	}
	assert.Equal(t, []string{
		"log_levle",
		"STORAGE (environment)",
		"REQUEST_TIMEOUT (.env)",
		"JWT_SECRET_KEY (environment)",
		"JWT_ALGORITHM (environment)",
		"SNOWFLAKE_PASSWORD (SNOWFLAKE_PASSWORD_FILE)",
		"LOG_LEVEL (flag --log-level)",
		"LOG_FORMAT (file c.yaml)",
		"FIRST_SUPERUSER_PASSWORD",
	}, got)
}

func TestOnlyTheKeysOfTheGivenGroupsAreChecked(t *testing.T) {
	invalid := map[string]string{
		"API_V1_PREFIX": "api", "HTTP_ADDR": "8000", "REQUEST_TIMEOUT": "soon", "JWT_SECRET_KEY": "short", "LOG_LEVEL": "loud",
		"STORAGE": "snowflake", "FIRST_SUPERUSER_PASSWORD_FILE": "missing", "SHUTDOWN_TIMEOUT": "1ms", "SNOWFLAKE_PAT_FILE": "missing",
	}
	for name, tt := range map[string]struct {
		groups []config.Group
		want   []string
	}{
		"all": {nil, []string{
			"API_V1_PREFIX", "HTTP_ADDR", "REQUEST_TIMEOUT", "JWT_SECRET_KEY", "FIRST_SUPERUSER_PASSWORD",
			"SNOWFLAKE_PAT", "LOG_LEVEL", "SHUTDOWN_TIMEOUT", "SNOWFLAKE_ACCOUNT",
		}},
		"the listener":         {[]config.Group{config.ListenerKeys}, []string{"HTTP_ADDR"}},
		"the store":            {[]config.Group{config.StorageKeys}, []string{"REQUEST_TIMEOUT", "SNOWFLAKE_PAT", "SNOWFLAKE_ACCOUNT"}},
		"the signing keys":     {[]config.Group{config.SigningKeys}, []string{"JWT_SECRET_KEY"}},
		"logging":              {[]config.Group{config.LoggingKeys}, []string{"LOG_LEVEL"}},
		"listener and logging": {[]config.Group{config.ListenerKeys, config.LoggingKeys}, []string{"HTTP_ADDR", "LOG_LEVEL"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, invalid)
			require.Error(t, err)
			_, err = config.Load(nil, tt.groups...)
			assert.Equal(t, tt.want, subjects(err))
		})
	}
}

func TestTheStoreNeedsNoKeyOfTheServer(t *testing.T) {
	env := map[string]string{"STORAGE": "snowflake", "HTTP_ADDR": ":8000", "SNOWFLAKE_ACCOUNT": "acme", "SHUTDOWN_TIMEOUT": "5s"}
	_, err := load(t, env)
	assert.Equal(t, []string{"JWT_SECRET_KEY", "FIRST_SUPERUSER_PASSWORD", "SHUTDOWN_TIMEOUT"}, subjects(err))
	c, err := config.Load(nil, config.StorageKeys, config.LoggingKeys)
	require.NoError(t, err)
	assert.Equal(t, "acme", c.Snowflake.Account)
}

func TestSigningKeysAreLoadedEvenIfOtherKeysAreInvalid(t *testing.T) {
	isolate(t)
	write(t, "key", signingKey)
	write(t, "accepted", signingKey)
	env := map[string]string{
		"HTTP_ADDR": ":8000", "STORAGE": "memory", "REQUEST_TIMEOUT": "soon", "FIRST_SUPERUSER_PASSWORD_FILE": "missing",
		"ACCESS_TOKEN_EXPIRE_MINUTES": "soon", "JWT_SECRET_KEY_FILE": "key", "JWT_PREVIOUS_SECRET_KEY_FILE": "accepted",
	}
	_, err := loadHere(t, env)
	assert.Equal(t, []string{"REQUEST_TIMEOUT", "ACCESS_TOKEN_EXPIRE_MINUTES", "FIRST_SUPERUSER_PASSWORD"}, subjects(err))
	c, err := config.Load(nil, config.SigningKeys)
	require.NoError(t, err)
	assert.Equal(t, signingKey, c.JWTSecretKey.Reveal())

	write(t, "accepted", "short")
	_, err = config.Load(nil, config.SigningKeys)
	assert.Equal(t, []string{"JWT_PREVIOUS_SECRET_KEY"}, subjects(err))
}

func TestAFaultOfASourceIsReportedForEveryGroup(t *testing.T) {
	for want, spoil := range map[string]func(){
		"CONFIG_FILE": func() { t.Setenv("CONFIG_FILE", "missing.yaml") },
		"log_levle":   func() { write(t, "c.yaml", "log_levle: debug"); t.Setenv("CONFIG_FILE", "c.yaml") },
		".env":        func() { write(t, ".env", "JWT-SECRET-KEY=x") },
	} {
		isolate(t)
		spoil()
		for _, group := range []config.Group{config.ListenerKeys, config.StorageKeys, config.SigningKeys, config.LoggingKeys} {
			_, err := config.Load(nil, group)
			assert.Equal(t, []string{want}, subjects(err))
		}
	}
}
