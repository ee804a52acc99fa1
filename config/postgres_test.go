package config_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// onPostgres returns a valid configuration of the PostgreSQL store, changed by env.
func onPostgres(env map[string]string) map[string]string {
	all := maps.Clone(production)
	maps.Copy(all, map[string]string{
		"STORAGE": "postgres", "POSTGRES_HOST": "pg.example.com", "POSTGRES_DATABASE": "echo",
		"POSTGRES_USER": "ada", "POSTGRES_PASSWORD": "hunter2",
	})
	maps.Copy(all, env)
	return all
}

// byURL is onPostgres with the URL instead of the keys that it replaces.
func byURL(url string, env map[string]string) map[string]string {
	all := onPostgres(map[string]string{
		"POSTGRES_HOST": "", "POSTGRES_DATABASE": "", "POSTGRES_USER": "", "POSTGRES_PASSWORD": "", "POSTGRES_URL": url,
	})
	maps.Copy(all, env)
	return all
}

func TestEachKeyOfPostgreSQLIsInItsField(t *testing.T) {
	isolate(t)
	write(t, "root.pem", "PEM")
	c, err := loadHere(t, onPostgres(map[string]string{
		"POSTGRES_PORT": "5433", "POSTGRES_CA_FILE": "root.pem", "POSTGRES_CONNECTIONS": "3", "POSTGRES_SCHEMA": "own",
	}))
	require.NoError(t, err)
	assert.Equal(t, config.Postgres{
		Host: "pg.example.com", Port: 5433, Database: "echo", User: "ada", Password: config.NewSecret("hunter2"), TLS: true,
		CAFile: "root.pem", Auth: config.AuthPassword, Connections: 3, Schema: "own",
	}, c.Postgres)
}

func TestThePasswordFileIsKeptSoThatTheStoreCanReadItAgain(t *testing.T) {
	isolate(t)
	env := onPostgres(map[string]string{"POSTGRES_PASSWORD": "", "POSTGRES_PASSWORD_FILE": "password"})
	_, err := loadHere(t, env)
	require.EqualError(t, err, "POSTGRES_PASSWORD (POSTGRES_PASSWORD_FILE): open password: no such file or directory: "+
		"name a file that can be read")

	write(t, "password", "hunter2\n")
	c, err := loadHere(t, env)
	require.NoError(t, err)
	assert.Equal(t, "password", c.Postgres.PasswordFile)
	assert.Equal(t, "hunter2", c.Postgres.Password.Reveal())
}

func TestAURLSetsWhatItSays(t *testing.T) {
	for url, want := range map[string]config.Postgres{
		"postgres://ada:p%40s%2Fs@pg.example.com/echo": {
			Host: "pg.example.com", Port: 5432, Database: "echo", User: "ada", Password: config.NewSecret("p@s/s"), TLS: true,
		},
		"postgresql://a%20b:p@[2001:DB8::1]:6432/a%2Fb?sslmode=verify-full": {
			Host: "2001:db8::1", Port: 6432, Database: "a/b", User: "a b", Password: config.NewSecret("p"), TLS: true,
		},
		"postgres://ada@localhost/echo":                     {Host: "localhost", Port: 5432, Database: "echo", User: "ada"},
		"postgres://ada:@127.0.0.2:/echo?":                  {Host: "127.0.0.2", Port: 5432, Database: "echo", User: "ada"},
		"postgres://ada@[::1]/echo?sslmode=disable":         {Host: "::1", Port: 5432, Database: "echo", User: "ada"},
		"postgres://ada@LOCALHOST/echo?sslmode=verify-full": {Host: "LOCALHOST", Port: 5432, Database: "echo", User: "ada", TLS: true},
	} {
		t.Run(url, func(t *testing.T) {
			c, err := load(t, byURL(url, nil))
			require.NoError(t, err)
			want.Auth, want.Connections = config.AuthPassword, 8
			assert.Equal(t, want, c.Postgres)
			assert.Equal(t, "[redacted]", setting(t, c, "POSTGRES_URL").Value)
		})
	}
}

func TestAURLCanComeFromAFile(t *testing.T) {
	isolate(t)
	write(t, "url", "postgres://ada:hunter2@pg.example.com/echo\n")
	c, err := loadHere(t, byURL("", map[string]string{"POSTGRES_URL_FILE": "url"}))
	require.NoError(t, err)
	assert.Equal(t, "hunter2", c.Postgres.Password.Reveal())
}

