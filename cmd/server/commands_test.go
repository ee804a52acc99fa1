package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/users"
)

// randomKey is a signing key, such as `openssl rand -base64 32` prints.
const randomKey = "mHq0vZ1dZk2Yw1n1rj7mS3l8fK9QbVxTt4oPzE6uCgA="

// production configures a service on the memory store that other machines can reach.
func production(t *testing.T) {
	t.Helper()
	t.Setenv("HTTP_ADDR", ":0")
	t.Setenv("STORAGE", "memory")
	t.Setenv("JWT_SECRET_KEY", randomKey)
	t.Setenv("FIRST_SUPERUSER_PASSWORD", goodPassword)
}

// execution is the result of one command line.
type execution struct {
	code           int
	stdout, stderr string
}

// execute runs a command line as main does. Its context has ended, so that serve stops immediately.
func execute(stdin string, args ...string) execution {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return executeUntil(ctx, stdin, args...)
}

func executeUntil(ctx context.Context, stdin string, args ...string) execution {
	var stdout, stderr bytes.Buffer
	code := run(ctx, append([]string{}, args...), strings.NewReader(stdin), &stdout, &stderr)
	return execution{code, stdout.String(), stderr.String()}
}

func TestWithoutACommandTheProgramServesUntilItIsStopped(t *testing.T) {
	for _, args := range [][]string{{"--http-addr=127.0.0.1:0"}, {"serve", "--http-addr", "127.0.0.1:0"}} {
		x := execute("", args...)
		assert.Equal(t, exitOK, x.code, x.stderr)
		assert.Empty(t, x.stderr)
		assert.Contains(t, x.stdout, `"listening"`)
		assert.Contains(t, x.stdout, `"stopped"`)
	}
}

func TestTheErrorForAPortInUseNamesTheKey(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()

	x := execute("", "--http-addr="+listener.Addr().String())
	assert.Equal(t, exitFailed, x.code)
	assert.Equal(t, "HTTP_ADDR: listen tcp "+listener.Addr().String()+": bind: address already in use\n", x.stderr)
	assert.Empty(t, x.stdout, "nothing was served")
}

func TestTheErrorForAWrongCommandLineNamesTheHelp(t *testing.T) {
	for line, want := range map[string]string{
		"frobnicate":                      `unknown command "frobnicate" for "echo-in-snowflake": see echo-in-snowflake --help`,
		"serve now":                       `unknown command "now" for "echo-in-snowflake serve": see echo-in-snowflake serve --help`,
		"version 2":                       `unknown command "2" for "echo-in-snowflake version": see echo-in-snowflake version --help`,
		"config show":                     `unknown command "show" for "echo-in-snowflake config": see echo-in-snowflake config --help`,
		"config check all":                `unknown command "all" for "echo-in-snowflake config check": see echo-in-snowflake config check --help`,
		"superuser delete":                `unknown command "delete" for "echo-in-snowflake superuser": see echo-in-snowflake superuser --help`,
		"--frobnicate":                    `unknown flag: --frobnicate: see echo-in-snowflake --help`,
		"--http-addr":                     `flag needs an argument: --http-addr: see echo-in-snowflake --help`,
		"healthcheck --email a@b":         `unknown flag: --email: see echo-in-snowflake healthcheck --help`,
		"--jwt-secret-key=visible-to-all": `unknown flag: --jwt-secret-key: see echo-in-snowflake --help`,
	} {
		t.Run(line, func(t *testing.T) {
			x := execute("", strings.Fields(line)...)
			assert.Equal(t, exitBadConfig, x.code)
			assert.Equal(t, want+"\n", x.stderr)
			assert.Empty(t, x.stdout)
		})
	}
}

func TestCopyGoesOnlyFromSnowflakeToPostgreSQL(t *testing.T) {
	for line, given := range map[string]string{
		"copy":                                 `--from="" and --to=""`,
		"copy --from=snowflake":                `--from="snowflake" and --to=""`,
		"copy --from=postgres --to=snowflake":  `--from="postgres" and --to="snowflake"`,
		"copy --from=snowflake --to=snowflake": `--from="snowflake" and --to="snowflake"`,
	} {
		x := execute("", strings.Fields(line)...)
		assert.Equal(t, exitBadConfig, x.code, line)
		assert.Equal(t, given+" are not possible: the only copy is --from=snowflake --to=postgres\n", x.stderr)
	}
}

