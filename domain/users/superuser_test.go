package users_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

var (
	newUser     = domain.NewUser{Email: newEmail, Password: newPassword, FullName: newName, Active: true}
	setPassword = domain.UserPatch{Password: domain.Some(newPassword)}
	demote      = domain.UserPatch{Superuser: domain.Some(false)}
	deactivate  = domain.UserPatch{Active: domain.Some(false)}
)

// setEmail returns a patch of the e-mail.
func setEmail(email domain.Email) domain.ProfilePatch {
	return domain.ProfilePatch{Email: domain.Some(email)}
}

// setName returns a patch of the full name.
func setName(name domain.Optional[domain.FullName]) domain.ProfilePatch {
	return domain.ProfilePatch{FullName: domain.Some(name)}
}

// superuserCalls are all calls that only superusers may make. Those on one account name Ann's.
var superuserCalls = map[string]func(context.Context, *fixture, domain.Actor) error{
	"Get": func(ctx context.Context, s *fixture, by domain.Actor) error {
		_, err := s.Get(ctx, by, s.ann.ID)
		return err
	},
	"List": func(ctx context.Context, s *fixture, by domain.Actor) error {
		_, err := s.List(ctx, by, all)
		return err
	},
	"Create": func(ctx context.Context, s *fixture, by domain.Actor) error {
		_, err := s.Create(ctx, by, newUser)
		return err
	},
	"Update": func(ctx context.Context, s *fixture, by domain.Actor) error {
		_, err := s.Update(ctx, by, s.ann.ID, setPassword, anyVersion)
		return err
	},
	"SignOut": func(ctx context.Context, s *fixture, by domain.Actor) error {
		return s.SignOut(ctx, by, s.ann.ID)
	},
	"Delete": func(ctx context.Context, s *fixture, by domain.Actor) error {
		return s.Delete(ctx, by, s.ann.ID, anyVersion)
	},
}

func TestHashingForASuperuserIsAuthenticatedWorkOfItsSource(t *testing.T) {
	for _, name := range []string{"Create", "Update"} {
		run(t, name, func(t *testing.T, s *fixture) {
			by := s.root.Actor()
			by.Source = "192.0.2.1"
			require.NoError(t, superuserCalls[name](t.Context(), s, by))
			assert.Equal(t, []domain.Work{{Source: "192.0.2.1", Authenticated: true}}, s.hasher.Work())
		})
	}
}

func TestSuperuserCalls(t *testing.T) {
	for name, call := range superuserCalls {
		// assertRefused checks that the call fails with want and changes nothing.
		assertRefused := func(t *testing.T, s *fixture, ctx context.Context, by domain.Actor, want error) {
			t.Helper()
			assert.ErrorIs(t, call(ctx, s, by), want)
			s.assertStored(t, s.ann)
			s.assertGone(t, newEmail)
			assert.Empty(t, s.events)
		}
		run(t, name+" requires a superuser", func(t *testing.T, s *fixture) {
			assertRefused(t, s, t.Context(), s.bob.Actor(), domain.ErrSuperuserRequired)
			assertRefused(t, s, t.Context(), s.ann.Actor(), domain.ErrSuperuserRequired)
			assert.Zero(t, s.hasher.Hashed.Load())
			assert.NoError(t, call(t.Context(), s, s.root.Actor()))
		})
		run(t, name+" tells a signed-out actor nothing else", func(t *testing.T, s *fixture) {
			assertRefused(t, s, t.Context(), signedOut(s.sue), domain.ErrSignedOut)
			assertRefused(t, s, t.Context(), signedOut(s.bob), domain.ErrSignedOut)
			assertRefused(t, s, t.Context(), domain.Actor{}, domain.ErrSignedOut)
		})
		run(t, name+" is unavailable, not forbidden, while the store does not answer", func(t *testing.T, s *fixture) {
			assertRefused(t, s, ended(t), s.root.Actor(), domain.ErrUnavailable)
			assertRefused(t, s, ended(t), s.bob.Actor(), domain.ErrUnavailable)
		})
	}
}

