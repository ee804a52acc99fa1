package portstest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func (s *fixture) addClient(owner domain.User, changes ...func(*domain.Client)) domain.Client {
	s.t.Helper()
	c := domaintest.Client(owner, changes...)
	require.NoError(s.t, s.CreateClient(s.t.Context(), owner.Actor(), c))
	return c
}

// assertClients checks that exactly these clients of owner work, in any order.
func (s *fixture) assertClients(owner domain.User, want ...domain.Client) {
	s.t.Helper()
	page, err := s.Clients(s.t.Context(), owner.Actor(), now, all)
	require.NoError(s.t, err)
	assert.ElementsMatch(s.t, want, page.Rows)
}

// assertClient checks that the store holds the client, whether it works or not.
func (s *fixture) assertClient(want domain.Client) {
	s.t.Helper()
	got, u, err := s.ClientForSignIn(s.t.Context(), want.ID)
	require.NoError(s.t, err)
	assert.Equal(s.t, want, got)
	assert.Equal(s.t, want.OwnerID, u.ID)
}

// assertNoClient checks that the store does not hold the client.
func (s *fixture) assertNoClient(c domain.Client) {
	s.t.Helper()
	_, _, err := s.ClientForSignIn(s.t.Context(), c.ID)
	assert.ErrorIs(s.t, err, domain.ErrNotFound)
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
	t.Run("a client comes back exactly as it was written, with its account", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		written := clientsOfAllKinds(u)
		for _, c := range written {
			require.NoError(t, s.CreateClient(t.Context(), u.Actor(), c))
			got, account, err := s.ClientForSignIn(t.Context(), c.ID)
			require.NoError(t, err)
			assert.Equal(t, c, got)
			assert.Equal(t, u, account)
		}
		s.assertClients(u, written...)
	})
	t.Run("a client belongs to the actor and has the actor's epoch", func(t *testing.T) {
		s := newFixture(t, open)
		u, other := s.addUser(func(u *domain.User) { u.Epoch = 5 }), s.addUser()
		c := domaintest.Client(other, func(c *domain.Client) { c.Epoch = 9 })
		require.NoError(t, s.CreateClient(t.Context(), u.Actor(), c))
		c.OwnerID, c.Epoch = u.ID, 5
		s.assertClients(u, c)
		s.assertClients(other)
	})
	t.Run("an unknown client is not found", func(t *testing.T) {
		s := newFixture(t, open)
		c := s.addClient(s.admin)
		for _, id := range []string{domaintest.NewID(), "", strings.ToUpper(c.ID), "%", c.Secret} {
			_, _, err := s.ClientForSignIn(t.Context(), id)
			assert.ErrorIs(t, err, domain.ErrNotFound)
		}
	})
	t.Run("a list shows the clients of the actor that work", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		before := s.addClient(u)
		u = s.signOut(u)
		s.addClient(s.admin)
		works := s.addClient(u, func(c *domain.Client) { c.ExpiresAt = now.Add(time.Microsecond) })
		s.addClient(u, func(c *domain.Client) { c.ExpiresAt = now })
		s.assertClients(u, works)
		s.assertClient(before)
	})
	t.Run("a client can be deleted once, also one that has ended", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		ended := s.addClient(u)
		u = s.signOut(u)
		kept, deleted := s.addClient(u), s.addClient(u)
		for _, c := range []domain.Client{ended, deleted} {
			require.NoError(t, s.DeleteClient(t.Context(), u.Actor(), c.ID))
			assert.ErrorIs(t, s.DeleteClient(t.Context(), u.Actor(), c.ID), domain.ErrNotFound)
			s.assertNoClient(c)
		}
		s.assertClients(u, kept)
	})
	t.Run("a client of another account is not found, also for a superuser", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		c := s.addClient(u)
		for _, id := range []string{c.ID, domaintest.NewID(), ""} {
			assert.ErrorIs(t, s.DeleteClient(t.Context(), s.admin.Actor(), id), domain.ErrNotFound)
		}
		s.assertClients(u, c)
	})
	t.Run("a deleted account has no clients", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		c := s.addClient(u)
		require.NoError(t, s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion))
		s.assertNoClient(c)
	})
	t.Run("the first use of a client is recorded once", func(t *testing.T) {
		s := newFixture(t, open)
		c, bystander := s.addClient(s.admin), s.addClient(s.admin)
		for _, want := range []bool{true, false} {
			first, err := s.UseClientForSignIn(t.Context(), c.ID, domaintest.Later)
			require.NoError(t, err)
			assert.Equal(t, want, first)
			c.UsedAt = domain.Some(domaintest.Later)
			s.assertClient(c)
		}
		s.assertClient(bystander)
		first, err := s.UseClientForSignIn(t.Context(), domaintest.NewID(), domaintest.Later)
		require.NoError(t, err)
		assert.False(t, first)
	})
	testClientLimit(t, open)
	testClientList(t, open)
}

