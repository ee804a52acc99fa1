package portstest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// clients returns the clients in the store.
func (s *fixture) clients() credentials[domain.Client] {
	return credentials[domain.Client]{
		fixture: s, fresh: domaintest.Client, create: s.CreateClient, list: s.Clients, delete: s.DeleteClient,
		find: func(ctx context.Context, c domain.Client) (domain.Client, domain.User, error) {
			return s.ClientForSignIn(ctx, c.ID)
		},
		common: func(c *domain.Client) common {
			return common{&c.ID, &c.OwnerID, &c.Epoch, &c.CreatedAt, &c.ExpiresAt}
		},
	}
}

func clientsOfAllKinds(owner domain.User) []domain.Client {
	clients := []domain.Client{
		domaintest.Client(owner),
		domaintest.Client(owner, func(c *domain.Client) { c.ReadOnly, c.UsedAt = true, domain.Some(domaintest.Later) }),
		domaintest.Client(owner, func(c *domain.Client) {
			c.CreatedAt, c.UsedAt = beforeGap, domain.Some(afterGap)
			c.ExpiresAt = time.Date(2100, 2, 28, 0, 0, 0, 1_000, time.UTC)
		}),
	}
	for _, name := range append(awkwardTexts, strings.Repeat("🦆", domain.MaxClientName)) {
		clients = append(clients, domaintest.Client(owner, func(c *domain.Client) {
			c.Name = domaintest.ClientName(name)
		}))
	}
	return clients
}

func testClients(t *testing.T, open opener) {
	testCredentials(t, open, (*fixture).clients, clientsOfAllKinds)
	t.Run("an unknown client is not found", func(t *testing.T) {
		s := newFixture(t, open)
		c := s.clients().add(s.admin)
		for _, id := range []string{domaintest.NewID(), "", strings.ToUpper(c.ID), "%", c.Secret} {
			_, _, err := s.ClientForSignIn(t.Context(), id)
			assert.ErrorIs(t, err, domain.ErrNotFound)
		}
	})
	t.Run("the first use of a client is recorded once", func(t *testing.T) {
		s := newFixture(t, open)
		c, bystander := s.clients().add(s.admin), s.clients().add(s.admin)
		for _, want := range []bool{true, false} {
			first, err := s.UseClientForSignIn(t.Context(), c.ID, domaintest.Later)
			require.NoError(t, err)
			assert.Equal(t, want, first)
			c.UsedAt = domain.Some(domaintest.Later)
			s.clients().assertHeld(c)
		}
		s.clients().assertHeld(bystander)
		first, err := s.UseClientForSignIn(t.Context(), domaintest.NewID(), domaintest.Later)
		require.NoError(t, err)
		assert.False(t, first)
	})
	testClientLimit(t, open)
}

func testClientLimit(t *testing.T, open opener) {
	t.Run("an account has a limited number of clients that work", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		s.clients().add(u) // it ends with the sign-out
		u = s.signOut(u)
		s.clients().add(u, func(c *domain.Client) { c.ExpiresAt = domaintest.Created }) // when the others are created
		for range domain.MaxClients - 1 {
			s.clients().add(u)
		}
		last := s.clients().add(u)
		refused := domaintest.Client(u)
		assert.ErrorIs(t, s.CreateClient(t.Context(), u.Actor(), refused), domain.ErrTooManyClients)
		s.clients().assertGone(refused)
		s.clients().add(s.admin)
		require.NoError(t, s.DeleteClient(t.Context(), u.Actor(), last.ID))
		s.clients().add(u)
	})
	t.Run("a signed-out actor is refused before the limit", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		for range domain.MaxClients {
			s.clients().add(u)
		}
		by := u.Actor()
		by.Epoch++
		assert.ErrorIs(t, s.CreateClient(t.Context(), by, domaintest.Client(u)), domain.ErrSignedOut)
	})
}

func testClientRaces(t *testing.T, open opener) {
	t.Run("concurrent calls do not create more clients than an account may have", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		const free = 3
		for range domain.MaxClients - free {
			s.clients().add(u)
		}
		errs := race(runners, func(int) error {
			return insist(func() error { return s.CreateClient(t.Context(), u.Actor(), domaintest.Client(u)) })
		})
		assertWinners(t, free, errs, domain.ErrTooManyClients)
	})
	t.Run("one of many uses of a client is the first", func(t *testing.T) {
		s := newFixture(t, open)
		c := s.clients().add(s.admin)
		first := make([]bool, runners)
		for _, err := range race(runners, func(i int) (err error) {
			return insist(func() error {
				first[i], err = s.UseClientForSignIn(t.Context(), c.ID, domaintest.Later)
				return err
			})
		}) {
			assert.NoError(t, err)
		}
		assert.Equal(t, 1, count(first, true))
	})
	t.Run("a client that is deleted while it is used does not come back", func(t *testing.T) {
		s := newFixture(t, open)
		c := s.clients().add(s.admin)
		for _, err := range race(runners, func(i int) error {
			if i == 0 {
				return insist(func() error { return s.DeleteClient(t.Context(), s.admin.Actor(), c.ID) })
			}
			return errorOf(s.UseClientForSignIn(t.Context(), c.ID, domaintest.Later))
		}) {
			assert.True(t, err == nil || domain.KindOf(err) == domain.Unavailable, "%v", err)
		}
		s.clients().assertGone(c)
	})
}

// count returns how many values are v.
func count[T comparable](values []T, v T) (n int) {
	for _, value := range values {
		if value == v {
			n++
		}
	}
	return n
}
