package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// documentedReply is an operation and one of its documented statuses.
type documentedReply struct {
	operation string
	status    int
}

// trigger sends a request that gets a certain reply.
type trigger func(*contractFixture) reply

func TestEveryOperationGivesEachOfItsDocumentedReplies(t *testing.T) {
	t.Parallel()
	documented, triggers := map[documentedReply]bool{}, map[documentedReply]trigger{}
	for _, o := range operations() {
		for status := range o.Responses.Map() {
			code, err := strconv.Atoi(status)
			require.NoError(t, err)
			documented[documentedReply{o.OperationID, code}] = true
		}
		maps.Copy(triggers, o.commonTriggers())
	}
	maps.Copy(triggers, specialTriggers)
	for d := range documented {
		assert.NotNil(t, triggers[d], "no trigger for the documented reply %v", d)
	}

	shared := newContractFixture(t)
	for d, send := range triggers {
		t.Run(fmt.Sprintf("%s %d", d.operation, d.status), func(t *testing.T) {
			t.Parallel()
			require.True(t, documented[d], "the document lacks this reply")
			r := send(shared.in(t))
			assert.Equal(t, d, documentedReply{r.operation, r.status}, "%s: %s", r.call, r.body)
		})
	}
}

// contractFixture is the services that the replies come from, and an account with an item.
type contractFixture struct {
	t      *testing.T
	nobody client // without a token
	admin  client // of a healthy service
	slow   client // of a service that does not wait for bodies
	outage client // of a service whose store is unavailable
	racy   client // of a service where another superuser is always faster
	behind client // of a service behind the gateway of Snowflake, without a token
	account
}

// account is an ordinary account with an item, a session and a client.
type account struct {
	user         client
	userID       string
	email        string
	itemID       string
	refreshToken string // of the session
	sessionID    string
	clientID     string
	reader       client // signed in as the client, which is read-only
}

func newContractFixture(t *testing.T) *contractFixture {
	var unavailable atomic.Bool
	outage := newServiceOn(t, faultyStore{memory.New(), func(context.Context, string) error {
		if unavailable.Load() {
			return domain.ErrUnavailable
		}
		return nil
	}})
	racy := newServiceOn(t, faultyStore{memory.New(), func(_ context.Context, method string) error {
		if method == "DeleteUser" {
			return domain.ErrLastSuperuser
		}
		return nil
	}})
	f := &contractFixture{
		admin:  newService(t).admin(t),
		slow:   newService(t, "--request-timeout=300ms").unknownAccount(t),
		outage: outage.admin(t),
		racy:   racy.admin(t),
		behind: newServiceBehindGateway(t, true).client(t),
	}
	f.account = newAccountWithItem(f.admin)
	unavailable.Store(true)
	return f.in(t)
}

func newAccountWithItem(admin client) account {
	a := account{email: newID() + "@example.com"}
	a.user, a.userID = admin.newAccount(a.email)
	a.itemID = strings.TrimPrefix(a.user.newItem("Snow shovel"), "/items/")
	a.refreshToken = a.user.request("POST", "/auth/login", signInForm(a.email, goodPassword)).text("refresh_token")
	a.sessionID = a.user.request("GET", "/users/me/sessions?limit=1", nil).rows()[0]["id"].(string)
	program := a.user.newClient(fields{"name": "a program", "read_only": true})
	a.clientID, a.reader = program.id, program.signIn(a.user)
	return a
}

// in returns the fixture for a subtest.
func (f contractFixture) in(t *testing.T) *contractFixture {
	f.t, f.nobody = t, client{t: t, origin: f.admin.origin}
	for _, c := range []*client{&f.admin, &f.slow, &f.outage, &f.racy, &f.behind, &f.user, &f.reader} {
		*c = c.in(t)
	}
	return &f
}

// replaceAccount replaces the shared account by a new one, which the test may change.
func (f *contractFixture) replaceAccount() { f.account = newAccountWithItem(f.admin) }

