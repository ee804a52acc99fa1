package users_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// versionedCalls are all calls that take an ifVersion. They change Ann's account.
var versionedCalls = map[string]func(context.Context, *fixture, domain.Versions) error{
	"UpdateSelf": func(ctx context.Context, s *fixture, v domain.Versions) error {
		_, err := s.UpdateSelf(ctx, s.ann.Actor(), setEmail(newEmail), v)
		return err
	},
	"ChangePassword": func(ctx context.Context, s *fixture, v domain.Versions) error {
		return s.ChangePassword(ctx, s.ann.Actor(), correct, newPassword, v)
	},
	"DeleteSelf": func(ctx context.Context, s *fixture, v domain.Versions) error {
		return s.DeleteSelf(ctx, s.ann.Actor(), v)
	},
	"Update": func(ctx context.Context, s *fixture, v domain.Versions) error {
		_, err := s.Update(ctx, s.root.Actor(), s.ann.ID, setPassword, v)
		return err
	},
	"Delete": func(ctx context.Context, s *fixture, v domain.Versions) error {
		return s.Delete(ctx, s.root.Actor(), s.ann.ID, v)
	},
}

func TestIfVersion(t *testing.T) {
	for name, call := range versionedCalls {
		run(t, name+" for another version is stale immediately", func(t *testing.T, s *fixture) {
			start := time.Now()
			for _, v := range []domain.Versions{
				domain.OnlyVersions(0), domain.OnlyVersions(version - 1), domain.OnlyVersions(version + 1),
				domain.OnlyVersions(version-1, version+1), domain.OnlyVersions(),
			} {
				assert.Equal(t, domain.ErrStale, call(t.Context(), s, v))
			}
			assert.Zero(t, time.Since(start))
			assert.Zero(t, s.hasher.Hashed.Load())
			s.assertStored(t, s.ann)
			assert.Empty(t, s.events)
		})
		for set, v := range map[string]domain.Versions{
			"the current version": domain.OnlyVersions(version),
			"a set with it":       domain.OnlyVersions(version-1, version),
		} {
			run(t, name+" for "+set+" succeeds", func(t *testing.T, s *fixture) {
				assert.NoError(t, call(t.Context(), s, v))
			})
		}
	}
	for _, name := range []string{"UpdateSelf", "ChangePassword", "Update"} {
		run(t, name+" for one version is stale immediately if it loses", func(t *testing.T, s *fixture) {
			s.changeConcurrently(t, s.ann.Email, 1)
			start := time.Now()
			assert.Equal(t, domain.ErrStale, versionedCalls[name](t.Context(), s, domain.OnlyVersions(version)))
			assert.Zero(t, time.Since(start))
			assert.EqualValues(t, 1, s.interleaved.reads.Load())
			assert.EqualValues(t, 1, s.interleaved.updates.Load())
			assert.Empty(t, s.events)
		})
	}
}

// maxTries is how often a change of any version is tried.
const maxTries = 32

