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

// now is a time at which the credentials of package domaintest work.
var now = domaintest.Created.Add(time.Minute)

func (s *fixture) addSession(owner domain.User, changes ...func(*domain.Session)) domain.Session {
	s.t.Helper()
	session := domaintest.Session(owner, changes...)
	require.NoError(s.t, s.CreateSession(s.t.Context(), owner.Actor(), session))
	return session
}

// assertSessions checks that exactly these sessions of owner work, in any order.
func (s *fixture) assertSessions(owner domain.User, want ...domain.Session) {
	s.t.Helper()
	page, err := s.Sessions(s.t.Context(), owner.Actor(), now, all)
	require.NoError(s.t, err)
	assert.ElementsMatch(s.t, want, page.Rows)
}

// assertSession checks that the store holds the session, whether it works or not.
func (s *fixture) assertSession(want domain.Session) {
	s.t.Helper()
	got, u, err := s.SessionForRefresh(s.t.Context(), want.Lookup, want.Secret)
	require.NoError(s.t, err)
	assert.Equal(s.t, want, got)
	assert.Equal(s.t, want.OwnerID, u.ID)
}

// assertNoSession checks that the store does not hold the session.
func (s *fixture) assertNoSession(session domain.Session) {
	s.t.Helper()
	_, _, err := s.SessionForRefresh(s.t.Context(), session.Lookup, session.Secret)
	assert.ErrorIs(s.t, err, domain.ErrNotFound)
}

// signOut raises the Epoch of u and returns the account after it.
func (s *fixture) signOut(u domain.User) domain.User {
	s.t.Helper()
	next, _ := u.Revise(u.SignedOut(), domaintest.Later)
	require.NoError(s.t, s.UpdateUser(s.t.Context(), u.Actor(), next, u))
	return next
}

func sessionsOfAllKinds(owner domain.User) []domain.Session {
	sessions := []domain.Session{
		domaintest.Session(owner),
		domaintest.Session(owner, func(s *domain.Session) {
			s.Kind, s.Previous = domain.SessionBySnowflake, domaintest.Hash()
		}),
		domaintest.Session(owner, func(s *domain.Session) {
			s.CreatedAt, s.RefreshedAt = beforeGap, afterGap
			s.ExpiresAt = time.Date(2100, 2, 28, 0, 0, 0, 1_000, time.UTC)
		}),
	}
	for _, name := range append(awkwardTexts, "", strings.Repeat("🦆", domain.MaxUserAgent)) {
		sessions = append(sessions, domaintest.Session(owner, func(s *domain.Session) { s.UserAgent = name }))
	}
	return sessions
}

