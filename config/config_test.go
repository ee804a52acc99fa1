package config_test

import (
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// assertIsSample checks that each value of sample is in its field.
func assertIsSample(t *testing.T, c config.Config) {
	t.Helper()
	assert.Equal(t, "Another", c.ProjectName)
	assert.Equal(t, "/v9", c.APIV1Prefix)
	assert.Equal(t, config.StorageSnowflake, c.Storage)
	assert.Equal(t, ":9000", c.HTTPAddr)
	assert.Equal(t, []string{"https://app.example.com", "http://localhost:3000"}, c.CORSOrigins)
	assert.Equal(t, 3*time.Second, c.RequestTimeout)
	assert.Equal(t, time.Second, c.ShutdownDelay)
	assert.Equal(t, 9*time.Second, c.ShutdownTimeout)
	assert.Equal(t, sample["JWT_SECRET_KEY"], c.JWTSecretKey.Reveal())
	assert.Equal(t, []config.Secret{config.NewSecret(sample["JWT_PREVIOUS_SECRET_KEY"])}, c.JWTAcceptedKeys)
	assert.Equal(t, 5*time.Minute, c.AccessTokenLifetime)
	assert.False(t, c.PasswordSignIn)
	assert.Equal(t, config.SignInCreate, c.SnowflakeSignIn)
	assert.Equal(t, "root@example.org", c.FirstSuperuser)
	assert.Equal(t, "correct horse", c.FirstSuperuserPassword.Reveal())
	assert.Equal(t, "ROOT", c.FirstSuperuserSnowflakeUser)
	assert.Equal(t, config.Snowflake{
		Account: "acme", Host: "127.0.0.1", Port: 8443, Protocol: "http",
		Database: "db", Schema: "sc", Warehouse: "wh", Role: "ro", Connections: 4,
		AuthType: config.AuthOAuth, OAuthTokenPath: "/token", User: "someone",
		Password: config.NewSecret("battery staple"), PrivateKey: config.NewSecret("PEM of a key"), PAT: config.NewSecret("token of a program"),
	}, c.Snowflake)
	assert.True(t, c.ReadOnly)
	assert.Equal(t, config.Postgres{
		Host: "127.0.0.1", Port: 6432, Database: "echo", User: "ada", Password: config.NewSecret("x y"), TLS: true,
		Auth: config.AuthSnowflake, Instance: "echo_pg", Connections: 5, Schema: "pg_schema", Pooler: true,
	}, c.Postgres)
	assert.True(t, c.ServerTiming)
	assert.Equal(t, "debug", c.LogLevel)
	assert.Equal(t, "json", c.LogFormat)
}

func TestDevelopmentMeansTheMemoryStoreOnALoopbackListener(t *testing.T) {
	loopback := []string{"127.0.0.1:8000", "127.8.8.8:0", "[::1]:8000", "[::ffff:127.0.0.1]:8000", "localhost:8000", "LocalHost:8000"}
	public := []string{":8000", "0.0.0.0:8000", "[::]:8000", "10.0.0.1:8000", "localhost.example.com:8000", "127.0.0.1.example.com:80", "nonsense"}
	for _, addr := range loopback {
		assert.True(t, config.Config{Storage: config.StorageMemory, HTTPAddr: addr}.Development(), addr)
		assert.False(t, config.Config{Storage: config.StorageSnowflake, HTTPAddr: addr}.Development(), addr)
		assert.False(t, config.Config{Storage: config.StoragePostgres, HTTPAddr: addr}.Development(), addr)
	}
	for _, addr := range public {
		assert.False(t, config.Config{Storage: config.StorageMemory, HTTPAddr: addr}.Development(), addr)
	}
}

func TestTheSigningKeyInDevelopmentIsRandom(t *testing.T) {
	first, err := load(t, nil)
	require.NoError(t, err)
	second, err := load(t, nil)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(first.JWTSecretKey.Reveal()), 32)
	assert.NotEqual(t, first.JWTSecretKey, second.JWTSecretKey)
}

func TestChangingSettingsDoesNotChangeTheConfig(t *testing.T) {
	c, err := load(t, nil)
	require.NoError(t, err)
	c.Settings()[0].Name = "changed"
	assert.Equal(t, config.Keys()[0].Name, c.Settings()[0].Name)
}

func TestEveryKeyExceptSecretsHasAFlag(t *testing.T) {
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(flags)
	var got []string
	flags.VisitAll(func(f *pflag.Flag) { got = append(got, f.Name) })

	var want []string
	for _, k := range config.Keys() {
		if k.Secret {
			assert.Empty(t, k.Flag(), k.Name)
			continue
		}
		want = append(want, k.Flag())
	}
	assert.ElementsMatch(t, want, got)
	assert.Subset(t, got, []string{"config", "http-addr", "jwt-secret-key-file"})
	assert.NotContains(t, got, "jwt-secret-key")
}

func TestEverySecretKeyIsFollowedByItsFileKey(t *testing.T) {
	var secrets []string
	keys := config.Keys()
	for i, k := range keys {
		if k.Secret {
			secrets = append(secrets, k.Name)
			assert.Equal(t, k.Name+"_FILE", keys[i+1].Name)
		}
	}
	assert.Equal(t, []string{
		"JWT_SECRET_KEY", "JWT_PREVIOUS_SECRET_KEY", "FIRST_SUPERUSER_PASSWORD",
		"SNOWFLAKE_PASSWORD", "SNOWFLAKE_PRIVATE_KEY", "SNOWFLAKE_PAT", "POSTGRES_PASSWORD", "POSTGRES_URL",
	}, secrets)
}
