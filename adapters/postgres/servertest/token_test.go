//go:build unix

package servertest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	snowflake "github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// tokensOf returns tokens that a fake of Snowflake hands out.
func tokensOf(t *testing.T, fake *snowflaketest.Server) *session.Tokens {
	t.Helper()
	db, err := snowflake.Open(snowflake.Options{
		Account: "fake", Host: fake.Host(), Port: fake.Port(), Protocol: "http",
		Auth: snowflake.Auth{User: "u", Password: "p"}, RequestTimeout: 10 * time.Second, Connections: 1, Version: "test",
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return session.NewTokens(func(ctx context.Context) (string, error) {
		return snowflake.PostgresToken(ctx, db, "echo_pg", app)
	})
}

func TestTheServiceSignsInWithATokenOfSnowflake(t *testing.T) {
	t.Parallel()
	server, o := ownServer(t, pgserver.Options{TCP: true})
	fake := snowflaketest.New(t, engine.Rules{})
	var asked atomic.Int64
	var current atomic.Value
	current.Store("first")
	fake.PostgresToken = func(instance, role string) string {
		assert.Equal(t, []string{"echo_pg", app}, []string{instance, role})
		asked.Add(1)
		return current.Load().(string)
	}
	accept := func(token string) { pgtest.Exec(t, admin(server), "ALTER ROLE "+app+" PASSWORD '"+token+"'") }
	accept("first")
	o.Credential = tokensOf(t, fake)
	f := newFixture(t, o)
	for _, err := range during(100*time.Millisecond, func(int) error { return f.read() }) { // opens many connections
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, asked.Load())

	t.Run("a refused token is replaced without a restart", func(t *testing.T) {
		time.Sleep(time.Second) // the first one is no longer new
		accept("second")
		current.Store("second")
		require.NoError(t, f.read(), "the connections that there are go on")
		endSessions(t, server)
		err := f.read() // finds out that the token is refused
		if err != nil {
			assert.ErrorIs(t, err, session.ErrLoginRefused)
			assert.NotContains(t, err.Error(), "first")
		}
		assert.NoError(t, f.read())
		assert.EqualValues(t, 2, asked.Load())
	})
	t.Run("without Snowflake, the connections that there are go on", func(t *testing.T) {
		fake.Stop()
		accept("third")
		assert.NoError(t, f.read())
		time.Sleep(time.Second)
		endSessions(t, server)
		for range 3 {
			assert.ErrorIs(t, f.read(), domain.ErrUnavailable)
		}
		current.Store("third")
		fake.Start()
		require.Eventually(t, func() bool { return f.read() == nil }, 10*time.Second, 50*time.Millisecond)
	})
}