// specialTriggers are those of a single operation.
var specialTriggers = map[documentedReply]trigger{
	{"login", 401}: func(f *contractFixture) reply {
		return f.nobody.request("POST", "/auth/login", signInForm(f.email, "wrong"))
	},
	{"login", 429}: func(f *contractFixture) reply {
		f.replaceAccount()
		return repeated(func() reply { return f.nobody.request("POST", "/auth/login", signInForm(f.email, "wrong")) })
	},
	{"refresh", 429}: func(f *contractFixture) reply {
		other := newService(f.t).client(f.t) // the limit is for a source
		return repeated(func() reply { return other.request("POST", "/auth/refresh", refreshForm("unknown")) })
	},
	{"logout", 401}: func(f *contractFixture) reply {
		return f.nobody.request("POST", "/auth/logout", nil, "Authorization", "Bearer unknown")
	},
	{"logout", 429}: func(f *contractFixture) reply {
		other := newService(f.t).client(f.t)
		return repeated(func() reply { return other.request("POST", "/auth/logout", url.Values{"token": {"unknown"}}) })
	},
	{"signInWithSnowflake", 200}: func(f *contractFixture) reply { return f.behind.signInAs("ANN") },
	{"signInWithSnowflake", 401}: func(f *contractFixture) reply { return f.behind.signInAs("") },
	{"signInWithSnowflake", 404}: func(f *contractFixture) reply { return f.nobody.signInAs("ANN") },
	{"signInWithSnowflake", 429}: func(f *contractFixture) reply {
		other := newServiceBehindGateway(f.t, true).client(f.t)
		return repeated(func() reply { return other.signInAs("ANN") })
	},
	{"signInWithSnowflake", 503}: func(f *contractFixture) reply { return f.behind.signInAs("away") },
	{"createClient", 409}: func(f *contractFixture) reply {
		f.replaceAccount()
		for range domain.MaxClients - 1 {
			f.user.newClient(fields{"name": "one more"})
		}
		return f.user.request("POST", "/users/me/clients", fields{"name": "one too many"})
	},
	{"updateMe", 409}: func(f *contractFixture) reply {
		return f.user.request("PATCH", "/users/me", fields{"email": adminEmail})
	},
	{"updateMe", 429}: func(f *contractFixture) reply {
		f.replaceAccount()
		return repeated(func() reply { return f.user.request("PATCH", "/users/me", fields{"email": adminEmail}) })
	},
	{"deleteMe", 403}: func(f *contractFixture) reply { return f.admin.request("DELETE", "/users/me", nil) },
	{"changePassword", 403}: func(f *contractFixture) reply {
		return f.user.request("PATCH", "/users/me/password", fields{"current_password": "wrong", "new_password": goodPassword + "!"})
	},
	{"changePassword", 429}: func(f *contractFixture) reply {
		f.replaceAccount()
		return repeated(func() reply {
			return f.user.request("PATCH", "/users/me/password", fields{"current_password": "wrong", "new_password": goodPassword + "!"})
		})
	},
	{"createUser", 409}: func(f *contractFixture) reply {
		return f.admin.request("POST", "/users/", fields{"email": f.email, "password": goodPassword})
	},
	{"updateUser", 409}: func(f *contractFixture) reply {
		return f.admin.request("PATCH", "/users/"+f.userID, fields{"email": adminEmail})
	},
	{"deleteUser", 409}: func(f *contractFixture) reply { return f.racy.request("DELETE", "/users/"+newID(), nil) },
	{"getHealth", 503}: func(f *contractFixture) reply {
		draining := newService(f.t)
		draining.service.http.SetState(httpapi.Draining)
		return draining.client(f.t).request("GET", "/health", nil)
	},
}

// repeated repeats a call, three concurrently, until a reply is 429. It does not count the calls: a call that
// finds the hasher busy gets 503 and is no attempt.
func repeated(call func() reply) reply {
	const concurrent = 3
	for start := time.Now(); ; {
		replies := make(chan reply, concurrent)
		for range concurrent {
			go func() { replies <- call() }()
		}
		var last reply
		for range concurrent { // all of them, so that none outlives the test
			if r := <-replies; last.status != http.StatusTooManyRequests {
				last = r
			}
		}
		if last.status == http.StatusTooManyRequests || time.Since(start) > waitLimit {
			return last
		}
	}
}

// operation is an operation of the document.
type operation struct {
	*openapi3.Operation
	method, path string
}

func operations() []operation {
	var all []operation
	for path, item := range document().Paths.Map() {
		for method, o := range item.Operations() {
			whole := *o // a copy: all tests share the document
			whole.Parameters = append(slices.Clone(item.Parameters), o.Parameters...)
			all = append(all, operation{&whole, method, path})
		}
	}
	return all
}

func (o operation) public() bool { return o.Security != nil }

// signsIn reports whether the operation is one of signing in or out.
func (o operation) signsIn() bool { return slices.Contains(o.Tags, "auth") }

func (o operation) takes(parameter string) bool {
	return slices.ContainsFunc(o.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == parameter })
}

