package users_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var (
	newUser     = domain.NewUser{Email: newEmail, Password: fresh, FullName: annName, Active: true}
	rename      = domain.UserPatch{ProfilePatch: domain.ProfilePatch{FullName: domain.Some(overtaken)}}
	newPassword = domain.UserPatch{Password: domain.Some(fresh)}
	demote      = domain.UserPatch{Superuser: domain.Some(false)}
	deactivate  = domain.UserPatch{Active: domain.Some(false)}
)

// administration is every call that only superusers may make, on ann's account where it is on one.
var administration = map[string]func(context.Context, *scene, domain.Actor) error{
	"Get": func(ctx context.Context, s *scene, by domain.Actor) error {
		_, err := s.Get(ctx, by, s.ann.ID)
		return err
	},
	"List": func(ctx context.Context, s *scene, by domain.Actor) error {
		_, err := s.List(ctx, by, all)
		return err
	},
	"Create": func(ctx context.Context, s *scene, by domain.Actor) error {
		_, err := s.Create(ctx, by, newUser)
		return err
	},
	"Update": func(ctx context.Context, s *scene, by domain.Actor) error {
		_, err := s.Update(ctx, by, s.ann.ID, newPassword, anytime)
		return err
	},
	"Delete": func(ctx context.Context, s *scene, by domain.Actor) error {
		return s.Delete(ctx, by, s.ann.ID, anytime)
	},
}

func TestAdministration(t *testing.T) {
	for name, call := range administration {
		// assertRefused looks whether the call is refused and changes nothing.
		assertRefused := func(t *testing.T, s *scene, ctx context.Context, by domain.Actor, want error) {
			t.Helper()
			assert.ErrorIs(t, call(ctx, s, by), want)
			s.assertStored(t, s.ann)
			_, err := s.store.UserForSignIn(t.Context(), newEmail)
			assert.Equal(t, domain.ErrNotFound, err)
			assert.Empty(t, s.events)
		}
		test(t, name+" is for superusers", func(t *testing.T, s *scene) {
			assertRefused(t, s, t.Context(), s.bob.Actor(), domain.ErrSuperuserRequired)
			assertRefused(t, s, t.Context(), s.ann.Actor(), domain.ErrSuperuserRequired)
			assert.Zero(t, s.hasher.hashed.Load())
			assert.NoError(t, call(t.Context(), s, s.root.Actor()))
		})
		test(t, name+" tells who is signed out no more than that", func(t *testing.T, s *scene) {
			for _, u := range []domain.User{s.sue, s.bob} {
				signedOut := u.Actor()
				signedOut.Epoch--
				assertRefused(t, s, t.Context(), signedOut, domain.ErrSignedOut)
			}
			assertRefused(t, s, t.Context(), domain.Actor{}, domain.ErrSignedOut)
		})
		test(t, name+" refuses nobody's rights while the store does not answer", func(t *testing.T, s *scene) {
			assertRefused(t, s, ended(t), s.root.Actor(), domain.ErrUnavailable)
			assertRefused(t, s, ended(t), s.bob.Actor(), domain.ErrUnavailable)
		})
	}
}

func TestGetAndList(t *testing.T) {
	test(t, "show any account", func(t *testing.T, s *scene) {
		u, err := s.Get(t.Context(), s.root.Actor(), s.ann.ID)
		require.NoError(t, err)
		assert.Equal(t, s.ann, u)
		_, err = s.Get(t.Context(), s.root.Actor(), "nobody")
		assert.Equal(t, domain.ErrNotFound, err)

		page, err := s.List(t.Context(), s.root.Actor(), domain.PageRequest{Skip: 1, Limit: 2, Count: true})
		require.NoError(t, err)
		require.Len(t, page.Rows, 2)
		assert.Equal(t, []string{s.root.ID, s.bob.ID}, []string{page.Rows[0].ID, page.Rows[1].ID})
		assert.Equal(t, domain.Some(4), page.Total)
		assert.True(t, page.More)
	})
}

func TestCreate(t *testing.T) {
	for name, change := range map[string]func(*domain.NewUser){
		"an ordinary account": func(*domain.NewUser) {},
		"an inactive one":     func(u *domain.NewUser) { u.Active = false },
		"a superuser":         func(u *domain.NewUser) { u.Superuser = true },
		"one without a name":  func(u *domain.NewUser) { u.FullName = noName },
	} {
		test(t, "adds "+name, func(t *testing.T, s *scene) {
			in := newUser
			change(&in)
			u, err := s.Create(t.Context(), s.root.Actor(), in)
			require.NoError(t, err)
			assert.Equal(t, domain.User{
				ID: u.ID, Email: in.Email, FullName: in.FullName, PasswordHash: u.PasswordHash, Active: in.Active, Superuser: in.Superuser,
				Version: 1, Epoch: 1, CreatedAt: now, UpdatedAt: now,
			}, u)
			s.assertPassword(t, u, fresh.Reveal())
			s.assertStored(t, u)
			assert.Equal(t, []domain.Event{{Name: domain.EventUserCreated, ActorID: s.root.ID, SubjectID: u.ID}}, s.events)
		})
	}
	test(t, "adds nothing when the e-mail is taken or the hasher is busy", func(t *testing.T, s *scene) {
		in := newUser
		in.Email = s.ann.Email
		u, err := s.Create(t.Context(), s.root.Actor(), in)
		assert.Equal(t, domain.ErrEmailTaken, err)
		assert.Zero(t, u)
		s.assertStored(t, s.ann)

		s.hasher.hashErr = domain.ErrBusy
		_, err = s.Create(t.Context(), s.root.Actor(), newUser)
		assert.Equal(t, domain.ErrBusy, err)
		assert.Empty(t, s.events)
	})
}

