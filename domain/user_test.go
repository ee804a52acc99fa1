package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// ann is an account that tests change copies of.
var ann = domaintest.User(domaintest.WithFullName("Ann"), func(u *domain.User) { u.Version, u.Epoch = 5, 3 })

var noName domain.Optional[domain.FullName]

func TestUserRevise(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*domain.User)
		epoch  int64
	}{
		"a new e-mail keeps tokens valid":   {domaintest.WithEmail(domaintest.Email("new@example.com")), 3},
		"a new name keeps tokens valid":     {domaintest.WithFullName("New"), 3},
		"a removed name keeps tokens valid": {func(u *domain.User) { u.FullName = noName }, 3},
		"a new password ends all tokens":    {domaintest.WithPasswordHash("new"), 4},
		"a new role ends all tokens":        {domaintest.Superuser, 4},
		"a Snowflake user keeps them valid": {domaintest.WithSnowflakeUser("ANN"), 3},
		"deactivation ends all tokens":      {domaintest.Inactive, 4},
		"several such changes increase Epoch by one": {func(u *domain.User) {
			u.PasswordHash, u.Superuser, u.Active = "new", true, false
		}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			next := ann
			c.change(&next)
			want := next
			want.Version, want.Epoch, want.UpdatedAt = 6, c.epoch, domaintest.Later

			got, differs := ann.Revise(next, domaintest.Later)
			assert.True(t, differs)
			assert.Equal(t, want, got)
		})
	}
	t.Run("another Snowflake user, or none any more, ends all tokens", func(t *testing.T) {
		linked := ann
		domaintest.WithSnowflakeUser("ANN")(&linked)
		for _, change := range []func(*domain.User){
			domaintest.WithSnowflakeUser("BOB"),
			func(u *domain.User) { u.SnowflakeUser = domain.Optional[domain.SnowflakeUser]{} },
		} {
			next := linked
			change(&next)
			got, _ := linked.Revise(next, domaintest.Later)
			assert.EqualValues(t, 4, got.Epoch)
		}
	})
	t.Run("without a change there is no new version", func(t *testing.T) {
		got, differs := ann.Revise(ann, domaintest.Later)
		assert.False(t, differs)
		assert.Equal(t, ann, got)
	})
}

func TestTheActorOfAnAccountHasItsEpochAndRole(t *testing.T) {
	u := ann
	assert.Equal(t, domain.Actor{ID: ann.ID, Epoch: 3}, u.Actor())
	u.Superuser = true
	assert.Equal(t, domain.Actor{ID: ann.ID, Epoch: 3, Superuser: true}, u.Actor())
}

func TestUserPatch(t *testing.T) {
	email, name := domaintest.Email("new@example.com"), domaintest.FullName("New")
	profile := func(p domain.ProfilePatch) domain.UserPatch { return domain.UserPatch{ProfilePatch: p} }
	for test, c := range map[string]struct {
		patch domain.UserPatch
		want  func(*domain.User)
	}{
		"an empty patch changes nothing": {domain.UserPatch{}, func(*domain.User) {}},
		"an e-mail replaces only the e-mail": {
			profile(domain.ProfilePatch{Email: domain.Some(email)}), domaintest.WithEmail(email),
		},
		"a name replaces only the name": {
			profile(domain.ProfilePatch{FullName: domain.Some(name)}), domaintest.WithFullName("New"),
		},
		"an absent name removes only the name": {
			profile(domain.ProfilePatch{FullName: domain.Some(noName)}), func(u *domain.User) { u.FullName = noName },
		},
		"an activation replaces only the activation": {
			domain.UserPatch{Active: domain.Some(false)}, domaintest.Inactive,
		},
		"a role replaces only the role": {domain.UserPatch{Superuser: domain.Some(true)}, domaintest.Superuser},
		"a password does not replace the hash": {
			domain.UserPatch{Password: domain.Some(domain.Password{})}, func(*domain.User) {},
		},
	} {
		t.Run(test, func(t *testing.T) {
			want := ann
			c.want(&want)
			assert.Equal(t, want, c.patch.ApplyTo(ann))
		})
	}
}

func TestASignOutEverywhereRaisesTheEpochByOne(t *testing.T) {
	u := domaintest.User(func(u *domain.User) { u.Version, u.Epoch = 7, 5 })
	next, differs := u.Revise(u.SignedOut(), domaintest.Later)
	want := u
	want.Version, want.Epoch, want.UpdatedAt = 8, 6, domaintest.Later
	assert.True(t, differs)
	assert.Equal(t, want, next)
}

func TestTheLimitsOfCredentials(t *testing.T) {
	const day = 24 * time.Hour
	assert.Equal(t, []time.Duration{7 * day, 30 * day, 366 * day, 90 * day, 15 * time.Minute}, []time.Duration{
		domain.SessionIdle, domain.SessionLife, domain.MaxClientLife, domain.DefaultClientLife, domain.MaxAuthAge,
	})
}