func TestAURLThatIsRefusedNeverShowsItsPassword(t *testing.T) {
	const (
		malformed = "is not a URL of a database: write postgres:// and then user:password@host:port/database"
		verify    = "use verify-full, and set POSTGRES_CA_FILE if no public authority signed the server's certificate"
	)
	for url, want := range map[string]string{
		"hunter2":                                     malformed,
		"mysql://ada:hunter2@h/echo":                  malformed,
		"postgres:ada:hunter2@h/echo":                 malformed,
		"postgres://ada:hunter2@h":                    malformed,
		"postgres://ada:hunter2@h/":                   malformed,
		"postgres://ada:hunter2@/echo":                malformed,
		"postgres://:hunter2@h/echo":                  malformed,
		"postgres://h/echo":                           malformed,
		"postgres://ada%00x:hunter2@h/echo":           malformed,
		"postgres://ada:hunter2@h/echo%0A":            malformed,
		"postgres://ada:hunter2@h/echo#x":             malformed,
		"postgres://ada:hunter2@h/echo?sslmode=%zz":   malformed,
		"postgres://ada:hunter2 @h/echo":              malformed,
		"postgres://ada:%hunter2@h/echo":              malformed,
		"postgres://ada:a@hunter2@h/echo":             malformed,
		"postgres://ada:a@b/c?hunter2@h/echo":         malformed,
		"postgres://ada:1#hunter2@h/echo":             malformed,
		"postgres://ada:1?hunter2=@h/echo":            malformed,
		"postgres://ada:1/hunter2@h/echo":             malformed,
		"postgres://ada:hunter2@h:99999/echo":         `port "99999" is not a whole number from 1 to 65535`,
		"postgres://ada:hunter2@a:1,b:2/echo":         `"a:1,b" is not a host`,
		"postgres://ada:hunter2@%2Frun/echo":          malformed,
		"postgres://ada:hunter2@h/echo?host=/run&b=c": `has "b, host" in its query, of which only sslmode is read: remove it`,
		"postgres://ada:hunter2@h/echo?SSLMODE=x":     `has "SSLMODE" in its query`,
		"postgres://ada@h/echo?password=hunter2":      `has "password" in its query`,

		"postgres://ada:hunter2@h/echo?sslmode=disable":                             "sslmode=disable is accepted only if the host is this machine: " + verify,
		"postgres://ada:hunter2@h/echo?sslmode=require":                             `sslmode "require" does not verify who answers: ` + verify,
		"postgres://ada:hunter2@h/echo?sslmode=verify-ca":                           `sslmode "verify-ca" does not verify who answers`,
		"postgres://ada:hunter2@h/echo?sslmode=prefer":                              `sslmode "prefer" does not verify who answers`,
		"postgres://ada:hunter2@h/echo?sslmode=allow":                               `sslmode "allow" does not verify who answers`,
		"postgres://ada:hunter2@h/echo?sslmode=":                                    `sslmode "" does not verify who answers`,
		"postgres://ada:hunter2@h/echo?sslmode=verify-full&sslmode=disable":         `sslmode "verify-full,disable" does not verify`,
		"postgres://ada:hunter2@localhost/echo?sslmode=require":                     `sslmode "require" does not verify who answers: use verify-full, or disable for a server on this machine`,
		"postgres://ada:hunter2@localhost.example.com/echo?sslmode=disable":         "sslmode=disable is accepted only if the host is this machine",
		"postgres://ada:hunter2@127.0.0.1.example.com/echo?sslmode=disable&host=::": `has "host" in its query`,
	} {
		t.Run(url, func(t *testing.T) {
			c, err := load(t, byURL(url, nil))
			require.ErrorContains(t, err, want)
			assert.True(t, strings.HasPrefix(err.Error(), "POSTGRES_URL (environment): "), err)
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, fmt.Sprint(err, c, c.Settings()), "hunter2")
		})
	}
}

