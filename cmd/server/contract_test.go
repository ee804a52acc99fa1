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

// answer is an operation and one of the statuses that it may give.
type answer struct {
	operation string
	status    int
}

// provocation makes a request that gets a certain answer.
type provocation func(*cast) reply

func TestEveryDocumentedAnswerOfEveryOperationIsGiven(t *testing.T) {
	t.Parallel()
	documented, provocations := map[answer]bool{}, maps.Clone(particular)
	for _, o := range operations() {
		for status := range o.Responses.Map() {
			code, err := strconv.Atoi(status)
			require.NoError(t, err)
			documented[answer{o.OperationID, code}] = true
		}
		maps.Copy(provocations, o.general())
	}
	for a := range documented {
		assert.Contains(t, provocations, a, "the document has an answer that nothing here provokes")
	}

	stage := newStage(t)
	for a, provoke := range provocations {
		t.Run(fmt.Sprintf("%s %d", a.operation, a.status), func(t *testing.T) {
			t.Parallel()
			require.Contains(t, documented, a, "the document lacks this answer")
			r := provoke(stage.cast(t))
			assert.Equal(t, a, answer{r.operation, r.status}, "%s: %s", r.call, r.body)
		})
	}
}

// stage is the services that the answers come from.
type stage struct {
	admin client // of a service that is well
	slow  client // of a service that does not wait for bodies
	cut   client // of a service whose store is away
	racy  client // of a service where another superuser is always faster
	regular
}

// regular is an ordinary account with an item.
type regular struct {
	user   client
	userID string
	email  string
	itemID string
}

