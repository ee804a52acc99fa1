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

// sessions returns the sessions in the store.
func (s *fixture) sessions() credentials[domain.Session] {
	return credentials[domain.Session]{
		fixture: s, fresh: domaintest.Session, create: s.CreateSession, list: s.Sessions, delete: s.DeleteSession,
		find: func(ctx context.Context, e domain.Session) (domain.Session, domain.User, error) {
			return s.SessionForRefresh(ctx, e.Lookup, e.Secret)
		},
		common: func(e *domain.Session) common {
			return common{&e.ID, &e.OwnerID, &e.Epoch, &e.CreatedAt, &e.ExpiresAt}
		},
	}
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
	testCredentials(t, open, (*fixture).sessions, sessionsOfAllKinds)
	t.Run("a session is found by its lookup alone, whatever its state", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session := s.sessions().add(u)
		expired := s.sessions().add(u, func(s *domain.Session) { s.ExpiresAt = domaintest.Created })
		s.signOut(u)
		s.sessions().assertHeld(session)
		s.sessions().assertHeld(expired)
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
	t.Run("a session of a deleted account cannot be refreshed", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session := s.sessions().add(u)
		require.NoError(t, s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion))
		assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(session)), domain.ErrNotFound)
	})
	testRefresh(t, open)
}

// refreshed returns session after a refresh.
func refreshed(session domain.Session) domain.Session {
	return session.Refreshed(domaintest.Hash(), domaintest.Later)
}

func testRefresh(t *testing.T, open opener) {
	t.Run("a refresh changes the secrets and the times, and nothing else", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session, bystander := s.sessions().add(u), s.sessions().add(u)
		for range 3 {
			next := refreshed(session)
			changed := next
			changed.OwnerID, changed.Epoch, changed.Kind = s.admin.ID, 9, domain.SessionBySnowflake
			changed.Lookup, changed.Seed, changed.UserAgent = domaintest.Hash(), domaintest.Hash(), "another"
			changed.CreatedAt = domaintest.Later
			require.NoError(t, s.RefreshSession(t.Context(), changed))
			s.sessions().assertHeld(next)
			session = next
		}
		s.sessions().assertHeld(bystander)
	})
	t.Run("a refresh that took effect already changes nothing and succeeds", func(t *testing.T) {
		s := newFixture(t, open)
		session := s.sessions().add(s.addUser())
		next := refreshed(session)
		require.NoError(t, s.RefreshSession(t.Context(), next))
		again := next
		again.RefreshedAt, again.ExpiresAt = next.RefreshedAt.Add(time.Second), next.ExpiresAt.Add(time.Second)
		require.NoError(t, s.RefreshSession(t.Context(), again))
		s.sessions().assertHeld(next)
	})
	t.Run("a refresh of a session with other secrets is stale and changes nothing", func(t *testing.T) {
		s := newFixture(t, open)
		first := s.sessions().add(s.addUser())
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
		s.sessions().assertHeld(second)
	})
	t.Run("a session whose account changed its epoch or is inactive is not found", func(t *testing.T) {
		s := newFixture(t, open)
		u, inactive := s.addUser(), s.addUser()
		ended, unused := s.sessions().add(u), s.sessions().add(inactive)
		s.signOut(u)
		deactivated := inactive
		deactivated.Active, deactivated.Version = false, inactive.Version+1 // the epoch stays, which no use case does
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), deactivated, inactive))
		for _, session := range []domain.Session{ended, unused} {
			assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(session)), domain.ErrNotFound)
			s.sessions().assertHeld(session)
		}
	})
	t.Run("an unknown session is not found", func(t *testing.T) {
		s := newFixture(t, open)
		unknown := domaintest.Session(s.admin)
		assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(unknown)), domain.ErrNotFound)
		s.sessions().assertGone(unknown)
	})
	t.Run("the holder of a refresh token ends a session once", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		session, bystander := s.sessions().add(u), s.sessions().add(u)
		for _, want := range []bool{true, false} {
			ended, err := s.EndSessionForRefresh(t.Context(), session.ID)
			require.NoError(t, err)
			assert.Equal(t, want, ended)
		}
		s.sessions().assertGone(session)
		assert.ErrorIs(t, s.RefreshSession(t.Context(), refreshed(session)), domain.ErrNotFound)
		s.sessions().assertWorking(u, bystander)
	})
}