func testClientLimit(t *testing.T, open opener) {
	t.Run("an account has a limited number of clients that work", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		s.addClient(u) // it ends with the sign-out
		u = s.signOut(u)
		s.addClient(u, func(c *domain.Client) { c.ExpiresAt = domaintest.Created }) // when the others are created
		for range domain.MaxClients - 1 {
			s.addClient(u)
		}
		last := s.addClient(u)
		refused := domaintest.Client(u)
		assert.ErrorIs(t, s.CreateClient(t.Context(), u.Actor(), refused), domain.ErrTooManyClients)
		s.assertNoClient(refused)
		s.addClient(s.admin)
		require.NoError(t, s.DeleteClient(t.Context(), u.Actor(), last.ID))
		s.addClient(u)
	})
	t.Run("a signed-out actor is refused before the limit", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		for range domain.MaxClients {
			s.addClient(u)
		}
		by := u.Actor()
		by.Epoch++
		assert.ErrorIs(t, s.CreateClient(t.Context(), by, domaintest.Client(u)), domain.ErrSignedOut)
	})
}

func testClientList(t *testing.T, open opener) {
	testPaging(t, func(t *testing.T) *listing[domain.Client] {
		s := newFixture(t, open)
		owner := s.addUser()
		s.addClient(s.admin) // must be on no page
		return &listing[domain.Client]{
			t: t,
			page: func(req domain.PageRequest) (domain.Page[domain.Client], error) {
				return s.Clients(t.Context(), owner.Actor(), now, req)
			},
			create: func(p domain.Position) domain.Client {
				return s.addClient(owner, func(c *domain.Client) {
					c.CreatedAt, c.ID, c.ExpiresAt = p.CreatedAt, p.ID, p.CreatedAt.Add(domain.DefaultClientLife)
				})
			},
			delete: func(c domain.Client) {
				require.NoError(t, s.DeleteClient(t.Context(), owner.Actor(), c.ID))
			},
		}
	})
}

func testClientRaces(t *testing.T, open opener) {
	t.Run("concurrent calls do not create more clients than an account may have", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		const free = 3
		for range domain.MaxClients - free {
			s.addClient(u)
		}
		errs := race(runners, func(int) error {
			return insist(func() error { return s.CreateClient(t.Context(), u.Actor(), domaintest.Client(u)) })
		})
		assertWinners(t, free, errs, domain.ErrTooManyClients)
	})
	t.Run("one of many uses of a client is the first", func(t *testing.T) {
		s := newFixture(t, open)
		c := s.addClient(s.admin)
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
		c := s.addClient(s.admin)
		for _, err := range race(runners, func(i int) error {
			if i == 0 {
				return insist(func() error { return s.DeleteClient(t.Context(), s.admin.Actor(), c.ID) })
			}
			return errorOf(s.UseClientForSignIn(t.Context(), c.ID, domaintest.Later))
		}) {
			assert.True(t, err == nil || domain.KindOf(err) == domain.Unavailable, "%v", err)
		}
		s.assertNoClient(c)
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