func TestGetAndList(t *testing.T) {
	run(t, "a superuser gets any account", func(t *testing.T, s *fixture) {
		u, err := s.Get(t.Context(), s.root.Actor(), s.ann.ID)
		require.NoError(t, err)
		assert.Equal(t, s.ann, u)
		_, err = s.Get(t.Context(), s.root.Actor(), "unknown")
		assert.Equal(t, domain.ErrNotFound, err)
	})
	run(t, "a superuser lists a page of all accounts", func(t *testing.T, s *fixture) {
		page, err := s.List(t.Context(), s.root.Actor(), domain.PageRequest{Skip: 1, Limit: 2, Count: true})
		require.NoError(t, err)
		ids := []string{s.root.ID, s.sue.ID, s.ann.ID, s.bob.ID} // all were created at the same time
		slices.Sort(ids)
		slices.Reverse(ids)
		require.Len(t, page.Rows, 2)
		assert.Equal(t, ids[1:3], []string{page.Rows[0].ID, page.Rows[1].ID})
		assert.Equal(t, domain.Some(4), page.Total)
		assert.True(t, page.More)
	})
}

func TestCreate(t *testing.T) {
	for name, change := range map[string]func(*domain.NewUser){
		"an ordinary account":       func(*domain.NewUser) {},
		"an inactive account":       func(u *domain.NewUser) { u.Active = false },
		"a superuser":               func(u *domain.NewUser) { u.Superuser = true },
		"an account without a name": func(u *domain.NewUser) { u.FullName = noName },
	} {
		run(t, "a superuser creates "+name, func(t *testing.T, s *fixture) {
			in := newUser
			change(&in)
			u, err := s.Create(t.Context(), s.root.Actor(), in)
			require.NoError(t, err)
			assert.Equal(t, domain.User{
				ID: u.ID, Email: in.Email, FullName: in.FullName, PasswordHash: u.PasswordHash,
				Active: in.Active, Superuser: in.Superuser,
				Version: 1, Epoch: 1, CreatedAt: now, UpdatedAt: now,
			}, u)
			s.assertPassword(t, u, newPassword.Reveal())
			s.assertStored(t, u)
			s.assertEvents(t, s.root, u, domain.EventUserCreated)
		})
	}
	run(t, "a superuser creates an account with a Snowflake user", func(t *testing.T, s *fixture) {
		in := newUser
		in.SnowflakeUser = domain.Some(annUser)
		u, err := s.Create(t.Context(), s.root.Actor(), in)
		require.NoError(t, err)
		assert.Equal(t, in.SnowflakeUser, u.SnowflakeUser)
		s.assertStored(t, u)
		s.assertEvents(t, s.root, u, domain.EventUserCreated, domain.EventSnowflakeUserChanged)

		in.Email = domaintest.Email("another@example.com")
		_, err = s.Create(t.Context(), s.root.Actor(), in)
		assert.ErrorIs(t, err, domain.ErrSnowflakeUserTaken)
	})
	run(t, "a taken e-mail or a busy hasher creates nothing", func(t *testing.T, s *fixture) {
		in := newUser
		in.Email = s.ann.Email
		u, err := s.Create(t.Context(), s.root.Actor(), in)
		assert.Equal(t, domain.ErrEmailTaken, err)
		assert.Zero(t, u)
		s.assertStored(t, s.ann)

		s.hasher.HashErr = domain.ErrBusy
		_, err = s.Create(t.Context(), s.root.Actor(), newUser)
		assert.Equal(t, domain.ErrBusy, err)
		s.assertGone(t, newEmail)
		assert.Empty(t, s.events)
	})
}