func testSessionRaces(t *testing.T, open opener) {
	t.Run("concurrent refreshes with one secret to the same successor all succeed", func(t *testing.T) {
		s := newFixture(t, open)
		session := s.sessions().add(s.addUser())
		next := refreshed(session)
		for _, err := range race(runners, func(int) error {
			return insist(func() error { return s.RefreshSession(t.Context(), next) })
		}) {
			assert.NoError(t, err)
		}
		s.sessions().assertHeld(next)
	})
	t.Run("one of many refreshes with one secret to different successors takes effect", func(t *testing.T) {
		s := newFixture(t, open)
		session := s.sessions().add(s.addUser())
		successors := make([]domain.Session, runners)
		for i := range successors {
			successors[i] = refreshed(session)
		}
		errs := race(runners, func(i int) error { return s.RefreshSession(t.Context(), successors[i]) })
		won := assertWinners(t, 1, errs, domain.ErrStale)
		s.sessions().assertHeld(successors[won[0]])
	})
	t.Run("a session that ended while it was refreshed does not come back", func(t *testing.T) {
		s := newFixture(t, open)
		session := s.sessions().add(s.addUser())
		for _, err := range race(runners, func(i int) error {
			if i == 0 {
				return insist(func() error { return errorOf(s.EndSessionForRefresh(t.Context(), session.ID)) })
			}
			err := s.RefreshSession(t.Context(), refreshed(session))
			return ignore(domain.ErrNotFound, ignore(domain.ErrStale, err))
		}) {
			assert.True(t, err == nil || domain.KindOf(err) == domain.Unavailable, "%v", err)
		}
		s.sessions().assertGone(session)
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
			session := s.sessions().add(u)
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
			s.sessions().add(u), s.sessions().add(deactivated),
			s.sessions().add(s.admin, func(s *domain.Session) { s.ExpiresAt = now }),
		}
		goneClients := []domain.Client{
			s.clients().add(u), s.clients().add(deactivated),
			s.clients().add(s.admin, func(c *domain.Client) { c.ExpiresAt = now }),
		}
		u = s.signOut(u)
		next := deactivated
		next.Active, next.Version = false, deactivated.Version+1 // the epoch stays, which no use case does
		require.NoError(t, s.UpdateUser(t.Context(), s.admin.Actor(), next, deactivated))
		session, client := s.sessions().add(u), s.clients().add(u)
		require.NoError(t, s.CleanUp(t.Context(), now))
		for _, gone := range goneSessions {
			s.sessions().assertGone(gone)
		}
		for _, gone := range goneClients {
			s.clients().assertGone(gone)
		}
		s.sessions().assertHeld(session)
		s.clients().assertHeld(client)
		s.assertUsers(u, next)
	})
	t.Run("a cleanup keeps the newest sessions of each account", func(t *testing.T) {
		s := newFixture(t, open)
		u, other := s.addUser(), s.addUser()
		bystander := s.sessions().add(other)
		sessions := make([]domain.Session, domain.MaxSessions+2)
		for i := range sessions { // the newest first, and the last ones created at the same time
			created := domaintest.Created.Add(-time.Duration(min(i, domain.MaxSessions)) * time.Microsecond)
			sessions[i] = s.sessions().add(u, func(s *domain.Session) { s.CreatedAt = created })
		}
		s.sessions().add(u, func(s *domain.Session) { s.CreatedAt, s.ExpiresAt = now, now }) // newer, but it has ended
		require.NoError(t, s.CleanUp(t.Context(), now))
		s.sessions().assertWorking(u, sessions[:domain.MaxSessions]...)
		for _, gone := range sessions[domain.MaxSessions:] {
			s.sessions().assertGone(gone)
		}
		s.sessions().assertHeld(bystander)
	})
}