func testSessions(t *testing.T, open opener) {
	t.Run("a session comes back exactly as it was written, with its account", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser(domaintest.WithSnowflakeUser("ANN"))
		written := sessionsOfAllKinds(u)
		for _, session := range written {
			require.NoError(t, s.CreateSession(t.Context(), u.Actor(), session))
			got, account, err := s.SessionForRefresh(t.Context(), session.Lookup, session.Secret)
			require.NoError(t, err)
			assert.Equal(t, session, got)
			assert.Equal(t, u, account)
		}
		s.assertSessions(u, written...)
	})
	t.Run("a session belongs to the actor and has the actor's epoch", func(t *testing.T) {
		s := newFixture(t, open)
		u, other := s.addUser(func(u *domain.User) { u.Epoch = 5 }), s.addUser()
		session := domaintest.Session(other, func(s *domain.Session) { s.Epoch = 9 })
		require.NoError(t, s.CreateSession(t.Context(), u.Actor(), session))
		session.OwnerID, session.Epoch = u.ID, 5
		s.assertSessions(u, session)
		s.assertSessions(other)
	})
	t.Run("a session is found by its lookup alone, whatever its state", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session := s.addSession(u)
		expired := s.addSession(u, func(s *domain.Session) { s.ExpiresAt = domaintest.Created })
		s.signOut(u)
		s.assertSession(session)
		s.assertSession(expired)
		for _, secret := range []string{"", session.Lookup, session.Seed} {
			got, _, err := s.SessionForRefresh(t.Context(), session.Lookup, secret)
			require.NoError(t, err)
			assert.Equal(t, session, got)
		}
		for _, lookup := range []string{"", session.Secret, strings.ToUpper(session.Lookup), session.ID} {
			_, _, err := s.SessionForRefresh(t.Context(), lookup, session.Secret)
			assert.ErrorIs(t, err, domain.ErrNotFound)
		}
	})
	t.Run("a list shows the sessions of the actor that work", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		before := s.addSession(u)
		u = s.signOut(u)
		s.addSession(s.admin)
		works := s.addSession(u, func(s *domain.Session) { s.ExpiresAt = now.Add(time.Microsecond) })
		s.addSession(u, func(s *domain.Session) { s.ExpiresAt = now })
		s.assertSessions(u, works)
		s.assertSession(before)
	})
	t.Run("a session can be deleted once, also one that has ended", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		ended := s.addSession(u)
		u = s.signOut(u)
		kept, deleted := s.addSession(u), s.addSession(u)
		for _, session := range []domain.Session{ended, deleted} {
			require.NoError(t, s.DeleteSession(t.Context(), u.Actor(), session.ID))
			assert.ErrorIs(t, s.DeleteSession(t.Context(), u.Actor(), session.ID), domain.ErrNotFound)
			s.assertNoSession(session)
		}
		s.assertSessions(u, kept)
	})
	t.Run("a session of another account is not found, also for a superuser", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session := s.addSession(u)
		for _, id := range []string{session.ID, domaintest.NewID(), ""} {
			assert.ErrorIs(t, s.DeleteSession(t.Context(), s.admin.Actor(), id), domain.ErrNotFound)
		}
		s.assertSessions(u, session)
	})
	t.Run("a deleted account has no sessions", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session := s.addSession(u)
		require.NoError(t, s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion))
		s.assertNoSession(session)
		assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(session)), domain.ErrNotFound)
	})
	testRefresh(t, open)
	testSessionList(t, open)
}

// refreshed returns session after a refresh.
func refreshed(session domain.Session) domain.Session {
	return session.Refreshed(domaintest.Hash(), domaintest.Later)
}

func testRefresh(t *testing.T, open opener) {
	t.Run("a refresh changes the secrets and the times, and nothing else", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session, bystander := s.addSession(u), s.addSession(u)
		for range 3 {
			next := refreshed(session)
			changed := next
			changed.OwnerID, changed.Epoch, changed.Kind = s.admin.ID, 9, domain.SessionBySnowflake
			changed.Lookup, changed.Seed, changed.UserAgent = domaintest.Hash(), domaintest.Hash(), "another"
			changed.CreatedAt = domaintest.Later
			require.NoError(t, s.RefreshSession(t.Context(), changed))
			s.assertSession(next)
			session = next
		}
		s.assertSession(bystander)
	})
	t.Run("a refresh that took effect already changes nothing and succeeds", func(t *testing.T) {
		s := newFixture(t, open)
		session := s.addSession(s.addUser())
		next := refreshed(session)
		require.NoError(t, s.RefreshSession(t.Context(), next))
		again := next
		again.RefreshedAt, again.ExpiresAt = next.RefreshedAt.Add(time.Second), next.ExpiresAt.Add(time.Second)
		require.NoError(t, s.RefreshSession(t.Context(), again))
		s.assertSession(next)
	})
	t.Run("a refresh of a session with other secrets is stale and changes nothing", func(t *testing.T) {
		s := newFixture(t, open)
		first := s.addSession(s.addUser())
		second := refreshed(first)
		require.NoError(t, s.RefreshSession(t.Context(), second))
		unknown, same := domaintest.Session(s.admin), second
		unknown.ID, same.Previous = first.ID, domaintest.Hash()
		for name, stale := range map[string]domain.Session{
			"from the first secret":                         refreshed(first),
			"from an unknown secret":                        refreshed(unknown),
			"from an unknown secret to the one that it has": same,
		} {
			assert.ErrorIs(t, s.RefreshSession(t.Context(), stale), domain.ErrStale, name)
		}
		s.assertSession(second)
	})
	t.Run("a session whose account changed its epoch or is inactive is not found", func(t *testing.T) {
		s := newFixture(t, open)
		u, inactive := s.addUser(), s.addUser()
		ended, unused := s.addSession(u), s.addSession(inactive)
		s.signOut(u)
		deactivated := inactive
		deactivated.Active, deactivated.Version = false, inactive.Version+1 // the epoch stays, which no use case does
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), deactivated, inactive))
		for _, session := range []domain.Session{ended, unused} {
			assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(session)), domain.ErrNotFound)
			s.assertSession(session)
		}
	})
	t.Run("an unknown session is not found", func(t *testing.T) {
		s := newFixture(t, open)
		unknown := domaintest.Session(s.admin)
		assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(unknown)), domain.ErrNotFound)
		s.assertNoSession(unknown)
	})
	t.Run("the holder of a refresh token ends a session once", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session, bystander := s.addSession(u), s.addSession(u)
		for _, want := range []bool{true, false} {
			ended, err := s.EndSessionForRefresh(t.Context(), session.ID)
			require.NoError(t, err)
			assert.Equal(t, want, ended)
		}
		s.assertNoSession(session)
		assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(session)), domain.ErrNotFound)
		s.assertSessions(u, bystander)
	})
}

