package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var (
	created = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)
	now     = created.Add(time.Hour)
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func someUser() domain.User {
	return domain.User{
		ID: "u", Email: must(domain.ParseEmail("old@example.com")), FullName: domain.Some(must(domain.ParseFullName("Old"))),
		PasswordHash: "old", Active: true, Version: 5, Epoch: 3, CreatedAt: created, UpdatedAt: created,
	}
}

func TestUserRevise(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*domain.User)
		epoch  int64
	}{
		"a new e-mail leaves tokens alive":       {func(u *domain.User) { u.Email = must(domain.ParseEmail("new@example.com")) }, 3},
		"a new name leaves tokens alive":         {func(u *domain.User) { u.FullName = domain.Some(must(domain.ParseFullName("New"))) }, 3},
		"a name that goes leaves tokens alive":   {func(u *domain.User) { u.FullName = domain.Optional[domain.FullName]{} }, 3},
		"a new password ends all tokens":         {func(u *domain.User) { u.PasswordHash = "new" }, 4},
		"a new role ends all tokens":             {func(u *domain.User) { u.Superuser = true }, 4},
		"deactivation ends all tokens":           {func(u *domain.User) { u.Active = false }, 4},
		"several such changes end them but once": {func(u *domain.User) { u.PasswordHash, u.Superuser, u.Active = "new", true, false }, 4},
	} {
		t.Run(name, func(t *testing.T) {
			old := someUser()
			next := old
			c.change(&next)
			want := next
			want.Version, want.Epoch, want.UpdatedAt = 6, c.epoch, now

			got, differs := old.Revise(next, now)
			assert.True(t, differs)
			assert.Equal(t, want, got)
		})
	}
	t.Run("no change is no new version", func(t *testing.T) {
		got, differs := someUser().Revise(someUser(), now)
		assert.False(t, differs)
		assert.Equal(t, someUser(), got)
	})
}

func TestUserActorIsWhoTheAccountIsWhenItAsks(t *testing.T) {
	u := someUser()
	assert.Equal(t, domain.Actor{ID: "u", Epoch: 3}, u.Actor())
	u.Superuser = true
	assert.Equal(t, domain.Actor{ID: "u", Epoch: 3, Superuser: true}, u.Actor())
}

func TestUserPatch(t *testing.T) {
	email, name := must(domain.ParseEmail("new@example.com")), domain.Some(must(domain.ParseFullName("New")))
	for field, c := range map[string]struct {
		patch  domain.UserPatch
		change func(*domain.User)
	}{
		"nothing":                {domain.UserPatch{}, func(*domain.User) {}},
		"the e-mail":             {domain.UserPatch{ProfilePatch: domain.ProfilePatch{Email: domain.Some(email)}}, func(u *domain.User) { u.Email = email }},
		"the name":               {domain.UserPatch{ProfilePatch: domain.ProfilePatch{FullName: domain.Some(name)}}, func(u *domain.User) { u.FullName = name }},
		"a name that goes":       {domain.UserPatch{ProfilePatch: domain.ProfilePatch{FullName: domain.Some(domain.Optional[domain.FullName]{})}}, func(u *domain.User) { u.FullName = domain.Optional[domain.FullName]{} }},
		"whether active":         {domain.UserPatch{Active: domain.Some(false)}, func(u *domain.User) { u.Active = false }},
		"whether superuser":      {domain.UserPatch{Superuser: domain.Some(true)}, func(u *domain.User) { u.Superuser = true }},
		"no hash for a password": {domain.UserPatch{Password: domain.Some(domain.Password{})}, func(*domain.User) {}},
	} {
		t.Run("replaces "+field+" alone", func(t *testing.T) {
			want := someUser()
			c.change(&want)
			assert.Equal(t, want, c.patch.ApplyTo(someUser()))
		})
	}
}
