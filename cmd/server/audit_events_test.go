package main

import (
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// documentedEvents returns the audit events of the table in docs/operations.md.
func documentedEvents(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(moduleRoot + "/docs/operations.md")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(text), "| event | what happened | object |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	var events []string
	for line := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), "|")
		for _, name := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(first, -1) {
			events = append(events, name[1])
		}
	}
	return events
}

// walk is what a test of audit events does. Each step names the events that it causes, and their object.
type walk struct {
	*testService
	t    *testing.T
	seen []string
}

// lines runs step and returns its audit lines. It checks that no log line has a secret.
func (w *walk) lines(step func(), secrets ...string) (lines []map[string]any) {
	w.t.Helper()
	w.logs.TakeAll()
	step()
	for _, line := range w.logs.FilterMessage("audit").All() {
		lines = append(lines, line.ContextMap())
		w.seen = append(w.seen, line.ContextMap()["event"].(string))
	}
	written := w.written(w.t)
	for _, secret := range append(secrets, goodPassword, "wrong password", "echo_rt_", "echo_cs_", "@example.com") {
		assert.NotContains(w.t, written, secret)
	}
	return lines
}

// causes runs step and checks that it causes exactly these events about the object.
func (w *walk) causes(object string, events []string, step func(), secrets ...string) {
	w.t.Helper()
	var got []string
	for _, line := range w.lines(step, secrets...) {
		got = append(got, line["event"].(string))
		assert.Equal(w.t, object, line["object_id"], line["event"])
	}
	assert.Equal(w.t, events, got)
}

func TestEachUseCaseHasTheAuditEventsOfTheDocument(t *testing.T) {
	t.Parallel()
	w := &walk{testService: newServiceBehindGateway(t, true), t: t}
	for _, line := range w.logs.FilterMessage("audit").All() {
		w.seen = append(w.seen, line.ContextMap()["event"].(string)) // first_superuser_created
	}
	admin := w.admin(t)
	ann, annID := admin.newAccount("ann@example.com")
	w.seen = append(w.seen, domain.EventUserCreated)

	w.walkSessions(ann, annID)
	w.walkClients(ann, annID)
	w.walkAccounts(admin, ann, annID)
	w.walkItems(admin, ann)
	w.walkRefusals(ann, annID)

	assert.ElementsMatch(t, documentedEvents(t), slices.Compact(slices.Sorted(slices.Values(w.seen))))
}

// sessionOf returns the id of the session that the access token belongs to.
func (w *walk) sessionOf(access string) string {
	w.t.Helper()
	actor, err := w.service.tokens.Verify(access)
	require.NoError(w.t, err)
	return actor.SessionID
}

func (w *walk) walkSessions(ann client, annID string) {
	var g grant
	signIn := func() { g = ann.signInFully("ann@example.com") }
	line := w.lines(signIn)[0]
	assert.Equal(w.t, []any{domain.EventSignedIn, "password", annID, w.sessionOf(g.access)},
		[]any{line["event"], line["kind"], line["actor_id"], line["object_id"]})
	w.causes("", nil, func() { g = grantOf(ann.refresh(g.refresh)) })
	w.causes(w.sessionOf(g.access), []string{domain.EventSignedOut}, func() {
		ann.request("POST", "/auth/logout", url.Values{"token": {g.refresh}}).is(http.StatusNoContent)
	})
	w.causes("", nil, func() { // there is no session any more
		ann.request("POST", "/auth/logout", url.Values{"token": {g.refresh}}).is(http.StatusNoContent)
	})
	signIn()
	w.causes(w.sessionOf(g.access), []string{domain.EventSignedOut}, func() {
		ann.request("DELETE", "/users/me/sessions/"+w.sessionOf(g.access), nil).is(http.StatusNoContent)
	})
	signIn()
	w.causes(w.sessionOf(g.access), []string{domain.EventRefreshTokenReused}, func() {
		second := grantOf(ann.refresh(g.refresh))
		ann.refresh(second.refresh).is(http.StatusOK)
		ann.refresh(g.refresh).is(http.StatusBadRequest)
	})
	w.causes("", nil, func() { ann.refresh("unknown").is(http.StatusBadRequest) })
}

