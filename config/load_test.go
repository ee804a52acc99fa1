package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

const (
	signingKey = "q3v9Xz0mT7bR2kLw8sYd5uHn1pJf6cGa"
	otherKey   = "w8sYd5uHn1pJf6cGaq3v9Xz0mT7bR2kL"
)

// load calls Load in an empty directory. The environment sets only the keys of env.
func load(t *testing.T, env map[string]string, args ...string) (config.Config, error) {
	t.Helper()
	isolate(t)
	return loadHere(t, env, args...)
}

func isolate(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, k := range config.Keys() {
		t.Setenv(k.Name, "")
	}
}

func loadHere(t *testing.T, env map[string]string, args ...string) (config.Config, error) {
	t.Helper()
	for name, value := range env {
		t.Setenv(name, value)
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags)
	require.NoError(t, flags.Parse(args))
	return config.Load(flags)
}

// subjects returns the keys that the problems of err name.
func subjects(err error) []string {
	var keys []string
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			subject, _, _ := strings.Cut(line, ": ")
			key, _, _ := strings.Cut(subject, " ")
			keys = append(keys, key)
		}
	}
	return keys
}

func write(t *testing.T, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
}

func setting(t *testing.T, c config.Config, name string) config.Setting {
	t.Helper()
	for _, s := range c.Settings() {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no setting", name)
	return config.Setting{}
}

// sample holds a valid value for each key that is not its default.
var sample = map[string]string{
	"PROJECT_NAME":                        "Another",
	"API_V1_PREFIX":                       "/v9",
	"DOCS":                                "off",
	"STORAGE":                             "snowflake",
	"READ_ONLY":                           "true",
	"HTTP_ADDR":                           ":9000",
	"CORS_ORIGINS":                        "https://app.example.com,http://localhost:3000",
	"SOURCE_HEADER":                       "X-Client-Name",
	"SOURCE_HOPS":                         "2",
	"REQUEST_TIMEOUT":                     "3s",
	"SHUTDOWN_DELAY":                      "1s",
	"SHUTDOWN_TIMEOUT":                    "9s",
	"JWT_SECRET_KEY":                      signingKey,
	"JWT_PREVIOUS_SECRET_KEY":             otherKey,
	"JWT_ALGORITHM":                       "HS256",
	"ACCESS_TOKEN_EXPIRE_MINUTES":         "5",
	"PASSWORD_SIGN_IN":                    "false",
	"SNOWFLAKE_SIGN_IN":                   "create",
	"FIRST_SUPERUSER":                     "root@example.org",
	"FIRST_SUPERUSER_PASSWORD":            "correct horse",
	"FIRST_SUPERUSER_SNOWFLAKE_USER":      "ROOT",
	"SNOWFLAKE_ACCOUNT":                   "acme",
	"SNOWFLAKE_HOST":                      "127.0.0.1",
	"SNOWFLAKE_PORT":                      "8443",
	"SNOWFLAKE_PROTOCOL":                  "http",
	"SNOWFLAKE_DATABASE":                  "db",
	"SNOWFLAKE_SCHEMA":                    "sc",
	"SNOWFLAKE_WAREHOUSE":                 "wh",
	"SNOWFLAKE_ROLE":                      "ro",
	"SNOWFLAKE_CONNECTIONS":               "4",
	"SNOWFLAKE_AUTH_TYPE":                 "OAuth", // SNOWFLAKE_SIGN_IN accepts no other
	"SNOWFLAKE_OAUTH_TOKEN_PATH":          "/token",
	"SNOWFLAKE_USER":                      "someone",
	"SNOWFLAKE_PASSWORD":                  "battery staple",
	"SNOWFLAKE_PRIVATE_KEY":               "PEM of a key",
	"SNOWFLAKE_PAT":                       "token of a program",
	"POSTGRES_HOST":                       "pg.example.com",
	"POSTGRES_PORT":                       "5433",
	"POSTGRES_DATABASE":                   "another",
	"POSTGRES_USER":                       "bob",
	"POSTGRES_PASSWORD":                   "password of bob",
	"POSTGRES_URL":                        "postgres://ada:x%20y@127.0.0.1:6432/echo?sslmode=verify-full", // wins
	"POSTGRES_AUTH":                       "snowflake",
	"POSTGRES_INSTANCE":                   "echo_pg",
	"POSTGRES_CONNECTIONS":                "5",
	"POSTGRES_SCHEMA":                     "pg_schema",
	"POSTGRES_POOLER":                     "true",
	"OTEL_EXPORTER_OTLP_ENDPOINT":         "http://collector:4317",
	"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":  "https://traces:4317",
	"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://metrics:4317",
	"OTEL_PROPAGATORS":                    "none",
	"OTEL_TRACES_EXPORTER":                "none",
	"OTEL_METRICS_EXPORTER":               "none",
	"OTEL_SDK_DISABLED":                   "true",
	"SERVER_TIMING":                       "true",
	"LOG_LEVEL":                           "debug",
	"LOG_FORMAT":                          "json",
}

func TestWithoutAnySourceEveryKeyHasItsDefault(t *testing.T) {
	c, err := load(t, nil)
	require.NoError(t, err)
	for i, k := range config.Keys() {
		want := config.Setting{Name: k.Name, Value: k.Default, Origin: "default"}
		switch k.Name {
		case "JWT_SECRET_KEY":
			want.Value, want.Origin = "[redacted]", "generated"
		case "FIRST_SUPERUSER_PASSWORD":
			want.Value = "[redacted]"
		}
		assert.Equal(t, want, c.Settings()[i])
	}
	assert.True(t, c.Development())
	assert.Equal(t, config.DefaultPassword, c.FirstSuperuserPassword.Reveal())
	assert.Nil(t, c.CORSOrigins)
}

func TestEveryKeyCanComeFromEverySource(t *testing.T) {
	var dotenv, yaml strings.Builder
	var args []string
	secrets := map[string]string{}
	for _, k := range config.Keys() {
		value, ok := sample[k.Name]
		if !ok {
			require.True(t, k.Name == "CONFIG_FILE" || strings.HasSuffix(k.Name, "_FILE"), "%s has no sample", k.Name)
			continue
		}
		dotenv.WriteString(k.Name + "='" + value + "'\n")
		yaml.WriteString(strings.ToLower(k.Name) + ": '" + value + "'\n")
		if k.Secret {
			secrets[k.Name] = value
		} else {
			args = append(args, "--"+k.Flag()+"="+value)
		}
	}
	tests := map[string]struct {
		origin string
		load   func() (config.Config, error)
	}{
		"config file": {"file all.yaml", func() (config.Config, error) {
			write(t, "all.yaml", yaml.String())
			return loadHere(t, nil, "--config", "all.yaml")
		}},
		".env": {".env", func() (config.Config, error) {
			write(t, ".env", dotenv.String())
			return loadHere(t, nil)
		}},
		"environment": {"environment", func() (config.Config, error) { return loadHere(t, sample) }},
		"flags":       {"flag", func() (config.Config, error) { return loadHere(t, secrets, args...) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			c, err := tt.load()
			require.NoError(t, err)
			for _, k := range config.Keys() {
				want := config.Setting{Name: k.Name, Value: sample[k.Name], Origin: tt.origin}
				switch {
				case want.Value == "":
					continue
				case k.Secret:
					want.Value = "[redacted]"
					if tt.origin == "flag" {
						want.Origin = "environment"
					}
				case tt.origin == "flag":
					want.Origin = "flag --" + k.Flag()
				}
				assert.Equal(t, want, setting(t, c, k.Name))
			}
			assertIsSample(t, c)
		})
	}
}

func TestALaterSourceWins(t *testing.T) {
	isolate(t)
	expect := func(value, origin string, args ...string) {
		t.Helper()
		c, err := loadHere(t, nil, args...)
		require.NoError(t, err)
		assert.Equal(t, value, c.ProjectName)
		assert.Equal(t, config.Setting{Name: "PROJECT_NAME", Value: value, Origin: origin}, setting(t, c, "PROJECT_NAME"))
	}
	expect("Echo in Snowflake", "default")

	write(t, "c.yaml", "project_name: from file\n")
	expect("from file", "file c.yaml", "--config=c.yaml")

	write(t, ".env", "CONFIG_FILE=c.yaml\n")
	expect("from file", "file c.yaml")

	write(t, ".env", "CONFIG_FILE=c.yaml\nPROJECT_NAME=from dotenv\nproject_name=another program\nOTHER=x\n")
	expect("from dotenv", ".env")

	t.Setenv("PROJECT_NAME", "from environment")
	expect("from environment", "environment")

	expect("from flag", "flag --project-name", "--project-name=from flag")
}

func TestAnEmptyValueCountsAsNotSet(t *testing.T) {
	isolate(t)
	write(t, "c.yaml", "project_name: from file\nlog_level: ''\nlog_format:\n")
	write(t, ".env", "CONFIG_FILE=c.yaml\nPROJECT_NAME=\nLOG_LEVEL=\n")
	c, err := loadHere(t, map[string]string{"PROJECT_NAME": "", "FIRST_SUPERUSER": ""}, "--project-name=", "--first-superuser=")
	require.NoError(t, err)
	assert.Equal(t, "from file", c.ProjectName)
	assert.Equal(t, "info", c.LogLevel)
	assert.Equal(t, "auto", c.LogFormat)
	assert.Equal(t, "admin@example.com", c.FirstSuperuser)
}

func TestLoadNeedsNoFlags(t *testing.T) {
	isolate(t)
	_, err := config.Load(nil)
	require.NoError(t, err)
	_, err = config.Load(pflag.NewFlagSet("others", pflag.ContinueOnError))
	require.NoError(t, err)
}

func TestAConfigFileMayContainListsNumbersAndBooleans(t *testing.T) {
	isolate(t)
	write(t, "c.yaml", "cors_origins: ['https://a.example', 'https://b.example:8443']\n"+
		"access_token_expire_minutes: 30\nserver_timing: true\n")
	c, err := loadHere(t, map[string]string{"CONFIG_FILE": "c.yaml"})
	require.NoError(t, err)
	assert.Equal(t, []string{"https://a.example", "https://b.example:8443"}, c.CORSOrigins)
	assert.Equal(t, "30", setting(t, c, "ACCESS_TOKEN_EXPIRE_MINUTES").Value)
	assert.True(t, c.ServerTiming)
}

func TestAConfigFileIsRefused(t *testing.T) {
	tests := map[string]struct{ content, want string }{
		"with an unknown key":            {"log_levle: debug", "log_levle: is not a key: remove it from c.yaml"},
		"with a nested key":              {"log: {level: debug}", "log.level: is not a key"},
		"with a mapping as value":        {"log_level: {a: b}", "log_level.a: is not a key"},
		"with a list as value":           {"log_level: [debug]", "LOG_LEVEL (file c.yaml): is not text: put it in quotes"},
		"with a number in a list":        {"cors_origins: [1]", "CORS_ORIGINS (file c.yaml): is a list with an entry that is not text"},
		"with a secret that is a number": {"first_superuser_password: 0123456789", "FIRST_SUPERUSER_PASSWORD (file c.yaml): is not text: put it in quotes"},
		"with another config file":       {"config_file: d.yaml", "config_file: makes no sense inside c.yaml"},
		"that is not YAML":               {"log_level: debug\n\tx", "CONFIG_FILE: c.yaml is not a YAML mapping of keys to values (line 2)"},
		"that is not a mapping":          {"jwt_secret_key=hunter2", "CONFIG_FILE: c.yaml is not a YAML mapping of keys to values (line 1)"},
		"with a byte that is not text":   {"log_level: \x01", "CONFIG_FILE: c.yaml is not a YAML mapping of keys to values (in some line)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			write(t, "c.yaml", tt.content)
			_, err := loadHere(t, nil, "--config=c.yaml")
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestAMissingConfigFileIsRefused(t *testing.T) {
	_, err := load(t, nil, "--config=none.yaml")
	require.ErrorContains(t, err, "CONFIG_FILE: open none.yaml: no such file or directory: name a file that can be read")
}

func TestADotenvFileThatCannotBeReadIsRefused(t *testing.T) {
	isolate(t)
	require.NoError(t, os.Mkdir(".env", 0o700))
	_, err := loadHere(t, nil)
	require.ErrorContains(t, err, ".env: read .env: is a directory: make it readable, or remove it")
}

func TestADotenvFileWithWrongSyntaxIsRefusedWithoutQuotingIt(t *testing.T) {
	isolate(t)
	write(t, ".env", "JWT-SECRET-KEY="+signingKey)
	_, err := loadHere(t, nil)
	require.ErrorContains(t, err, ".env: cannot be parsed: write one KEY=value per line")
	assert.NotContains(t, err.Error(), signingKey)
}

func TestTheExampleNamesEveryKeyWithItsDefault(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", ".env.example"))
	require.NoError(t, err)
	_, blocks, _ := strings.Cut(string(example), "\n\n")
	var want []string
	for _, k := range config.Keys() {
		want = append(want, "# "+k.Description+"\n# "+k.Name+"="+k.Default)
	}
	assert.Equal(t, want, strings.Split(strings.TrimSpace(blocks), "\n\n"))

	isolate(t)
	var dotenv strings.Builder
	for line := range strings.Lines(blocks) {
		if strings.Contains(line, "=") {
			line = strings.TrimPrefix(line, "# ")
		}
		dotenv.WriteString(line)
	}
	write(t, ".env", dotenv.String())
	c, err := loadHere(t, nil)
	require.NoError(t, err)
	assert.Equal(t, config.Setting{Name: "HTTP_ADDR", Value: "127.0.0.1:8000", Origin: ".env"}, setting(t, c, "HTTP_ADDR"))
}

func TestASecretInADotenvFileIsUsedAsWrittenOrRefused(t *testing.T) {
	const refused = "SNOWFLAKE_PASSWORD (.env): has $, # or \\ where it is no part of the value: put the value in single quotes"
	for written, want := range map[string]string{
		"plain":           "plain",
		"'single'":        "single",
		`"double"`:        "double",
		"a#b":             "a#b",
		`a\b`:             `a\b`,
		`'$x # \n "'`:     `$x # \n "`,
		`"a # b"`:         "a # b",
		`"two\nlines"`:    "two\nlines",
		"=a=b=":           "=a=b=",
		"ends in spaces ": "ends in spaces",
		"$x":              refused,
		"a$x":             refused,
		"a #b":            refused,
		"a\t#b":           refused,
		`"$x"`:            refused,
		`"a\b"`:           refused,
		`"a\\b"`:          refused,
		`"a\"b"`:          refused,
	} {
		t.Run(written, func(t *testing.T) {
			isolate(t)
			write(t, ".env", "A=1\nexport SNOWFLAKE_PASSWORD="+written+"\nPROJECT_NAME=a $A # comment\n")
			c, err := loadHere(t, nil)
			if want == refused {
				require.EqualError(t, err, refused)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, want, c.Snowflake.Password.Reveal())
			assert.Equal(t, "a 1", c.ProjectName)
		})
	}
}

func TestFilesMayBeginWithAByteOrderMark(t *testing.T) {
	isolate(t)
	write(t, ".env", "\ufeffCONFIG_FILE=c.yaml\n")
	write(t, "c.yaml", "\ufeffproject_name: x\n")
	c, err := loadHere(t, nil)
	require.NoError(t, err)
	assert.Equal(t, "x", c.ProjectName)
}

func TestTheUserInformationOfAURLIsNeverShown(t *testing.T) {
	for _, value := range []string{
		"https://me:hunter2@collector:4317", "https://hunter2@collector", "http://me:hunter2@", "http://me:x/hunter2@y", "me:hunter2@y:4317",
	} {
		for _, key := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "CORS_ORIGINS", "HTTP_ADDR", "SNOWFLAKE_HOST"} {
			if !strings.Contains(value, "://") && !strings.HasSuffix(key, "_ENDPOINT") {
				continue // not a URL
			}
			c, err := load(t, map[string]string{key: value})
			assert.NotContains(t, setting(t, c, key).Value, "hunter2@")
			if err != nil {
				assert.NotContains(t, err.Error(), "hunter2@")
			}
		}
	}
}
