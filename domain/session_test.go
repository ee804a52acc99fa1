package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestARefreshExtendsASessionUpToItsEnd(t *testing.T) {
	s := domaintest.Session(domain.User{})
	now := domaintest.Later
	want := s
	want.Previous, want.Secret, want.RefreshedAt, want.ExpiresAt = s.Secret, "next", now, now.Add(7*24*time.Hour)
	assert.Equal(t, want, s.Refreshed("next", now))

	end := s.CreatedAt.Add(30 * 24 * time.Hour)
	assert.Equal(t, end, s.Refreshed("next", end.Add(-7*24*time.Hour)).ExpiresAt)
	assert.Equal(t, end, s.Refreshed("next", end.Add(-time.Microsecond)).ExpiresAt)
}

func TestACredentialWorksUnderItsEpochUntilItExpires(t *testing.T) {
	u := domaintest.User(func(u *domain.User) { u.Epoch = 5 })
	now := domaintest.Later
	inactive, earlier, later := u, u, u
	inactive.Active, earlier.Epoch, later.Epoch = false, 4, 6
	for name, c := range map[string]struct {
		account domain.User
		expires time.Time
		works   bool
	}{
		"the same epoch":      {u, now.Add(time.Microsecond), true},
		"expired":             {u, now, false},
		"an inactive account": {inactive, now.Add(time.Hour), false},
		"an earlier epoch":    {earlier, now.Add(time.Hour), false},
		"a later epoch":       {later, now.Add(time.Hour), false},
	} {
		session := domaintest.Session(u, func(s *domain.Session) { s.ExpiresAt = c.expires })
		client := domaintest.Client(u, func(cl *domain.Client) { cl.ExpiresAt = c.expires })
		assert.Equal(t, c.works, session.WorksFor(c.account, now), name)
		assert.Equal(t, c.works, client.WorksFor(c.account, now), name)
	}
}

func TestAUserAgentIsATextOfLimitedLength(t *testing.T) {
	longest := strings.Repeat("🦆", domain.MaxUserAgent)
	for given, want := range map[string]string{
		"":                   "",
		"curl/8.5.0":         "curl/8.5.0",
		longest:              longest,
		longest + "x":        longest,
		"a\x00b\xffc":        "a\uFFFDb\uFFFDc",
		"\xff\xfe" + longest: "\uFFFD" + longest[:4*(domain.MaxUserAgent-1)],
	} {
		assert.Equal(t, want, domain.UserAgentOf(given))
	}
}

func TestAFreshActorHasSignedInRecently(t *testing.T) {
	now := domaintest.Later
	assert.True(t, domain.Actor{AuthTime: now}.Fresh(now))
	assert.True(t, domain.Actor{AuthTime: now.Add(-15 * time.Minute)}.Fresh(now))
	assert.False(t, domain.Actor{AuthTime: now.Add(-15*time.Minute - 1)}.Fresh(now))
	assert.False(t, domain.Actor{}.Fresh(time.Time{}))
}