func TestHelpNamesEveryCommandAndEveryFlag(t *testing.T) {
	x := execute("", "--help")
	assert.Equal(t, exitOK, x.code)
	for _, command := range []string{"serve", "version", "healthcheck", "config", "superuser", "migrate", "copy"} {
		assert.Regexp(t, `(?m)^  `+command+` `, x.stdout)
	}
	for _, k := range config.Keys() {
		if !k.Secret {
			assert.Contains(t, x.stdout, "--"+k.Flag()+" ")
		}
	}

	x = execute("", "config")
	assert.Equal(t, exitOK, x.code)
	assert.Regexp(t, `(?m)^  check `, x.stdout)
	assert.Regexp(t, `(?m)^  print `, x.stdout)
}

func TestServeAndConfigCheckReportEveryProblemOfTheConfiguration(t *testing.T) {
	production(t)
	t.Setenv("JWT_SECRET_KEY", "too-short-a-secret")
	t.Setenv("JWT_ALGORITHM", "RS256")
	t.Setenv("REQUEST_TIMEOUT", "soon")
	t.Setenv("FIRST_SUPERUSER_PASSWORD", config.DefaultPassword)
	for _, command := range []string{"serve", "config check"} {
		t.Run(command, func(t *testing.T) {
			x := execute("", append(strings.Fields(command), "--log-format=xml")...)
			assert.Equal(t, exitBadConfig, x.code)
			assert.Empty(t, x.stdout)
			assert.True(t, strings.HasPrefix(x.stderr, "the configuration cannot be used:\n"), x.stderr)
			for _, key := range []string{"JWT_SECRET_KEY", "JWT_ALGORITHM", "REQUEST_TIMEOUT", "FIRST_SUPERUSER_PASSWORD", "LOG_FORMAT"} {
				assert.Regexp(t, `(?m)^`+key+`\b.*: `, x.stderr)
			}
			assert.NotContains(t, x.stderr, "too-short-a-secret")
			assert.NotContains(t, x.stderr, config.DefaultPassword)
		})
	}
}

// spoil sets an invalid value for a key of each group except the given ones.
func spoil(t *testing.T, except ...string) {
	t.Helper()
	for key, value := range map[string]string{
		"API_V1_PREFIX": "api", "SHUTDOWN_TIMEOUT": "1ms", "FIRST_SUPERUSER": "root", "FIRST_SUPERUSER_PASSWORD_FILE": "missing",
		"HTTP_ADDR": "8000", "REQUEST_TIMEOUT": "soon", "SNOWFLAKE_PORT": "0", "JWT_SECRET_KEY": "too-short-a-secret", "LOG_LEVEL": "loud",
	} {
		if !slices.Contains(except, key) {
			t.Setenv(key, value)
		}
	}
}

// problemKeys returns the keys that the error of an execution names.
func (x execution) problemKeys(t *testing.T) []string {
	t.Helper()
	problems, found := strings.CutPrefix(x.stderr, "the configuration cannot be used:\n")
	require.True(t, found, x.stderr)
	var keys []string
	for line := range strings.Lines(problems) {
		key, _, _ := strings.Cut(strings.Replace(line, ":", " ", 1), " ")
		keys = append(keys, key)
	}
	return keys
}

