package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// guess signs in with wrong passwords until the service refuses to check one. It checks that the service has
// checked so many, and that one more was possible after each interval.
func (r *testService) guess(t *testing.T, burst int, interval time.Duration, email, source func(i int) string) {
	t.Helper()
	start, i := time.Now(), 0
	for ; ; i++ {
		reply := r.signInFrom(t, source(i), email(i), "a wrong password")
		if reply.status == http.StatusTooManyRequests {
			assert.Regexp(t, `^([1-9]|[1-5][0-9]|60)$`, reply.header.Get("Retry-After"))
			break
		}
		reply.refused(http.StatusUnauthorized, "bad_credentials")
		require.LessOrEqual(t, i, burst+int(time.Since(start)/interval))
	}
	assert.GreaterOrEqual(t, i, burst)
}

func (r *testService) signInFrom(t *testing.T, source, email, password string) reply {
	t.Helper()
	return r.client(t).request("POST", "/auth/login", signInForm(email, password), "X-Client-Name", source)
}

func TestThirtyFailuresOfASourceBlockItForASecond(t *testing.T) {
	t.Parallel()
	r := newService(t, "--source-header=X-Client-Name")
	for range 40 { // a success costs nothing
		r.signInFrom(t, "attacker", adminEmail, adminPassword).is(http.StatusOK)
	}
	email := func(i int) string { return fmt.Sprint(i, "@example.com") }
	r.guess(t, 30, time.Second, email, func(int) string { return "attacker" })
	r.signInFrom(t, "another", adminEmail, adminPassword).is(http.StatusOK)
}

func TestAHundredFailuresOfAnAccountFromManySourcesBlockNewDevicesForAMinute(t *testing.T) {
	t.Parallel()
	r := newService(t, "--source-header=X-Client-Name")
	r.signInFrom(t, "home", adminEmail, adminPassword).is(http.StatusOK)
	admin := func(int) string { return adminEmail }
	r.guess(t, 100, time.Minute, admin, func(i int) string { return fmt.Sprint("attacker ", i/9) })
	blocked := r.signInFrom(t, "a new device", adminEmail, adminPassword)
	blocked.refused(http.StatusTooManyRequests, "too_many_attempts")
	r.signInFrom(t, "home", adminEmail, adminPassword).is(http.StatusOK)
}

func TestGuessesWithAStolenTokenDoNotBlockTheOwner(t *testing.T) {
	t.Parallel()
	r := newService(t)
	stolen, _ := r.admin(t).newAccount("ann@example.com")
	owner := r.client(t).signIn("ann@example.com", goodPassword)
	guess := fields{"current_password": "a wrong password", "new_password": goodPassword + "!"}
	for range 10 {
		stolen.request("PATCH", "/users/me/password", guess).refused(http.StatusForbidden, "wrong_password")
	}
	require.Eventually(t, func() bool { // one more every six seconds
		return stolen.request("PATCH", "/users/me/password", guess).status == http.StatusTooManyRequests
	}, waitLimit, time.Millisecond)
	change := fields{"current_password": goodPassword, "new_password": goodPassword + "!"}
	owner.request("PATCH", "/users/me/password", change).is(http.StatusNoContent)
	stolen.request("GET", "/users/me", nil).is(http.StatusUnauthorized)
}

func TestNewTokensGiveNoNewGuesses(t *testing.T) {
	t.Parallel()
	r := newService(t)
	ann, _ := r.admin(t).newAccount("ann@example.com")
	g, p := ann.signInFully("ann@example.com"), ann.newClient(fields{"name": "x"})
	for name, another := range map[string]func() client{
		"of a session": func() client { return ann.with(grantOf(ann.refresh(g.refresh)).access) },
		"of a client":  func() client { return p.signIn(ann) },
	} {
		guess := fields{"current_password": "a wrong password", "new_password": goodPassword + "!"}
		for range 10 {
			another().request("PATCH", "/users/me/password", guess).refused(http.StatusForbidden, "wrong_password")
		}
		assert.Eventually(t, func() bool { // one more every six seconds
			return another().request("PATCH", "/users/me/password", guess).status == http.StatusTooManyRequests
		}, waitLimit, time.Millisecond, name)
	}
}