func testSessionList(t *testing.T, open opener) {
	testPaging(t, func(t *testing.T) *listing[domain.Session] {
		s := newFixture(t, open)
		owner := s.addUser()
		s.addSession(s.admin) // must be on no page
		return &listing[domain.Session]{
			t: t,
			page: func(req domain.PageRequest) (domain.Page[domain.Session], error) {
				return s.Sessions(t.Context(), owner.Actor(), now, req)
			},
			create: func(p domain.Position) domain.Session {
				return s.addSession(owner, func(s *domain.Session) {
					s.CreatedAt, s.ID, s.ExpiresAt = p.CreatedAt, p.ID, p.CreatedAt.Add(domain.SessionIdle)
				})
			},
			delete: func(session domain.Session) {
				require.NoError(t, s.DeleteSession(t.Context(), owner.Actor(), session.ID))
			},
		}
	})
}

func testSessionRaces(t *testing.T, open opener) {
	t.Run("concurrent refreshes with one secret to the same successor all succeed", func(t *testing.T) {
		s := newFixture(t, open)
		session := s.addSession(s.addUser())
		next := refreshed(session)
		for _, err := range race(runners, func(int) error {
			return insist(func() error { return s.RefreshSession(t.Context(), next) })
		}) {
			assert.NoError(t, err)
		}
		s.assertSession(next)
	})
	t.Run("one of many refreshes with one secret to different successors takes effect", func(t *testing.T) {
		s := newFixture(t, open)
		session := s.addSession(s.addUser())
		successors := make([]domain.Session, runners)
		for i := range successors {
			successors[i] = refreshed(session)
		}
		errs := race(runners, func(i int) error { return s.RefreshSession(t.Context(), successors[i]) })
		won := assertWinners(t, 1, errs, domain.ErrStale)
		s.assertSession(successors[won[0]])
	})
	t.Run("a session that ended while it was refreshed does not come back", func(t *testing.T) {
		s := newFixture(t, open)
		session := s.addSession(s.addUser())
		for _, err := range race(runners, func(i int) error {
			if i == 0 {
				return insist(func() error { return errorOf(s.EndSessionForRefresh(t.Context(), session.ID)) })
			}
			err := s.RefreshSession(t.Context(), refreshed(session))
			return ignore(domain.ErrNotFound, ignore(domain.ErrStale, err))
		}) {
			assert.True(t, err == nil || domain.KindOf(err) == domain.Unavailable, "%v", err)
		}
		s.assertNoSession(session)
	})
	t.Run("no session that is refreshed during a sign-out or a deletion works after it", func(t *testing.T) {
		s := newFixture(t, open)
		for name, end := range map[string]func(domain.User) error{
			"sign-out": func(u domain.User) error {
				next, _ := u.Revise(u.SignedOut(), domaintest.Later)
				return ignore(domain.ErrSignedOut, s.UpdateUser(t.Context(), u.Actor(), next, u))
			},
			"deletion": func(u domain.User) error {
				return ignore(domain.ErrSignedOut, s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion))
			},
		} {
			u := s.addUser()
			session := s.addSession(u)
			next := refreshed(session)
			for _, err := range race(runners, func(i int) error {
				if i == 0 {
					return insist(func() error { return end(u) })
				}
				return ignore(domain.ErrNotFound, s.RefreshSession(t.Context(), next))
			}) {
				assert.True(t, err == nil || domain.KindOf(err) == domain.Unavailable, "%s: %v", name, err)
			}
			for _, again := range []domain.Session{next, refreshed(session), refreshed(next)} {
				assert.ErrorIs(t, s.RefreshSession(t.Context(), again), domain.ErrNotFound, name)
			}
		}
	})
	t.Run("no session that is made during a sign-out or a deletion works after it", func(t *testing.T) {
		s := newFixture(t, open)
		signedOut, deleted := s.addUser(), s.addUser()
		sessions := make([]domain.Session, runners)
		errs := race(runners, func(i int) error {
			u := []domain.User{signedOut, deleted}[i%2]
			switch i {
			case 0:
				next, _ := u.Revise(u.SignedOut(), domaintest.Later)
				return insist(func() error {
					return ignore(domain.ErrSignedOut, s.UpdateUser(t.Context(), u.Actor(), next, u))
				})
			case 1:
				return insist(func() error {
					return ignore(domain.ErrSignedOut, s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion))
				})
			}
			sessions[i] = domaintest.Session(u)
			return ignore(domain.ErrSignedOut, s.CreateSession(t.Context(), u.Actor(), sessions[i]))
		})
		for _, err := range errs {
			assert.True(t, err == nil || domain.KindOf(err) == domain.Unavailable, "%v", err)
		}
		for _, session := range sessions[2:] {
			assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(session)), domain.ErrNotFound)
		}
	})
}