func TestEachCommandChecksOnlyTheKeysThatItUses(t *testing.T) {
	t.Run("version checks none", func(t *testing.T) {
		spoil(t)
		assert.Equal(t, exitOK, execute("", "version").code)
	})
	t.Run("healthcheck checks HTTP_ADDR", func(t *testing.T) {
		spoil(t)
		x := execute("", "healthcheck")
		assert.Equal(t, exitBadConfig, x.code)
		assert.Equal(t, []string{"HTTP_ADDR"}, x.problemKeys(t))

		x = execute("", "healthcheck", "--http-addr=127.0.0.1:1")
		assert.Equal(t, exitFailed, x.code)
		assert.Contains(t, x.stderr, "no answer: ")
	})
	t.Run("superuser checks the store and the log", func(t *testing.T) {
		spoil(t)
		for _, verb := range []string{"create", "reset-password", "link"} {
			x := execute(goodPassword, "superuser", verb, "--email=ann@example.com", "--storage=snowflake")
			assert.Equal(t, exitBadConfig, x.code)
			assert.Equal(t, []string{"REQUEST_TIMEOUT", "SNOWFLAKE_PORT", "LOG_LEVEL", "SNOWFLAKE_ACCOUNT"}, x.problemKeys(t))
		}
	})
	t.Run("copy checks both stores and the log", func(t *testing.T) {
		spoil(t)
		t.Setenv("POSTGRES_PORT", "0")
		x := execute("", "copy", "--from=snowflake", "--to=postgres")
		assert.Equal(t, exitBadConfig, x.code)
		assert.Equal(t, []string{
			"REQUEST_TIMEOUT", "SNOWFLAKE_PORT", "POSTGRES_PORT", "LOG_LEVEL",
			"POSTGRES_HOST", "POSTGRES_DATABASE", "POSTGRES_USER", "SNOWFLAKE_ACCOUNT",
		}, x.problemKeys(t))
	})
	t.Run("copy checks the private key for Snowflake", func(t *testing.T) {
		t.Setenv("SNOWFLAKE_PRIVATE_KEY", "nonsense")
		x := execute("", "copy", "--from=snowflake", "--to=postgres", "--snowflake-account=acme",
			"--snowflake-auth-type=keypair", "--snowflake-user=u",
			"--postgres-host=localhost", "--postgres-database=d", "--postgres-user=u")
		assert.Equal(t, []string{"SNOWFLAKE_PRIVATE_KEY"}, x.problemKeys(t))
	})
	t.Run("superuser checks the private key for Snowflake", func(t *testing.T) {
		t.Setenv("SNOWFLAKE_PRIVATE_KEY", "nonsense")
		x := execute(goodPassword, "superuser", "create", "--email=ann@example.com", "--storage=snowflake",
			"--snowflake-account=acme", "--snowflake-auth-type=keypair", "--snowflake-user=u")
		assert.Equal(t, exitBadConfig, x.code)
		assert.Equal(t, []string{"SNOWFLAKE_PRIVATE_KEY"}, x.problemKeys(t))
	})
	t.Run("superuser needs no key of the server", func(t *testing.T) {
		server := fakeSnowflake(t, engine.Rules{})
		spoil(t, "REQUEST_TIMEOUT", "SNOWFLAKE_PORT", "LOG_LEVEL")
		t.Setenv("SNOWFLAKE_PASSWORD", snowflakePassword)
		for _, verb := range []string{"create", "reset-password", "link"} {
			x := executeUntil(t.Context(), goodPassword, "superuser", verb, "--email=ann@example.com",
				"--storage=snowflake", "--snowflake-account=test", "--snowflake-auth-type=password", "--snowflake-user=u",
				"--snowflake-protocol=http", "--snowflake-host="+server.Host(), "--snowflake-port="+strconv.Itoa(server.Port()))
			assert.Equal(t, exitOK, x.code, x.stderr)
			assert.Contains(t, x.stderr, `"audit"`)
		}
	})
}

func TestConfigPrintShowsEachKeyEvenIfSomeAreWrong(t *testing.T) {
	spoil(t)
	x := execute("", "config", "print")
	assert.Equal(t, exitBadConfig, x.code)
	assert.Equal(t, []string{
		"API_V1_PREFIX", "HTTP_ADDR", "REQUEST_TIMEOUT", "JWT_SECRET_KEY", "FIRST_SUPERUSER_PASSWORD", "SNOWFLAKE_PORT", "LOG_LEVEL",
		"SHUTDOWN_TIMEOUT", "FIRST_SUPERUSER",
	}, x.problemKeys(t))
	assert.Len(t, strings.Split(strings.TrimSpace(x.stdout), "\n"), len(config.Keys()))
	assert.Regexp(t, `(?m)^HTTP_ADDR +8000 +environment$`, x.stdout)
	assert.Regexp(t, `(?m)^JWT_SECRET_KEY +\S+ +environment$`, x.stdout)
	assert.NotContains(t, x.stdout+x.stderr, "too-short-a-secret")
}

func TestAnUnknownStoreOrAuthenticationIsAnError(t *testing.T) {
	for _, unknown := range []string{"", "oracle", "Snowflake"} {
		_, err := openStore(config.Config{Storage: unknown}, telemetry.None())
		assert.EqualError(t, err, fmt.Sprintf("STORAGE: %q is unknown", unknown))
		assert.ErrorAs(t, err, new(configError))

		cfg := config.Config{Storage: config.StorageSnowflake, Snowflake: config.Snowflake{Account: "acme", AuthType: unknown}}
		_, err = openStore(cfg, telemetry.None())
		assert.EqualError(t, err, fmt.Sprintf("SNOWFLAKE_AUTH_TYPE: %q is unknown", unknown))
		assert.ErrorAs(t, err, new(configError))
	}
}