func TestUpdate(t *testing.T) {
	for name, c := range map[string]struct {
		patch  domain.UserPatch
		change func(*domain.User)
		epochs int64
		events []string
	}{
		"nothing":       {domain.UserPatch{}, func(*domain.User) {}, 0, nil},
		"what is there": {domain.UserPatch{ProfilePatch: domain.ProfilePatch{FullName: domain.Some(annName)}, Active: domain.Some(true), Superuser: domain.Some(false)}, func(*domain.User) {}, 0, nil},
		"the name":      {rename, func(u *domain.User) { u.FullName = overtaken }, 0, []string{domain.EventProfileChanged}},
		"the e-mail":    {domain.UserPatch{ProfilePatch: domain.ProfilePatch{Email: domain.Some(newEmail)}}, func(u *domain.User) { u.Email = newEmail }, 0, []string{domain.EventProfileChanged}},
		"the password":  {newPassword, func(u *domain.User) { u.PasswordHash = "v1$1$" + fresh.Reveal() }, 1, []string{domain.EventPasswordChanged}},
		"the role":      {domain.UserPatch{Superuser: domain.Some(true)}, func(u *domain.User) { u.Superuser = true }, 1, []string{domain.EventRoleChanged}},
		"activation":    {deactivate, func(u *domain.User) { u.Active = false }, 1, []string{domain.EventActivationChanged}},
		"everything": {
			domain.UserPatch{
				ProfilePatch: domain.ProfilePatch{Email: domain.Some(newEmail), FullName: domain.Some(noName)},
				Password:     domain.Some(fresh), Active: domain.Some(false), Superuser: domain.Some(true),
			},
			func(u *domain.User) {
				u.Email, u.FullName, u.PasswordHash, u.Active, u.Superuser = newEmail, noName, "v1$1$"+fresh.Reveal(), false, true
			},
			1,
			[]string{domain.EventProfileChanged, domain.EventPasswordChanged, domain.EventRoleChanged, domain.EventActivationChanged},
		},
	} {
		test(t, "changes "+name+", and the counters as it has to", func(t *testing.T, s *scene) {
			want := s.ann
			c.change(&want)
			if want != s.ann {
				want.Version, want.UpdatedAt = s.ann.Version+1, now
			}
			want.Epoch += c.epochs

			u, err := s.Update(t.Context(), s.root.Actor(), s.ann.ID, c.patch, anytime)
			require.NoError(t, err)
			assert.Equal(t, want, u)
			s.assertStored(t, want)
			var events []domain.Event
			for _, e := range c.events {
				events = append(events, domain.Event{Name: e, ActorID: s.root.ID, SubjectID: s.ann.ID})
			}
			assert.Equal(t, events, s.events)
		})
	}
	test(t, "is refused for a taken e-mail, for nobody, and while the hasher is busy", func(t *testing.T, s *scene) {
		taken := domain.UserPatch{ProfilePatch: domain.ProfilePatch{Email: domain.Some(s.bob.Email)}}
		u, err := s.Update(t.Context(), s.root.Actor(), s.ann.ID, taken, anytime)
		assert.Equal(t, domain.ErrEmailTaken, err)
		assert.Zero(t, u)
		_, err = s.Update(t.Context(), s.root.Actor(), "nobody", newPassword, anytime)
		assert.Equal(t, domain.ErrNotFound, err)
		s.hasher.hashErr = domain.ErrBusy
		_, err = s.Update(t.Context(), s.root.Actor(), s.ann.ID, newPassword, anytime)
		assert.Equal(t, domain.ErrBusy, err)
		s.assertStored(t, s.ann)
		assert.Empty(t, s.events)
	})
}

func TestDelete(t *testing.T) {
	test(t, "deletes others, superusers too", func(t *testing.T, s *scene) {
		for _, u := range []domain.User{s.ann, s.sue} {
			require.NoError(t, s.Delete(t.Context(), s.root.Actor(), u.ID, domain.OnlyVersions(u.Version)))
			s.assertGone(t, u)
			assert.Equal(t, domain.ErrNotFound, s.Delete(t.Context(), s.root.Actor(), u.ID, anytime))
		}
		assert.Equal(t, []domain.Event{
			{Name: domain.EventUserDeleted, ActorID: s.root.ID, SubjectID: s.ann.ID},
			{Name: domain.EventUserDeleted, ActorID: s.root.ID, SubjectID: s.sue.ID},
		}, s.events)
	})
	test(t, "does not delete oneself", func(t *testing.T, s *scene) {
		assert.Equal(t, domain.ErrCannotDeleteSelf, s.Delete(t.Context(), s.root.Actor(), s.root.ID, anytime))
		s.assertStored(t, s.root)
		signedOut := s.root.Actor()
		signedOut.Epoch--
		assert.Equal(t, domain.ErrSignedOut, s.Delete(t.Context(), signedOut, s.root.ID, anytime))
		assert.Empty(t, s.events)
	})
}