func newStage(t *testing.T) *stage {
	var away atomic.Bool
	cut := newServiceOn(t, faultyStore{memory.New(), func(context.Context, string) error {
		if away.Load() {
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
	s := &stage{
		admin: newService(t).admin(t),
		slow:  newService(t, "--request-timeout=300ms").unknownAccount(t),
		cut:   cut.admin(t),
		racy:  racy.admin(t),
	}
	s.regular = newRegular(s.admin)
	away.Store(true)
	return s
}

func newRegular(admin client) regular {
	a := regular{email: newID() + "@example.com"}
	a.user, a.userID = admin.newAccount(a.email)
	a.itemID = strings.TrimPrefix(a.user.newItem("Snow shovel"), "/items/")
	return a
}

// cast is who takes part in one test.
type cast struct {
	stage
	t      *testing.T
	nobody client
}

func (s *stage) cast(t *testing.T) *cast {
	c := &cast{*s, t, client{t: t, origin: s.admin.origin}}
	for _, who := range []*client{&c.admin, &c.slow, &c.cut, &c.racy, &c.user} {
		*who = who.in(t)
	}
	return c
}

// afresh replaces the account that all tests share by one to change.
func (c *cast) afresh() *cast {
	c.regular = newRegular(c.admin)
	return c
}

// particular are the provocations that one operation has to itself.
var particular = map[answer]provocation{
	{"login", 401}: func(c *cast) reply {
		return c.nobody.request("POST", "/auth/login", signInForm(c.email, "wrong"))
	},
	{"login", 429}: func(c *cast) reply {
		c.afresh()
		return repeated(func() reply { return c.nobody.request("POST", "/auth/login", signInForm(c.email, "wrong")) })
	},
	{"updateMe", 409}: func(c *cast) reply {
		return c.user.request("PATCH", "/users/me", fields{"email": adminEmail})
	},
	{"updateMe", 429}: func(c *cast) reply {
		c.afresh()
		return repeated(func() reply { return c.user.request("PATCH", "/users/me", fields{"email": adminEmail}) })
	},
	{"deleteMe", 403}: func(c *cast) reply { return c.admin.request("DELETE", "/users/me", nil) },
	{"changePassword", 403}: func(c *cast) reply {
		return c.user.request("PATCH", "/users/me/password", fields{"current_password": "wrong", "new_password": goodPassword + "!"})
	},
	{"changePassword", 429}: func(c *cast) reply {
		c.afresh()
		return repeated(func() reply {
			return c.user.request("PATCH", "/users/me/password", fields{"current_password": "wrong", "new_password": goodPassword + "!"})
		})
	},
	{"createUser", 409}: func(c *cast) reply {
		return c.admin.request("POST", "/users/", fields{"email": c.email, "password": goodPassword})
	},
	{"updateUser", 409}: func(c *cast) reply {
		return c.admin.request("PATCH", "/users/"+c.userID, fields{"email": adminEmail})
	},
	{"deleteUser", 409}: func(c *cast) reply { return c.racy.request("DELETE", "/users/"+newID(), nil) },
	{"getHealth", 503}: func(c *cast) reply {
		draining := newService(c.t)
		draining.service.http.SetState(httpapi.Draining)
		return draining.client(c.t).request("GET", "/health", nil)
	},
}

// repeated makes a call again and again, a few at a time, until it is answered 429. It is not
// counted how often: an attempt that finds too much hashing under way is 503, and is none.
func repeated(call func() reply) reply {
	const atOnce = 3
	for start := time.Now(); ; {
		replies := make(chan reply, atOnce)
		for range atOnce {
			go func() { replies <- call() }()
		}
		var last reply
		for range atOnce { // all of them: none may outlive the test
			if r := <-replies; last.status != http.StatusTooManyRequests {
				last = r
			}
		}
		if last.status == http.StatusTooManyRequests || time.Since(start) > waitLimit {
			return last
		}
	}
}

// operation is one of the document's.
type operation struct {
	*openapi3.Operation
	method, path string
}

func operations() []operation {
	var all []operation
	for path, item := range document().Paths.Map() {
		for method, o := range item.Operations() {
			whole := *o // the document is every test's
			whole.Parameters = append(slices.Clone(item.Parameters), o.Parameters...)
			all = append(all, operation{&whole, method, path})
		}
	}
	return all
}

func (o operation) public() bool { return o.Security != nil }

func (o operation) takes(parameter string) bool {
	return slices.ContainsFunc(o.Parameters, func(p *openapi3.ParameterRef) bool { return p.Value.Name == parameter })
}

// general returns the provocations that every operation of its kind has.
func (o operation) general() map[answer]provocation {
	all := map[answer]provocation{}
	add := func(status int, p provocation) { all[answer{o.OperationID, status}] = p }

	success, _ := strconv.Atoi(slices.Min(slices.Collect(maps.Keys(o.Responses.Map()))))
	add(success, func(c *cast) reply { c.afresh(); return o.do(c, c.entitled(o)) })
	add(400, func(c *cast) reply { return o.at(c, c.entitled(o), o.pathTo(c)+"?%zz", o.body(c.email)) })
	if !o.public() {
		add(401, func(c *cast) reply { return o.do(c, c.nobody) })
		add(503, func(c *cast) reply { return o.do(c, c.cut) })
	}
	if o.OperationID == "login" {
		add(503, func(c *cast) reply { return o.do(c, client{t: c.t, origin: c.cut.origin}) })
	}
	if slices.Contains(o.Tags, "users") {
		add(403, func(c *cast) reply { return o.do(c, c.user) })
	}
	if o.takes("id") {
		add(404, func(c *cast) reply {
			return o.at(c, c.entitled(o), strings.Replace(o.path, "{id}", newID(), 1), o.body(c.email))
		})
	}
	if o.takes("If-Match") {
		add(412, func(c *cast) reply { return o.do(c, c.entitled(o), "If-Match", `"99"`) })
	}
	switch {
	case o.RequestBody != nil:
		add(408, func(c *cast) reply {
			stalled, never := io.Pipe()
			c.t.Cleanup(func() { never.Close() })
			return o.at(c, c.slow, o.pathTo(c), stalled, "Content-Type", o.mediaType())
		})
		add(413, func(c *cast) reply {
			return o.at(c, c.entitled(o), o.pathTo(c), strings.Repeat("x", 64<<10+1), "Content-Type", o.mediaType())
		})
		add(415, func(c *cast) reply { return o.do(c, c.entitled(o), "Content-Type", "text/plain") })
		add(422, func(c *cast) reply {
			if o.mediaType() == "application/json" {
				return o.at(c, c.entitled(o), o.pathTo(c), fields{"nonsense": 1})
			}
			return o.at(c, c.entitled(o), o.pathTo(c), url.Values{"nonsense": {"1"}})
		})
	case o.takes("id"):
		add(422, func(c *cast) reply {
			return o.at(c, c.entitled(o), strings.Replace(o.path, "{id}", "nonsense", 1), nil)
		})
	case o.takes("limit"):
		add(422, func(c *cast) reply { return o.at(c, c.entitled(o), o.path+"?limit=nonsense", nil) })
	}
	return all
}

// entitled is who may do o.
func (c *cast) entitled(o operation) client {
	switch {
	case o.public():
		return c.nobody
	case slices.Contains(o.Tags, "users"):
		return c.admin
	}
	return c.user
}

// do makes a request for o that nothing is wrong with, but who makes it and the given headers.
func (o operation) do(c *cast, by client, header ...string) reply {
	return o.at(c, by, o.pathTo(c), o.body(c.email), header...)
}

func (o operation) at(c *cast, by client, path string, body any, header ...string) reply {
	return by.request(o.method, path, body, header...)
}

// pathTo is the path of the cast's own account or item.
func (o operation) pathTo(c *cast) string {
	id := c.userID
	if slices.Contains(o.Tags, "items") {
		id = c.itemID
	}
	return strings.Replace(o.path, "{id}", id, 1)
}

func (o operation) mediaType() string {
	for mediaType := range o.RequestBody.Value.Content {
		return mediaType
	}
	return ""
}

// body is a valid one, nil for an operation that takes none.
func (o operation) body(email string) any {
	if o.RequestBody == nil {
		return nil
	}
	return map[string]any{
		"login":          signInForm(email, goodPassword),
		"updateMe":       fields{"full_name": "Ann"},
		"changePassword": fields{"current_password": goodPassword, "new_password": goodPassword + "!"},
		"createUser":     fields{"email": newID() + "@example.com", "password": goodPassword},
		"updateUser":     fields{"full_name": "Ann"},
		"createItem":     fields{"title": "Ice scraper"},
		"updateItem":     fields{"title": "Ice scraper"},
	}[o.OperationID]
}