func TestAValueThatAnotherPackageChecksIsRefusedToo(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"a private key with the wrong format": {
			map[string]string{"STORAGE": "snowflake", "SNOWFLAKE_ACCOUNT": "acme", "SNOWFLAKE_AUTH_TYPE": "keypair", "SNOWFLAKE_USER": "u", "SNOWFLAKE_PRIVATE_KEY": "nonsense"},
			"SNOWFLAKE_PRIVATE_KEY: is not PEM: it must begin with -----BEGIN PRIVATE KEY-----\n",
		},
		"a first superuser without an address": {
			map[string]string{"FIRST_SUPERUSER": "root"},
			"FIRST_SUPERUSER: must be a plain address like name@example.com\n",
		},
		"a common password": {
			map[string]string{"FIRST_SUPERUSER_PASSWORD": "password123"},
			"FIRST_SUPERUSER_PASSWORD: is one of the commonest passwords: choose another\n",
		},
		"several problems": {
			map[string]string{"FIRST_SUPERUSER": "root", "FIRST_SUPERUSER_PASSWORD": "short", "JWT_SECRET_KEY": strings.Repeat("z", 32)},
			"JWT_SECRET_KEY (environment): has only 1 distinct byte values: give at least 32 random bytes, for example the output of `openssl rand -base64 32`\n" +
				"FIRST_SUPERUSER: must be a plain address like name@example.com\n" +
				"FIRST_SUPERUSER_PASSWORD: must have 8 to 128 characters, has 5\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			production(t)
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			for _, command := range [][]string{{"serve"}, {"config", "check"}} {
				x := execute("", command...)
				assert.Equal(t, exitBadConfig, x.code, command)
				assert.Equal(t, "the configuration cannot be used:\n"+c.want, x.stderr, command)
				assert.Empty(t, x.stdout, command)
			}
		})
	}
}

func TestTheDefaultsAreAcceptedOnlyInDevelopment(t *testing.T) {
	x := execute("", "config", "check")
	assert.Equal(t, execution{exitOK, "the configuration can be used\n", ""}, x)

	x = execute("", "config", "check", "--http-addr=:8000", "--storage=memory")
	assert.Equal(t, exitBadConfig, x.code)
	assert.Regexp(t, `(?m)^JWT_SECRET_KEY: is not set`, x.stderr)
	assert.Regexp(t, `(?m)^FIRST_SUPERUSER_PASSWORD: is the default`, x.stderr)

	production(t)
	x = execute("", "config", "check")
	assert.Equal(t, execution{exitOK, "the configuration can be used\n", ""}, x)

	// The rules for passwords apply in development, too, except for the default.
	t.Setenv("HTTP_ADDR", "127.0.0.1:0")
	t.Setenv("FIRST_SUPERUSER_PASSWORD", "password123")
	assert.Equal(t, exitBadConfig, execute("", "config", "check").code)
}

func TestConfigPrintShowsEachKeyOnceAndNoSecret(t *testing.T) {
	production(t)
	t.Setenv("JWT_PREVIOUS_SECRET_KEY", "previous-"+randomKey)
	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("hunter2-of-snowflake\n"), 0o600))
	t.Setenv("SNOWFLAKE_PASSWORD_FILE", password)

	x := execute("", "config", "print", "--log-level=debug")
	require.Equal(t, exitOK, x.code, x.stderr)
	lines := strings.Split(strings.TrimSpace(x.stdout), "\n")
	var printed, known []string
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		printed = append(printed, name)
	}
	for _, k := range config.Keys() {
		known = append(known, k.Name)
	}
	assert.Equal(t, known, printed)

	for _, secret := range []string{randomKey, goodPassword, "hunter2-of-snowflake"} {
		assert.NotContains(t, x.stdout, secret)
	}
	for _, want := range []string{
		`HTTP_ADDR +:0 +environment`,
		`REQUEST_TIMEOUT +10s +default`,
		`LOG_LEVEL +debug +flag --log-level`,
		`JWT_SECRET_KEY +\S+ +environment`,
		`SNOWFLAKE_PASSWORD +\S+ +file .*`,
	} {
		assert.Regexp(t, `(?m)^`+want+`$`, x.stdout)
	}
}

func TestVersionNamesTheProgramAndGo(t *testing.T) {
	x := execute("", "version")
	assert.Equal(t, exitOK, x.code)
	assert.Regexp(t, `^echo-in-snowflake \S+ go1\.\d+\S*\n$`, x.stdout)
}