func TestAURLExcludesTheKeysThatItReplaces(t *testing.T) {
	const url = "postgres://ada:hunter2@localhost/echo"
	for key, value := range map[string]string{
		"POSTGRES_HOST": "localhost", "POSTGRES_PORT": "5432", "POSTGRES_DATABASE": "echo", "POSTGRES_USER": "ada",
		"POSTGRES_PASSWORD": "hunter2", "POSTGRES_PASSWORD_FILE": "file",
	} {
		isolate(t)
		write(t, "file", "hunter2")
		_, err := loadHere(t, byURL(url, map[string]string{key: value}))
		assert.EqualError(t, err, key+": is set as well as POSTGRES_URL (environment), which says it, too: keep one of them")
	}

	isolate(t)
	write(t, "file", "PEM")
	_, err := loadHere(t, byURL(url, map[string]string{
		"POSTGRES_CA_FILE": "file", "POSTGRES_CONNECTIONS": "1", "POSTGRES_AUTH": "password", "POSTGRES_POOLER": "true",
	}))
	require.NoError(t, err)
	_, err = loadHere(t, byURL("postgres://ada@localhost/echo", map[string]string{
		"POSTGRES_POOLER": "", "POSTGRES_AUTH": "snowflake", "POSTGRES_INSTANCE": "echo_pg", "POSTGRES_SCHEMA": "own",
		"SNOWFLAKE_ACCOUNT": "acme",
	}))
	assert.NoError(t, err)
}

func TestOnlyAConnectionInsideThisMachineMayGoWithoutTLS(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": false, "127.0.0.1": false, "::1": false, "/run/postgresql": false,
		"pg.example.com": true, "10.0.0.1": true, "0.0.0.0": true, "localhost.example.com": true, "fe80::1": true,
	} {
		c, err := load(t, onPostgres(map[string]string{"POSTGRES_HOST": host}))
		require.NoError(t, err)
		assert.Equal(t, want, c.Postgres.TLS, host)
	}
}

func TestARootCertificateAsksForTLSOnThisMachine(t *testing.T) {
	isolate(t)
	write(t, "root.pem", "PEM")
	c, err := loadHere(t, onPostgres(map[string]string{"POSTGRES_HOST": "localhost", "POSTGRES_CA_FILE": "root.pem"}))
	require.NoError(t, err)
	assert.True(t, c.Postgres.TLS)

	_, err = loadHere(t, onPostgres(map[string]string{"POSTGRES_HOST": "/run/postgresql"}))
	require.EqualError(t, err, "POSTGRES_CA_FILE: has no effect on a Unix socket (POSTGRES_HOST=/run/postgresql), "+
		"which has no TLS: remove it")

	_, err = loadHere(t, byURL("postgres://ada@localhost/echo?sslmode=disable", nil))
	require.EqualError(t, err, "POSTGRES_URL (environment): sslmode=disable contradicts POSTGRES_CA_FILE, "+
		"which is for TLS: remove one of them")
}

