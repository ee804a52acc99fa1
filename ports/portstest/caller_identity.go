package portstest

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Gateway is Snowflake with the gateway of a service, as the tests of a [ports.CallerIdentity] need it.
type Gateway interface {
	CallerToken(user string) string        // issues a caller token of the service
	ForeignCallerToken(user string) string // issues a caller token of another service
	ExpireCallerTokens()                   // makes the tokens that were issued too old
	DropUser(user string)
	Hang() // from now on, Snowflake does not answer
	Stop() // from now on, Snowflake is away
	Start()
}

// TestCallerIdentity tests the contract of [ports.CallerIdentity]. open returns one, and the gateway of its service.
func TestCallerIdentity(t *testing.T, open func(*testing.T) (ports.CallerIdentity, Gateway)) {
	run := func(name string, test func(*testing.T, ports.CallerIdentity, Gateway)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			identity, gateway := open(t)
			test(t, identity, gateway)
		})
	}
	run("the token proves its user, and the name stays as it is", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		for _, user := range []string{
			"ANN", "ann", "Ann of \"Quotes\"", "ann@example.com", "Анна", strings.Repeat("X", domain.MaxSnowflakeUser),
		} {
			assertIdentified(t, i, g.CallerToken(user), user)
		}
	})
	run("a token can be used again", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		token := g.CallerToken("ANN")
		assertIdentified(t, i, token, "ANN")
		assertIdentified(t, i, token, "ANN")
	})
	run("no token proves another user", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		users := []string{"ANN", "BOB", "CID"}
		var calls sync.WaitGroup
		for n := range 30 {
			user := users[n%len(users)]
			token := g.CallerToken(user)
			calls.Go(func() {
				var got domain.SnowflakeUser
				assert.NoError(t, insist(func() (err error) {
					got, err = i.Identify(t.Context(), token)
					return err
				}))
				assert.Equal(t, user, got.String())
			})
		}
		calls.Wait()
	})
	testRefusedCallers(run)
	testUnansweredCallers(run)
}

func testRefusedCallers(run func(string, func(*testing.T, ports.CallerIdentity, Gateway))) {
	run("a forged token is refused", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		token, foreign := g.CallerToken("ANN"), g.ForeignCallerToken("ANN")
		for _, forged := range []string{
			"forged", ".", "..", foreign, "." + token, token + ".", token + "." + token, token[1:], token + "x",
			foreign + "." + token, token + "\r\n", "\x00" + token, token + " ", "é", strings.Repeat("x", 1<<20),
		} {
			assertCallerRefused(t, i, forged)
		}
		assertIdentified(t, i, token, "ANN")
	})
	run("an expired token is refused, also if it was accepted before", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		token := g.CallerToken("ANN")
		assertIdentified(t, i, token, "ANN")
		g.ExpireCallerTokens()
		assertCallerRefused(t, i, token)
		assertIdentified(t, i, g.CallerToken("ANN"), "ANN")
	})
	run("a user who was dropped is refused, also if accepted before", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		token := g.CallerToken("ANN")
		assertIdentified(t, i, token, "ANN")
		g.DropUser("ANN")
		assertCallerRefused(t, i, token)
	})
}

func testUnansweredCallers(run func(string, func(*testing.T, ports.CallerIdentity, Gateway))) {
	run("no caller is refused while Snowflake is away", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		token := g.CallerToken("ANN")
		g.Stop()
		for _, sent := range []string{token, "forged"} {
			_, err := i.Identify(t.Context(), sent)
			assert.ErrorIs(t, err, domain.ErrUnavailable)
		}
		g.Start()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			_, err := i.Identify(t.Context(), token)
			assert.NoError(c, err)
		}, 10*time.Second, 50*time.Millisecond)
	})
	run("a call returns when its context ends", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		token := g.CallerToken("ANN")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := i.Identify(ended, token)
		assert.ErrorIs(t, err, domain.ErrUnavailable)

		g.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err = i.Identify(ctx, token)
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.Less(t, time.Since(start), 3*time.Second)
	})
	run("of too many calls some are refused before the others end", func(t *testing.T, i ports.CallerIdentity, g Gateway) {
		token := g.CallerToken("ANN")
		g.Hang()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		busy := make(chan error, 500)
		for range cap(busy) {
			go func() {
				_, err := i.Identify(ctx, token)
				busy <- err
			}()
		}
		assert.ErrorIs(t, <-busy, domain.ErrBusy)
	})
}

func assertIdentified(t *testing.T, i ports.CallerIdentity, token, user string) {
	t.Helper()
	got, err := i.Identify(t.Context(), token)
	if assert.NoError(t, err) {
		assert.Equal(t, user, got.String())
	}
}

func assertCallerRefused(t *testing.T, i ports.CallerIdentity, token string) {
	t.Helper()
	got, err := i.Identify(t.Context(), token)
	assert.ErrorIs(t, err, domain.ErrInvalidCallerToken, "%.30q", token)
	assert.Zero(t, got)
}