func testCleanUp(t *testing.T, open opener) {
	t.Run("a cleanup removes what does not work, and nothing else", func(t *testing.T) {
		s := newFixture(t, open)
		u, deactivated := s.addUser(), s.addUser()
		goneSessions := []domain.Session{
			s.addSession(u), s.addSession(deactivated),
			s.addSession(s.admin, func(s *domain.Session) { s.ExpiresAt = now }),
		}
		goneClients := []domain.Client{
			s.addClient(u), s.addClient(deactivated),
			s.addClient(s.admin, func(c *domain.Client) { c.ExpiresAt = now }),
		}
		u = s.signOut(u)
		next := deactivated
		next.Active, next.Version = false, deactivated.Version+1 // the epoch stays, which no use case does
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), next, deactivated))
		session, client := s.addSession(u), s.addClient(u)
		require.NoError(t, s.CleanUp(t.Context(), now))
		for _, gone := range goneSessions {
			s.assertNoSession(gone)
		}
		for _, gone := range goneClients {
			s.assertNoClient(gone)
		}
		s.assertSession(session)
		s.assertClient(client)
		s.assertUsers(u, next)
	})
	t.Run("a cleanup keeps the newest sessions of each account", func(t *testing.T) {
		s := newFixture(t, open)
		u, other := s.addUser(), s.addUser()
		bystander := s.addSession(other)
		sessions := make([]domain.Session, domain.MaxSessions+2)
		for i := range sessions { // the newest first, and the last ones created at the same time
			created := domaintest.Created.Add(-time.Duration(min(i, domain.MaxSessions)) * time.Microsecond)
			sessions[i] = s.addSession(u, func(s *domain.Session) { s.CreatedAt = created })
		}
		s.addSession(u, func(s *domain.Session) { s.CreatedAt, s.ExpiresAt = now, now }) // newer, but it has ended
		require.NoError(t, s.CleanUp(t.Context(), now))
		s.assertSessions(u, sessions[:domain.MaxSessions]...)
		for _, gone := range sessions[domain.MaxSessions:] {
			s.assertNoSession(gone)
		}
		s.assertSession(bystander)
	})
}