func TestHealthcheckSucceedsOnlyWhenReady(t *testing.T) {
	var away outage
	away.Store(true)
	r := startService(t, faultyStore{memory.New(), fault(away.fault).in("CreateFirstSuperuser")})
	check := func() execution {
		return executeUntil(t.Context(), "", "healthcheck", "--http-addr="+strings.TrimPrefix(r.origin, "http://"))
	}
	assert.Equal(t, execution{exitFailed, "", "not ready: 503 Service Unavailable\n"}, check())

	away.Store(false)
	require.Eventually(t, func() bool { return r.service.http.State() == httpapi.Ready }, waitLimit, pollInterval)
	assert.Equal(t, execution{exitOK, "ready\n", ""}, check())

	r.service.http.SetState(httpapi.Draining)
	assert.Equal(t, execution{exitFailed, "", "not ready: 503 Service Unavailable\n"}, check())

	r.stop()
	require.NoError(t, <-r.stopped)
	x := check()
	assert.Equal(t, exitFailed, x.code)
	assert.Regexp(t, `^no answer: .*refused\n$`, x.stderr)
}

func TestHealthcheckUsesLocalhostIfTheServiceListensOnEveryInterface(t *testing.T) {
	_, port, err := net.SplitHostPort(strings.TrimPrefix(newService(t).origin, "http://"))
	require.NoError(t, err)
	production(t)
	for _, host := range []string{"", "0.0.0.0", "[::]"} {
		x := executeUntil(t.Context(), "", "healthcheck", "--http-addr="+host+":"+port)
		assert.Equal(t, execution{exitOK, "ready\n", ""}, x, host)
	}
}

func TestTheSuperuserCommandsRefuseTheMemoryStore(t *testing.T) {
	for _, verb := range []string{"create", "reset-password", "link"} {
		x := execute(goodPassword, "superuser", verb, "--email=ann@example.com")
		assert.Equal(t, exitBadConfig, x.code)
		assert.Equal(t, "STORAGE=memory keeps its data in the process that serves, and this command cannot reach it: set STORAGE to another store\n", x.stderr)
	}
}

func TestASuperuserThatTheOperatorCreatesIsTheFirst(t *testing.T) {
	store := memory.New()
	operator := newOperator(store, security.NewPasswordHasher(), newAuditLog(zap.NewNop()).record)
	address, password, err := readCredentials(t.Context(), "Operator@example.com", strings.NewReader(goodPassword+"\n"), io.Discard, "Echo in Snowflake")
	require.NoError(t, err)
	require.NoError(t, createSuperuser(operator, t.Context(), address, password))
	assert.ErrorIs(t, createSuperuser(operator, t.Context(), address, password), domain.ErrEmailTaken)

	r := newServiceOn(t, store)
	signedIn := r.client(t).signIn("operator@example.com", goodPassword)
	accounts := signedIn.request("GET", "/users/", nil).rows()
	require.Len(t, accounts, 1, "the start creates no other")
	assert.Equal(t, "operator@example.com", accounts[0]["email"])
	assert.Equal(t, true, accounts[0]["is_superuser"])
}

func TestAnOperatorCanResetAPassword(t *testing.T) {
	store := memory.New()
	r := newServiceOn(t, store)
	before := r.admin(t)
	before.newAccount("ann@example.com")
	operator := newOperator(store, security.NewPasswordHasher(), newAuditLog(zap.NewNop()).record)
	reset := (*users.Operator).ResetPassword

	address, password, err := readCredentials(t.Context(), adminEmail, strings.NewReader("a password of the operator's"), io.Discard, "Echo in Snowflake")
	require.NoError(t, err)
	require.NoError(t, reset(operator, t.Context(), address, password))
	before.request("GET", "/users/me", nil).refused(401, "signed_out")
	r.client(t).signIn(adminEmail, "a password of the operator's")

	for _, email := range []string{"ann@example.com", "nobody@example.com"} {
		address, password, err := readCredentials(t.Context(), email, strings.NewReader(goodPassword), io.Discard, "Echo in Snowflake")
		require.NoError(t, err)
		assert.ErrorIs(t, reset(operator, t.Context(), address, password), domain.ErrNotFound, email)
	}
}