func (w *walk) walkClients(ann client, annID string) {
	var p program
	line := w.lines(func() { p = ann.newClient(fields{"name": "of ann"}) })[0]
	assert.Equal(w.t, []any{domain.EventClientCreated, annID, p.id}, []any{line["event"], line["actor_id"], line["object_id"]})
	w.causes(p.id, []string{domain.EventClientFirstUsed}, func() { p.signIn(ann); p.signIn(ann) }, p.secret)
	w.causes(p.id, []string{domain.EventClientSignInFailed}, func() {
		form := program{p.id, "echo_cs_wrong"}.form()
		ann.request("POST", "/auth/login", form).is(http.StatusUnauthorized)
	})
	w.causes(p.id, []string{domain.EventClientDeleted}, func() {
		ann.request("DELETE", "/users/me/clients/"+p.id, nil).is(http.StatusNoContent)
	})
}

func (w *walk) walkAccounts(admin, ann client, annID string) {
	path := "/users/" + annID
	w.causes(annID, []string{domain.EventProfileChanged}, func() {
		admin.request("PATCH", path, fields{"full_name": "Ann"}).is(http.StatusOK)
	})
	for _, user := range []any{"ANN", nil} {
		w.causes(annID, []string{domain.EventSnowflakeUserChanged}, func() {
			admin.request("PATCH", path, fields{"snowflake_user": user}).is(http.StatusOK)
		})
	}
	ann = ann.signIn("ann@example.com", goodPassword) // the second change has ended the token
	w.causes(annID, []string{domain.EventPasswordCheckFailed}, func() {
		body := fields{"current_password": "wrong password", "new_password": "another " + goodPassword}
		ann.request("PATCH", "/users/me/password", body).is(http.StatusForbidden)
	})
	w.causes(annID, []string{domain.EventSignedOutEverywhere}, func() {
		ann.request("POST", "/auth/logout-all", nil).is(http.StatusNoContent)
	})
	w.causes(annID, []string{domain.EventSignedOutEverywhere}, func() {
		admin.request("DELETE", path+"/sessions", nil).is(http.StatusNoContent)
	})
	w.causes(annID, []string{domain.EventPasswordChanged}, func() {
		admin.request("PATCH", path, fields{"password": "another " + goodPassword}).is(http.StatusOK)
	})
	w.causes(annID, []string{domain.EventRoleChanged, domain.EventActivationChanged}, func() {
		admin.request("PATCH", path, fields{"is_superuser": true, "is_active": false}).is(http.StatusOK)
	})
	admin.request("PATCH", path, fields{"is_superuser": false, "is_active": true}).is(http.StatusOK)
	_, bobID := admin.newAccount("bob@example.com")
	w.causes(bobID, []string{domain.EventUserDeleted}, func() {
		admin.request("DELETE", "/users/"+bobID, nil).is(http.StatusNoContent)
	})
	var events []string
	for _, line := range w.lines(func() { admin.signInAs("EVE").is(http.StatusOK) }) {
		events = append(events, line["event"].(string)+" "+line["kind"].(string))
	}
	assert.Equal(w.t, []string{"user_created ", "snowflake_user_changed ", "signed_in snowflake"}, events)
}

func (w *walk) walkItems(admin, ann client) {
	bob, _ := admin.newAccount("bob@example.com")
	item := bob.newItem("of bob")
	id := strings.TrimPrefix(item, "/items/")
	w.causes(id, []string{domain.EventItemRead}, func() { admin.request("GET", item, nil).is(http.StatusOK) })
	w.causes(id, []string{domain.EventItemChanged}, func() {
		admin.request("PATCH", item, fields{"title": "changed"}).is(http.StatusOK)
	})
	w.causes(id, []string{domain.EventItemDeleted}, func() { admin.request("DELETE", item, nil).is(http.StatusNoContent) })
}

func (w *walk) walkRefusals(ann client, annID string) {
	w.causes("", []string{domain.EventSignInFailed}, func() { ann.signInAs("forged").is(http.StatusUnauthorized) })
	u, err := w.service.storage.UserForSignIn(w.t.Context(), domaintest.Email("ann@example.com"))
	require.NoError(w.t, err)
	require.NoError(w.t, w.service.storage.RehashForSignIn(w.t.Context(), annID, u.PasswordHash, "unreadable"))
	signIn := func() reply {
		return ann.request("POST", "/auth/login", signInForm("ann@example.com", "wrong password"))
	}
	w.causes(annID, []string{domain.EventPasswordHashUnreadable}, func() { signIn().is(http.StatusUnauthorized) })
	w.causes(annID, []string{domain.EventSignInThrottled}, func() {
		for range 20 {
			signIn()
		}
	})
	bob := ann.signIn("bob@example.com", goodPassword)
	w.lines(func() {
		for range 12 { // the first ones fail, the others are throttled
			body := fields{"current_password": "wrong password", "new_password": "x" + goodPassword}
			bob.request("PATCH", "/users/me/password", body)
		}
	})
}