func TestThePostgreSQLStoreNeedsAnAddressAndASignIn(t *testing.T) {
	snowflake := map[string]string{
		"POSTGRES_AUTH": "snowflake", "POSTGRES_INSTANCE": "echo_pg", "POSTGRES_PASSWORD": "", "SNOWFLAKE_ACCOUNT": "acme",
	}
	with := func(changes map[string]string) map[string]string {
		all := maps.Clone(snowflake)
		maps.Copy(all, changes)
		return onPostgres(all)
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing": {byURL("", nil), []string{
			"POSTGRES_HOST: is not set, which STORAGE=postgres needs: give a host name, IP address, or the folder of a Unix socket, or set POSTGRES_URL",
			"POSTGRES_DATABASE: is not set, which STORAGE=postgres needs: give the name of the database, or set POSTGRES_URL",
			"POSTGRES_USER: is not set, which STORAGE=postgres needs: give the user's name, or set POSTGRES_URL",
		}},
		"no password for another machine": {onPostgres(map[string]string{"POSTGRES_PASSWORD": ""}), []string{
			"POSTGRES_PASSWORD: is not set, which POSTGRES_AUTH=password needs unless the host is this machine: " +
				"set it, or set POSTGRES_PASSWORD_FILE to the path of a file",
		}},
		"no password in the URL": {byURL("postgres://ada@h/echo", nil), []string{
			"POSTGRES_URL: has no password, which POSTGRES_AUTH=password needs unless the host is this machine: add it",
		}},
		"no password for this machine": {onPostgres(map[string]string{"POSTGRES_PASSWORD": "", "POSTGRES_HOST": "/run/postgresql"}), nil},
		"an instance without its sign-in": {onPostgres(map[string]string{"POSTGRES_INSTANCE": "echo_pg"}), []string{
			"POSTGRES_INSTANCE: has no effect without POSTGRES_AUTH=snowflake: set POSTGRES_AUTH=snowflake, or remove POSTGRES_INSTANCE",
		}},
		"tokens of Snowflake": {with(nil), nil},
		"tokens without an instance": {with(map[string]string{"POSTGRES_INSTANCE": ""}), []string{
			"POSTGRES_INSTANCE: is not set, which POSTGRES_AUTH=snowflake needs: give the name of the Snowflake Postgres instance, such as echo_pg",
		}},
		"tokens and a password": {with(map[string]string{"POSTGRES_PASSWORD": "hunter2"}), []string{
			"POSTGRES_PASSWORD: POSTGRES_AUTH=snowflake signs in with tokens: remove the password",
		}},
		"tokens and a password in a file": {with(map[string]string{"POSTGRES_PASSWORD_FILE": "password"}), []string{
			"POSTGRES_PASSWORD_FILE: POSTGRES_AUTH=snowflake signs in with tokens: remove the password",
		}},
		"tokens and a URL with a password": {byURL("postgres://ada:hunter2@h/echo", snowflake), []string{
			"POSTGRES_URL: POSTGRES_AUTH=snowflake signs in with tokens: remove the password",
		}},
		"tokens without a sign-in to Snowflake": {with(map[string]string{"SNOWFLAKE_ACCOUNT": "", "SNOWFLAKE_AUTH_TYPE": "pat"}), []string{
			"SNOWFLAKE_ACCOUNT: is not set, which POSTGRES_AUTH=snowflake needs: give the account identifier, such as myorg-myaccount",
			"SNOWFLAKE_USER: is not set, which SNOWFLAKE_AUTH_TYPE=pat needs: give the user's name",
			"SNOWFLAKE_PAT: is not set, which SNOWFLAKE_AUTH_TYPE=pat needs: set it, or set SNOWFLAKE_PAT_FILE to the path of a file",
		}},
		"a schema behind a pooler": {onPostgres(map[string]string{"POSTGRES_SCHEMA": "own", "POSTGRES_POOLER": "true"}), []string{
			"POSTGRES_SCHEMA: is not possible with POSTGRES_POOLER=true, because a pooler refuses search_path: " +
				"remove it, and run ALTER ROLE … SET search_path = own in the database",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			write(t, "password", "hunter2")
			_, err := loadHere(t, tt.env)
			if tt.want == nil {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, strings.Join(tt.want, "\n"))
		})
	}
}

func TestTheKeysOfPostgreSQLAreKeysOfTheStore(t *testing.T) {
	_, err := load(t, map[string]string{"STORAGE": "postgres", "HTTP_ADDR": ":8000", "READ_ONLY": "x", "POSTGRES_POOLER": "x"})
	assert.Contains(t, subjects(err), "READ_ONLY")
	_, err = config.Load(nil, config.StorageKeys)
	assert.Equal(t, []string{"READ_ONLY", "POSTGRES_POOLER", "POSTGRES_HOST", "POSTGRES_DATABASE", "POSTGRES_USER"}, subjects(err))
}

func TestLoadForReportsTheProblemsOfAllStoresThatACommandUses(t *testing.T) {
	both := []string{config.StorageSnowflake, config.StoragePostgres}
	for name, tt := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"nothing is set": {nil, []string{"POSTGRES_HOST", "POSTGRES_DATABASE", "POSTGRES_USER", "SNOWFLAKE_ACCOUNT"}},
		"STORAGE is not needed": {
			map[string]string{"HTTP_ADDR": ":8000", "SNOWFLAKE_ACCOUNT": "acme", "POSTGRES_URL": "postgres://u:p@h/d"}, nil,
		},
		"each problem is reported once": {
			map[string]string{"POSTGRES_URL": "postgres://u@h/d", "POSTGRES_AUTH": "snowflake", "POSTGRES_INSTANCE": "pg"},
			[]string{"SNOWFLAKE_ACCOUNT"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t)
			for key, value := range tt.env {
				t.Setenv(key, value)
			}
			c, err := config.LoadFor(nil, both, config.StorageKeys)
			assert.Equal(t, tt.want, subjects(err))
			assert.Equal(t, config.StorageSnowflake, c.Storage)
		})
	}
}