func TestCredentialsAreAnEmailAndTheFirstLineOfStandardInput(t *testing.T) {
	for in, want := range map[string]string{
		goodPassword:               goodPassword,
		goodPassword + "\n":        goodPassword,
		goodPassword + "\r\n":      goodPassword,
		goodPassword + "\nanother": goodPassword,
		" " + goodPassword + " \n": " " + goodPassword + " ",
		"pässwörter sind lang\r\n": "pässwörter sind lang",
	} {
		email, password, err := readCredentials(t.Context(), "Ann@Example.com", strings.NewReader(in), io.Discard, "Echo in Snowflake")
		require.NoError(t, err, "%q", in)
		assert.Equal(t, "ann@example.com", email.String())
		assert.Equal(t, want, password.Reveal())
	}

	for name, c := range map[string]struct{ email, in, want string }{
		"no input":            {"ann@example.com", "", "the password on standard input must have 8 to 128 characters, has 0"},
		"an empty first line": {"ann@example.com", "\n" + goodPassword, "the password on standard input must have 8 to 128 characters, has 0"},
		"a common password":   {"ann@example.com", "password123\n", "the password on standard input is one of the commonest passwords: choose another"},
		"a known word":        {"ann@example.com", "echo-in-snowflake\n", "the password on standard input is little more than the e-mail address or the name of this service: choose another"},
		"no e-mail":           {"", goodPassword, "--email must be a plain address like name@example.com"},
		"a wrong e-mail":      {"ann", goodPassword, "--email must be a plain address like name@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := readCredentials(t.Context(), c.email, strings.NewReader(c.in), io.Discard, "Echo in Snowflake")
			assert.EqualError(t, err, c.want)
			assert.ErrorAs(t, err, new(configError))
		})
	}
}

func TestAnErrorOfStandardInputIsNotAnErrorOfTheConfiguration(t *testing.T) {
	broken := errors.New("broken pipe")
	in, out := io.Pipe()
	out.CloseWithError(broken)
	_, _, err := readCredentials(t.Context(), "ann@example.com", in, io.Discard, "Echo in Snowflake")
	assert.ErrorIs(t, err, broken)
	assert.False(t, errors.As(err, new(configError)))
}

func TestLogsAreTextOnATerminalAndJSONElsewhere(t *testing.T) {
	terminal, err := os.Open("/dev/ptmx")
	require.NoError(t, err)
	defer terminal.Close()
	assert.True(t, isTerminal(terminal))
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer file.Close()
	assert.False(t, isTerminal(file))

	for format, isJSON := range map[string]bool{"auto": true, "json": true, "text": false} {
		x := execute("", "--http-addr=127.0.0.1:0", "--log-format="+format)
		require.Equal(t, exitOK, x.code, x.stderr)
		lines := bufio.NewScanner(strings.NewReader(x.stdout))
		for lines.Scan() {
			assert.Equal(t, isJSON, json.Valid(lines.Bytes()), "%s: %s", format, lines.Text())
		}
	}
}

// stopper is a writer that calls stop when it has written the text.
type stopper struct {
	bytes.Buffer
	text string
	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if strings.Contains(s.String(), s.text) {
		s.stop()
	}
	return n, err
}

// serveUntil runs the service until it has printed the text, and returns what it has printed.
func serveUntil(t *testing.T, text string, flags ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stdout := &stopper{text: text, stop: stop}
	code := run(ctx, append(flags, "--http-addr=127.0.0.1:0"), strings.NewReader(""), stdout, io.Discard)
	assert.Equal(t, exitOK, code)
	return stdout.String()
}

func TestAServiceInDevelopmentPrintsItsDocumentationAndSignIn(t *testing.T) {
	printed := serveUntil(t, "sign in as ", "--log-format=text")
	assert.Regexp(t, `(?m)\tINFO\tAPI documentation: http://127\.0\.0\.1:\d+/api/v1/docs$`, printed)
	assert.Regexp(t, `(?m)\tINFO\tsign in as admin@example\.com with the password changethis$`, printed)
}

func TestTheLogHasTheConfiguredLevel(t *testing.T) {
	assert.Contains(t, execute("", "--http-addr=127.0.0.1:0", "--log-level=info").stdout, `"listening"`)
	assert.Empty(t, execute("", "--http-addr=127.0.0.1:0", "--log-level=error").stdout)
}

func TestTheLogLevelDoesNotHideAuditEvents(t *testing.T) {
	printed := serveUntil(t, "first_superuser_created", "--log-level=error")
	assert.Equal(t, 1, strings.Count(printed, "\n"), printed)
}