// commonTriggers returns the triggers that o has in common with operations of its kind.
func (o operation) commonTriggers() map[documentedReply]trigger {
	all := map[documentedReply]trigger{}
	add := func(status int, send trigger) { all[documentedReply{o.OperationID, status}] = send }

	success, _ := strconv.Atoi(slices.Min(slices.Collect(maps.Keys(o.Responses.Map()))))
	add(success, func(f *contractFixture) reply { f.replaceAccount(); return o.request(f, f.entitled(o)) })
	add(400, func(f *contractFixture) reply {
		return o.requestAt(f.entitled(o), o.pathTo(f)+"?%zz", o.body(f.account))
	})
	if !o.public() {
		add(401, func(f *contractFixture) reply { return o.request(f, f.nobody) })
		add(503, func(f *contractFixture) reply { return o.request(f, f.outage) })
	}
	if o.signsIn() {
		add(503, func(f *contractFixture) reply { return o.request(f, f.outage) })
	}
	switch {
	case o.signsIn():
		add(403, func(f *contractFixture) reply { return o.request(f, f.entitled(o), "Sec-Fetch-Site", "cross-site") })
	case slices.Contains(o.Tags, "users"):
		add(403, func(f *contractFixture) reply { return o.request(f, f.user) })
	case o.method != http.MethodGet:
		add(403, func(f *contractFixture) reply { return o.request(f, f.reader) })
	}
	if o.takes("id") {
		add(404, func(f *contractFixture) reply {
			return o.requestAt(f.entitled(o), strings.Replace(o.path, "{id}", newID(), 1), o.body(f.account))
		})
	}
	if o.takes("If-Match") {
		add(412, func(f *contractFixture) reply { return o.request(f, f.entitled(o), "If-Match", `"99"`) })
	}
	switch {
	case o.RequestBody != nil:
		add(408, func(f *contractFixture) reply {
			stalled, never := io.Pipe()
			f.t.Cleanup(func() { never.Close() })
			return o.requestAt(f.slow, o.pathTo(f), stalled, "Content-Type", o.mediaType())
		})
		add(413, func(f *contractFixture) reply {
			return o.requestAt(f.entitled(o), o.pathTo(f), strings.Repeat("x", 64<<10+1), "Content-Type", o.mediaType())
		})
		add(415, func(f *contractFixture) reply { return o.request(f, f.entitled(o), "Content-Type", "text/plain") })
		add(422, func(f *contractFixture) reply {
			if o.mediaType() == "application/json" {
				return o.requestAt(f.entitled(o), o.pathTo(f), fields{"nonsense": 1})
			}
			return o.requestAt(f.entitled(o), o.pathTo(f), url.Values{"nonsense": {"1"}})
		})
	case o.takes("id"):
		add(422, func(f *contractFixture) reply {
			return o.requestAt(f.entitled(o), strings.Replace(o.path, "{id}", "nonsense", 1), nil)
		})
	case o.takes("limit"):
		add(422, func(f *contractFixture) reply { return o.requestAt(f.entitled(o), o.path+"?limit=nonsense", nil) })
	}
	return all
}

// entitled returns a client that may do o.
func (f *contractFixture) entitled(o operation) client {
	switch {
	case o.public():
		return f.nobody
	case slices.Contains(o.Tags, "users"):
		return f.admin
	}
	return f.user
}

// request sends a valid request for o as the given client, with the given headers.
func (o operation) request(f *contractFixture, by client, header ...string) reply {
	return o.requestAt(by, o.pathTo(f), o.body(f.account), header...)
}

func (o operation) requestAt(by client, path string, body any, header ...string) reply {
	return by.request(o.method, path, body, header...)
}

// pathTo returns the path of the fixture's account, or of what that has.
func (o operation) pathTo(f *contractFixture) string {
	id := f.userID
	switch {
	case slices.Contains(o.Tags, "items"):
		id = f.itemID
	case strings.Contains(o.path, "/sessions/"):
		id = f.sessionID
	case strings.Contains(o.path, "/clients/"):
		id = f.clientID
	}
	return strings.Replace(o.path, "{id}", id, 1)
}

func (o operation) mediaType() string {
	for mediaType := range o.RequestBody.Value.Content {
		return mediaType
	}
	return ""
}

// body returns a valid body, or nil if o takes none.
func (o operation) body(a account) any {
	if o.RequestBody == nil {
		return nil
	}
	return map[string]any{
		"login":          signInForm(a.email, goodPassword),
		"refresh":        refreshForm(a.refreshToken),
		"logout":         url.Values{"token": {a.refreshToken}},
		"createClient":   fields{"name": "a program"},
		"updateMe":       fields{"full_name": "Ann"},
		"changePassword": fields{"current_password": goodPassword, "new_password": goodPassword + "!"},
		"createUser":     fields{"email": newID() + "@example.com", "password": goodPassword},
		"updateUser":     fields{"full_name": "Ann"},
		"createItem":     fields{"title": "Ice scraper"},
		"updateItem":     fields{"title": "Ice scraper"},
	}[o.OperationID]
}