func TestConcurrentUpdates(t *testing.T) {
	run(t, "an update succeeds after 31 concurrent changes and hashes the password once",
		func(t *testing.T, s *fixture) {
			s.changeConcurrently(t, s.ann.Email, maxTries-1)
			u, err := s.Update(t.Context(), s.root.Actor(), s.ann.ID, setPassword, anyVersion)
			require.NoError(t, err)
			want := s.ann
			want.PasswordHash, want.FullName = "v1$1$"+newPassword.Reveal(), lastConcurrentChange
			want.Version, want.Epoch, want.UpdatedAt = version+maxTries, epoch+1, now
			assert.Equal(t, want, u)
			s.assertStored(t, want)
			assert.EqualValues(t, 1, s.hasher.Hashed.Load())
			assert.EqualValues(t, maxTries, s.interleaved.reads.Load())
			assert.EqualValues(t, maxTries, s.interleaved.updates.Load())
			s.assertEvents(t, s.root, s.ann, domain.EventPasswordChanged)
		})
	for _, name := range []string{"UpdateSelf", "ChangePassword", "Update"} {
		run(t, name+" gives up after 32 tries if it always loses", func(t *testing.T, s *fixture) {
			s.changeConcurrently(t, s.ann.Email, 1_000_000)
			assert.Equal(t, domain.ErrContended, versionedCalls[name](t.Context(), s, anyVersion))
			assert.EqualValues(t, maxTries, s.interleaved.reads.Load())
			assert.EqualValues(t, maxTries, s.interleaved.updates.Load())
			assert.Equal(t, s.ann.PasswordHash, s.stored(t, s.ann.Email).PasswordHash)
			assert.Empty(t, s.events)
		})
	}
	run(t, "an update that gives up returns no account", func(t *testing.T, s *fixture) {
		s.changeConcurrently(t, s.ann.Email, 1_000_000)
		u, err := s.Update(t.Context(), s.root.Actor(), s.ann.ID, deactivate, anyVersion)
		assert.Equal(t, domain.ErrContended, err)
		assert.Zero(t, u)
		assert.True(t, s.stored(t, s.ann.Email).Active)
	})
	run(t, "32 concurrent updates of different fields all succeed", func(t *testing.T, s *fixture) {
		errs := s.concurrently(maxTries, func(i int) (err error) {
			if i%2 == 0 {
				email := domaintest.Email(fmt.Sprint("ann", i, "@example.com"))
				patch := domain.UserPatch{ProfilePatch: setEmail(email)}
				_, err = s.Update(t.Context(), s.root.Actor(), s.ann.ID, patch, anyVersion)
				return err
			}
			patch := setName(domaintest.FullName(fmt.Sprint(i)))
			_, err = s.UpdateSelf(t.Context(), s.ann.Actor(), patch, anyVersion)
			return err
		})
		for _, err := range errs {
			assert.NoError(t, err)
		}
		assert.LessOrEqual(t, s.interleaved.reads.Load(), int64(maxTries*maxTries))
		u, err := s.Self(t.Context(), s.ann.Actor())
		require.NoError(t, err)
		assert.NotEqual(t, s.ann.Email, u.Email)
		assert.NotEqual(t, s.ann.FullName, u.FullName)
		assert.EqualValues(t, version+maxTries, u.Version, "no update overwrote another")
		assert.Len(t, s.events, maxTries)
	})
}

func TestLastSuperuser(t *testing.T) {
	for name, patch := range map[string]domain.UserPatch{"demoted": demote, "deactivated": deactivate} {
		run(t, "the last superuser cannot be "+name, func(t *testing.T, s *fixture) {
			require.NoError(t, s.store.DeleteUser(t.Context(), s.root.Actor(), s.sue.ID, anyVersion))
			_, err := s.Update(t.Context(), s.root.Actor(), s.root.ID, patch, anyVersion)
			assert.Equal(t, domain.ErrLastSuperuser, err)
			s.assertStored(t, s.root)
			assert.Empty(t, s.events)
		})
		for by, c := range map[string]struct {
			target  func(i int) int
			refusal error
		}{
			"each other": {func(i int) int { return 1 - i }, domain.ErrSignedOut},
			"themselves": {func(i int) int { return i }, domain.ErrLastSuperuser},
		} {
			run(t, "one of two superusers that are "+name+" by "+by+" remains", func(t *testing.T, s *fixture) {
				both := []domain.User{s.root, s.sue}
				assertOneSucceeds(t, s.concurrently(2, func(i int) error {
					_, err := s.Update(t.Context(), both[i].Actor(), both[c.target(i)].ID, patch, anyVersion)
					return err
				}), c.refusal)
				assert.Equal(t, 1, s.countActiveSuperusers(t))
			})
		}
	}
	run(t, "one of two superusers that delete each other remains", func(t *testing.T, s *fixture) {
		both := []domain.User{s.root, s.sue}
		assertOneSucceeds(t, s.concurrently(2, func(i int) error {
			return s.Delete(t.Context(), both[i].Actor(), both[1-i].ID, anyVersion)
		}), domain.ErrSignedOut)
	})
}

// countActiveSuperusers returns how many of root and sue are active superusers.
func (s *fixture) countActiveSuperusers(t *testing.T) int {
	t.Helper()
	n := 0
	for _, u := range []domain.User{s.root, s.sue} {
		if u = s.stored(t, u.Email); u.Active && u.Superuser {
			n++
		}
	}
	return n
}