func TestUpdate(t *testing.T) {
	const newHash = "v1$1$the new password"
	for name, c := range map[string]struct {
		patch  domain.UserPatch
		change func(*domain.User)
		epochs int64
		events []string
	}{
		"an empty patch": {domain.UserPatch{}, func(*domain.User) {}, 0, nil},
		"the values that it has": {
			domain.UserPatch{
				ProfilePatch: domain.ProfilePatch{FullName: domain.Some(domaintest.FullName("Ann"))},
				Active:       domain.Some(true), Superuser: domain.Some(false),
			},
			func(*domain.User) {}, 0, nil,
		},
		"a new name": {
			domain.UserPatch{ProfilePatch: setName(newName)},
			func(u *domain.User) { u.FullName = newName }, 0, []string{domain.EventProfileChanged},
		},
		"a new e-mail": {
			domain.UserPatch{ProfilePatch: setEmail(newEmail)},
			func(u *domain.User) { u.Email = newEmail }, 0, []string{domain.EventProfileChanged},
		},
		"a new password": {
			setPassword,
			func(u *domain.User) { u.PasswordHash = newHash }, 1, []string{domain.EventPasswordChanged},
		},
		"a new role": {
			domain.UserPatch{Superuser: domain.Some(true)},
			func(u *domain.User) { u.Superuser = true }, 1, []string{domain.EventRoleChanged},
		},
		"a new activation": {
			deactivate,
			func(u *domain.User) { u.Active = false }, 1, []string{domain.EventActivationChanged},
		},
		"a Snowflake user": {
			domain.UserPatch{SnowflakeUser: domain.Some(domain.Some(annUser))},
			func(u *domain.User) { u.SnowflakeUser = domain.Some(annUser) }, 0,
			[]string{domain.EventSnowflakeUserChanged},
		},
		"no Snowflake user, as before": {
			domain.UserPatch{SnowflakeUser: domain.Some(noUser)}, func(*domain.User) {}, 0, nil,
		},
		"new values for all fields": {
			domain.UserPatch{
				ProfilePatch: domain.ProfilePatch{Email: domain.Some(newEmail), FullName: domain.Some(noName)},
				Password:     domain.Some(newPassword), Active: domain.Some(false), Superuser: domain.Some(true),
			},
			func(u *domain.User) {
				u.Email, u.FullName, u.PasswordHash, u.Active, u.Superuser = newEmail, noName, newHash, false, true
			},
			1,
			[]string{
				domain.EventProfileChanged, domain.EventPasswordChanged,
				domain.EventRoleChanged, domain.EventActivationChanged,
			},
		},
	} {
		run(t, "a superuser gives an account "+name, func(t *testing.T, s *fixture) {
			want := s.ann
			c.change(&want)
			if want != s.ann {
				want.Version, want.UpdatedAt = version+1, now
			}
			want.Epoch += c.epochs

			u, err := s.Update(t.Context(), s.root.Actor(), s.ann.ID, c.patch, anyVersion)
			require.NoError(t, err)
			assert.Equal(t, want, u)
			s.assertStored(t, want)
			s.assertEvents(t, s.root, s.ann, c.events...)
		})
	}
	run(t, "a taken e-mail, an unknown id or a busy hasher changes nothing", func(t *testing.T, s *fixture) {
		taken := domain.UserPatch{ProfilePatch: setEmail(s.bob.Email)}
		u, err := s.Update(t.Context(), s.root.Actor(), s.ann.ID, taken, anyVersion)
		assert.Equal(t, domain.ErrEmailTaken, err)
		assert.Zero(t, u)
		_, err = s.Update(t.Context(), s.root.Actor(), "unknown", setPassword, anyVersion)
		assert.Equal(t, domain.ErrNotFound, err)
		s.hasher.HashErr = domain.ErrBusy
		_, err = s.Update(t.Context(), s.root.Actor(), s.ann.ID, setPassword, anyVersion)
		assert.Equal(t, domain.ErrBusy, err)
		s.assertStored(t, s.ann)
		assert.Empty(t, s.events)
	})
}

func TestDelete(t *testing.T) {
	run(t, "a superuser deletes other accounts, also superusers", func(t *testing.T, s *fixture) {
		for _, u := range []domain.User{s.ann, s.sue} {
			s.events = nil
			require.NoError(t, s.Delete(t.Context(), s.root.Actor(), u.ID, domain.OnlyVersions(u.Version)))
			s.assertGone(t, u.Email)
			assert.Equal(t, domain.ErrNotFound, s.Delete(t.Context(), s.root.Actor(), u.ID, anyVersion))
			s.assertEvents(t, s.root, u, domain.EventUserDeleted)
		}
	})
	run(t, "a superuser cannot delete its own account", func(t *testing.T, s *fixture) {
		err := s.Delete(t.Context(), s.root.Actor(), s.root.ID, anyVersion)
		assert.Equal(t, domain.ErrCannotDeleteSelf, err)
		s.assertStored(t, s.root)
		err = s.Delete(t.Context(), signedOut(s.root), s.root.ID, anyVersion)
		assert.Equal(t, domain.ErrSignedOut, err)
		assert.Empty(t, s.events)
	})
}
