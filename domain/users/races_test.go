package users_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// conditional is every call that takes an ifVersion, on ann's account.
var conditional = map[string]func(context.Context, *scene, domain.Versions) error{
	"UpdateSelf": func(ctx context.Context, s *scene, v domain.Versions) error {
		_, err := s.UpdateSelf(ctx, s.ann.Actor(), domain.ProfilePatch{Email: domain.Some(newEmail)}, v)
		return err
	},
	"DeleteSelf": func(ctx context.Context, s *scene, v domain.Versions) error {
		return s.DeleteSelf(ctx, s.ann.Actor(), v)
	},
	"Update": func(ctx context.Context, s *scene, v domain.Versions) error {
		_, err := s.Update(ctx, s.root.Actor(), s.ann.ID, newPassword, v)
		return err
	},
	"Delete": func(ctx context.Context, s *scene, v domain.Versions) error {
		return s.Delete(ctx, s.root.Actor(), s.ann.ID, v)
	},
}

func TestIfVersion(t *testing.T) {
	for name, call := range conditional {
		test(t, name+" is refused at once when the version is another", func(t *testing.T, s *scene) {
			start := time.Now()
			for _, v := range []int64{0, s.ann.Version - 1, s.ann.Version + 1} {
				assert.Equal(t, domain.ErrStale, call(t.Context(), s, domain.OnlyVersions(v)))
			}
			assert.Zero(t, time.Since(start))
			assert.Zero(t, s.hasher.hashed.Load())
			s.assertStored(t, s.ann)
			assert.Empty(t, s.events)
		})
		test(t, name+" goes ahead when the version is that one", func(t *testing.T, s *scene) {
			assert.NoError(t, call(t.Context(), s, domain.OnlyVersions(s.ann.Version)))
		})
	}
	for _, name := range []string{"UpdateSelf", "Update"} {
		test(t, name+" is refused at once when it is overtaken", func(t *testing.T, s *scene) {
			s.overtake(t, s.ann.Email, 1)
			start := time.Now()
			assert.Equal(t, domain.ErrStale, conditional[name](t.Context(), s, domain.OnlyVersions(s.ann.Version)))
			assert.Zero(t, time.Since(start))
			assert.EqualValues(t, 1, s.contest.reads.Load())
			assert.Empty(t, s.events)
		})
	}
}

func TestAnOvertakenUpdate(t *testing.T) {
	test(t, "is made again on top of the others', and hashes a password but once", func(t *testing.T, s *scene) {
		s.overtake(t, s.ann.Email, 3)
		u, err := s.Update(t.Context(), s.root.Actor(), s.ann.ID, newPassword, anytime)
		require.NoError(t, err)
		want := s.ann
		want.PasswordHash, want.FullName = "v1$1$"+fresh.Reveal(), overtaken
		want.Version, want.Epoch, want.UpdatedAt = s.ann.Version+3+1, s.ann.Epoch+1, now
		assert.Equal(t, want, u)
		s.assertStored(t, want)
		assert.EqualValues(t, 1, s.hasher.hashed.Load())
		assert.Equal(t, []domain.Event{{Name: domain.EventPasswordChanged, ActorID: s.root.ID, SubjectID: s.ann.ID}}, s.events)
	})
	test(t, "gives up when the others do not stop", func(t *testing.T, s *scene) {
		s.overtake(t, s.ann.Email, 1_000_000)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		u, err := s.Update(ctx, s.root.Actor(), s.ann.ID, deactivate, anytime)
		assert.Equal(t, domain.ErrContended, err)
		assert.Zero(t, u)
		assert.True(t, s.stored(t, s.ann.Email).Active)
		assert.Empty(t, s.events)
	})
}

func TestManyUpdatesOfDifferentFieldsAllSurvive(t *testing.T) {
	const each = 16
	test(t, "with others' accounts and one's own", func(t *testing.T, s *scene) {
		errs := s.atOnce(2*each, func(i int) (err error) {
			if i < each {
				patch := domain.ProfilePatch{Email: domain.Some(must(domain.ParseEmail(fmt.Sprint("ann", i, "@example.com"))))}
				_, err = s.Update(t.Context(), s.root.Actor(), s.ann.ID, domain.UserPatch{ProfilePatch: patch}, anytime)
				return err
			}
			_, err = s.UpdateSelf(t.Context(), s.ann.Actor(), domain.ProfilePatch{FullName: domain.Some(domain.Some(must(domain.ParseFullName(fmt.Sprint(i)))))}, anytime)
			return err
		})
		for _, err := range errs {
			assert.NoError(t, err)
		}
		u, err := s.Self(t.Context(), s.ann.Actor())
		require.NoError(t, err)
		assert.NotEqual(t, s.ann.Email, u.Email)
		assert.NotEqual(t, s.ann.FullName, u.FullName)
		assert.EqualValues(t, s.ann.Version+2*each, u.Version, "each was made on top of another")
		assert.Len(t, s.events, 2*each)
	})
}

func TestLastSuperuser(t *testing.T) {
	lastOne := func(t *testing.T, s *scene) {
		require.NoError(t, s.store.DeleteUser(t.Context(), s.root.Actor(), s.sue.ID, anytime))
	}
	for name, patch := range map[string]domain.UserPatch{"demoted": demote, "deactivated": deactivate} {
		test(t, "is not "+name, func(t *testing.T, s *scene) {
			lastOne(t, s)
			_, err := s.Update(t.Context(), s.root.Actor(), s.root.ID, patch, anytime)
			assert.Equal(t, domain.ErrLastSuperuser, err)
			s.assertStored(t, s.root)
			assert.Empty(t, s.events)
		})
		for whom, c := range map[string]struct {
			of      func(i int) int
			refusal error
		}{
			"each other": {func(i int) int { return 1 - i }, domain.ErrSignedOut},
			"themselves": {func(i int) int { return i }, domain.ErrLastSuperuser},
		} {
			test(t, "remains when two want "+whom+" "+name+" at once", func(t *testing.T, s *scene) {
				both := []domain.User{s.root, s.sue}
				assertOneSucceeds(t, s.atOnce(2, func(i int) error {
					_, err := s.Update(t.Context(), both[i].Actor(), both[c.of(i)].ID, patch, anytime)
					return err
				}), c.refusal)
				assert.Equal(t, 1, s.superusers(t))
			})
		}
	}
	test(t, "remains when two delete each other at once", func(t *testing.T, s *scene) {
		both := []domain.User{s.root, s.sue}
		assertOneSucceeds(t, s.atOnce(2, func(i int) error {
			return s.Delete(t.Context(), both[i].Actor(), both[1-i].ID, anytime)
		}), domain.ErrSignedOut)
	})
}

// superusers returns how many active ones there are.
func (s *scene) superusers(t *testing.T) int {
	t.Helper()
	n := 0
	for _, u := range []domain.User{s.root, s.sue} {
		if u = s.stored(t, u.Email); u.Active && u.Superuser {
			n++
		}
	}
	return n
}
