package portstest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// now is a time at which the credentials of package domaintest work.
var now = domaintest.Created.Add(time.Minute)

// credential is a session or a client.
type credential interface {
	domain.Session | domain.Client
	row
}

// credentials are the sessions or the clients in the store under test.
type credentials[E credential] struct {
	*fixture
	fresh  func(owner domain.User, changes ...func(*E)) E
	create func(context.Context, domain.Actor, E) error
	list   func(context.Context, domain.Actor, time.Time, domain.PageRequest) (domain.Page[E], error)
	delete func(ctx context.Context, by domain.Actor, id string) error
	find   func(context.Context, E) (E, domain.User, error) // also what does not work
	common func(*E) common
}

// common are fields that sessions and clients have.
type common struct {
	id, ownerID          *string
	epoch                *int64
	createdAt, expiresAt *time.Time
}

// id returns the ID of e.
func (s credentials[E]) id(e E) string { return *s.common(&e).id }

// expiring returns a change of ExpiresAt.
func (s credentials[E]) expiring(at time.Time) func(*E) {
	return func(e *E) { *s.common(e).expiresAt = at }
}

func (s credentials[E]) add(owner domain.User, changes ...func(*E)) E {
	s.t.Helper()
	e := s.fresh(owner, changes...)
	require.NoError(s.t, s.create(s.t.Context(), owner.Actor(), e))
	return e
}

// assertWorking checks that exactly these credentials of owner work, in any order.
func (s credentials[E]) assertWorking(owner domain.User, want ...E) {
	s.t.Helper()
	page, err := s.list(s.t.Context(), owner.Actor(), now, all)
	require.NoError(s.t, err)
	assert.ElementsMatch(s.t, want, page.Rows)
}

// assertHeld checks that the store holds the credential, whether it works or not.
func (s credentials[E]) assertHeld(want E) {
	s.t.Helper()
	got, u, err := s.find(s.t.Context(), want)
	require.NoError(s.t, err)
	assert.Equal(s.t, want, got)
	assert.Equal(s.t, *s.common(&want).ownerID, u.ID)
}

// assertGone checks that the store does not hold the credential.
func (s credentials[E]) assertGone(e E) {
	s.t.Helper()
	_, _, err := s.find(s.t.Context(), e)
	assert.ErrorIs(s.t, err, domain.ErrNotFound)
}

// signOut raises the Epoch of u and returns the account after it.
func (s *fixture) signOut(u domain.User) domain.User {
	s.t.Helper()
	next, _ := u.Revise(u.SignedOut(), domaintest.Later)
	require.NoError(s.t, s.UpdateUser(s.t.Context(), u.Actor(), next, u))
	return next
}

// testCredentials tests what sessions and clients have in common. ofAllKinds returns some whose fields are at their
// limits or hard to store.
func testCredentials[E credential](
	t *testing.T, open opener, in func(*fixture) credentials[E], ofAllKinds func(domain.User) []E,
) {
	t.Run("one comes back exactly as it was written, with its account", func(t *testing.T) {
		s := in(newFixture(t, open))
		u := s.addUser(domaintest.WithSnowflakeUser("ANN"))
		written := ofAllKinds(u)
		for _, e := range written {
			require.NoError(t, s.create(t.Context(), u.Actor(), e))
			got, account, err := s.find(t.Context(), e)
			require.NoError(t, err)
			assert.Equal(t, e, got)
			assert.Equal(t, u, account)
		}
		s.assertWorking(u, written...)
	})
	t.Run("one belongs to the actor and has the actor's epoch", func(t *testing.T) {
		s := in(newFixture(t, open))
		u, other := s.addUser(func(u *domain.User) { u.Epoch = 5 }), s.addUser()
		e := s.fresh(other, func(e *E) { *s.common(e).epoch = 9 })
		require.NoError(t, s.create(t.Context(), u.Actor(), e))
		*s.common(&e).ownerID, *s.common(&e).epoch = u.ID, 5
		s.assertWorking(u, e)
		s.assertWorking(other)
	})
	t.Run("a list shows those of the actor that work", func(t *testing.T) {
		s := in(newFixture(t, open))
		u := s.addUser()
		before := s.add(u)
		u = s.signOut(u)
		s.add(s.admin)
		works := s.add(u, s.expiring(now.Add(time.Microsecond)))
		s.add(u, s.expiring(now))
		s.assertWorking(u, works)
		s.assertHeld(before)
	})
	t.Run("one can be deleted once, also if it has ended", func(t *testing.T) {
		s := in(newFixture(t, open))
		u := s.addUser()
		ended := s.add(u)
		u = s.signOut(u)
		kept, deleted := s.add(u), s.add(u)
		for _, e := range []E{ended, deleted} {
			require.NoError(t, s.delete(t.Context(), u.Actor(), s.id(e)))
			assert.ErrorIs(t, s.delete(t.Context(), u.Actor(), s.id(e)), domain.ErrNotFound)
			s.assertGone(e)
		}
		s.assertWorking(u, kept)
	})
	t.Run("that of another account is not found, also for a superuser", func(t *testing.T) {
		s := in(newFixture(t, open))
		u := s.addUser()
		e := s.add(u)
		for _, id := range []string{s.id(e), domaintest.NewID(), ""} {
			assert.ErrorIs(t, s.delete(t.Context(), s.admin.Actor(), id), domain.ErrNotFound)
		}
		s.assertWorking(u, e)
	})
	t.Run("a deleted account has none", func(t *testing.T) {
		s := in(newFixture(t, open))
		u := s.addUser()
		e := s.add(u)
		require.NoError(t, s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion))
		s.assertGone(e)
	})
	testPaging(t, func(t *testing.T) *listing[E] { return in(newFixture(t, open)).listing(t) })
}

// listing returns the list of an account that works at the time now.
func (s credentials[E]) listing(t *testing.T) *listing[E] {
	owner := s.addUser()
	s.add(s.admin) // must be on no page
	return &listing[E]{
		t: t,
		page: func(req domain.PageRequest) (domain.Page[E], error) {
			return s.list(t.Context(), owner.Actor(), now, req)
		},
		create: func(p domain.Position) E {
			return s.add(owner, func(e *E) {
				c := s.common(e)
				*c.createdAt, *c.id, *c.expiresAt = p.CreatedAt, p.ID, p.CreatedAt.Add(domain.SessionIdle)
			})
		},
		delete: func(e E) { require.NoError(t, s.delete(t.Context(), owner.Actor(), s.id(e))) },
	}
}
