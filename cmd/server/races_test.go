package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// race makes n concurrent requests and returns the sorted statuses of the replies.
func race(n int, request func(i int) reply) []int {
	statuses := make([]int, n)
	start := make(chan struct{})
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() {
			<-start
			statuses[i] = request(i).status
		})
	}
	close(start)
	calls.Wait()
	slices.Sort(statuses)
	return statuses
}

// oneWinner returns the sorted statuses of a race of n that one request wins.
func oneWinner(n, won, lost int) []int {
	statuses := slices.Repeat([]int{lost}, n)
	statuses[0] = won
	return statuses
}

// retryWhileBusy repeats request while the password hasher is busy.
func retryWhileBusy(request func() reply) reply {
	for {
		r := request()
		if r.status != http.StatusServiceUnavailable || r.text("code") != domain.ErrBusy.Code {
			return r
		}
		time.Sleep(25 * pollInterval)
	}
}

// fixture is a service and its store, in which a test can create accounts directly.
type fixture struct {
	*testService
	t     *testing.T
	store ports.Store
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	return newFixtureOn(t, newStore(t))
}

func newFixtureOn(t *testing.T, store ports.Store) fixture {
	t.Helper()
	return fixture{newServiceOn(t, store), t, store}
}

// account creates an account in the store. It returns a client that is signed in to the account, and the
// account's id.
func (f fixture) account(email string, changes ...func(*domain.User)) (client, string) {
	f.t.Helper()
	u := domaintest.User(append(changes, domaintest.WithEmail(domaintest.Email(email)))...)
	require.NoError(f.t, f.store.CreateSuperuserForOperator(f.t.Context(), u))
	tokens, err := newTokens(f.cfg)
	require.NoError(f.t, err)
	actor := u.Actor()
	actor.AuthTime = now()
	token, err := tokens.Issue(actor)
	require.NoError(f.t, err)
	c := f.client(f.t)
	c.token = token.Value
	return c, u.ID
}

func TestOneOfManyConcurrentCreationsOfAnEmailSucceeds(t *testing.T) {
	const clients = 64
	f := newFixture(t)
	admin := f.admin(t)
	email := "everybody@example.com"
	statuses := race(clients, func(i int) reply {
		spelling := []byte(email)
		spelling[i%8] -= 'a' - 'A'
		return retryWhileBusy(func() reply {
			return admin.request("POST", "/users/", fields{"email": string(spelling), "password": goodPassword})
		})
	})
	assert.Equal(t, oneWinner(clients, http.StatusCreated, http.StatusConflict), statuses)
	assert.Len(t, admin.request("GET", "/users/", nil).rows(), 2)
}

func TestOneOfManyConcurrentChangesToAnEmailSucceeds(t *testing.T) {
	const accounts = 64
	f := newFixture(t)
	owners := make([]client, accounts)
	for i := range owners {
		owners[i], _ = f.account(fmt.Sprintf("owner%d@example.com", i))
	}
	email := "everybody@example.com"
	statuses := race(accounts, func(i int) reply {
		spelling := email
		if i%2 == 0 {
			spelling = strings.ToUpper(email)
		}
		return retryWhileBusy(func() reply { return owners[i].request("PATCH", "/users/me", fields{"email": spelling}) })
	})
	assert.Equal(t, oneWinner(accounts, http.StatusOK, http.StatusConflict), statuses)
	var holders int
	for _, u := range f.admin(t).request("GET", "/users/", nil).rows() {
		if u["email"] == email {
			holders++
		}
	}
	assert.Equal(t, 1, holders)
}

func TestNoItemOutlivesItsOwner(t *testing.T) {
	const rounds, creations = 10, 8
	f := newFixture(t)
	admin := f.admin(t)
	for round := range rounds {
		owner, id := f.account(fmt.Sprintf("owner%d@example.com", round))
		var mu sync.Mutex
		var created []string
		statuses := race(creations+1, func(i int) reply {
			if i == creations/2 {
				return admin.request("DELETE", "/users/"+id, nil)
			}
			r := owner.request("POST", "/items/", fields{"title": "Snow shovel"})
			if r.status == http.StatusCreated {
				mu.Lock()
				defer mu.Unlock()
				created = append(created, r.text("id"))
			}
			return r
		})
		assert.Contains(t, statuses, http.StatusNoContent)
		for _, status := range statuses {
			assert.Contains(t, []int{http.StatusCreated, http.StatusNoContent, http.StatusUnauthorized}, status)
		}
		for _, item := range created {
			admin.request("GET", "/items/"+item, nil).refused(http.StatusNotFound, "not_found")
		}
		owner.request("GET", "/items/", nil).refused(http.StatusUnauthorized, "signed_out")
		owner.request("POST", "/items/", fields{"title": "Snow shovel"}).refused(http.StatusUnauthorized, "signed_out")
	}
}

func TestAtLeastOneOfManyConcurrentDeletionsSucceeds(t *testing.T) {
	const deletions = 16
	f := newFixture(t)
	admin := f.admin(t)
	_, id := f.account("ann@example.com")
	for _, path := range []string{"/users/" + id, admin.newItem("Snow shovel")} {
		statuses := race(deletions, func(int) reply {
			r := admin.request("DELETE", path, nil)
			for tries := 1; r.status == http.StatusServiceUnavailable && tries < 10; tries++ {
				r = admin.request("DELETE", path, nil) // as a client does when the store is busy
			}
			return r
		})
		assert.Equal(t, http.StatusNoContent, statuses[0])
		for _, status := range statuses {
			assert.Contains(t, []int{http.StatusNoContent, http.StatusNotFound}, status)
		}
		admin.request("GET", path, nil).refused(http.StatusNotFound, "not_found")
	}
}

func TestConcurrentChangesOfDifferentFieldsAreBothKept(t *testing.T) {
	store := racingStore{Store: newStore(t), userUpdate: newBarrier(2), itemUpdate: newBarrier(2)}
	f := newFixtureOn(t, store)
	admin := f.admin(t)
	ann, id := f.account("ann@example.com")
	item := ann.newItem("Snow shovel")
	changes := []func() reply{
		func() reply { return ann.request("PATCH", "/users/me", fields{"email": "new@example.com"}) },
		func() reply { return admin.request("PATCH", "/users/"+id, fields{"full_name": "Ann"}) },
		func() reply { return ann.request("PATCH", item, fields{"title": "Ice scraper"}) },
		func() reply { return admin.request("PATCH", item, fields{"description": "For windows"}) },
	}
	statuses := race(len(changes), func(i int) reply { return changes[i]() })
	assert.Equal(t, slices.Repeat([]int{http.StatusOK}, len(changes)), statuses)

	user := ann.request("GET", "/users/me", nil)
	assert.Equal(t, "new@example.com", user.text("email"))
	assert.Equal(t, "Ann", user.text("full_name"))
	read := ann.request("GET", item, nil)
	assert.Equal(t, "Ice scraper", read.text("title"))
	assert.Equal(t, "For windows", read.text("description"))
}

func TestOneOfTheLastTwoSuperusersRemains(t *testing.T) {
	const rounds = 10
	for name, c := range map[string]struct {
		method string
		body   any
		self   bool
	}{
		"when they demote each other":     {"PATCH", fields{"is_superuser": false}, false},
		"when they deactivate each other": {"PATCH", fields{"is_active": false}, false},
		"when they delete each other":     {"DELETE", nil, false},
		"when both resign":                {"PATCH", fields{"is_superuser": false}, true},
		"when both deactivate themselves": {"PATCH", fields{"is_active": false}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			var superusers [2]client
			var ids [2]string
			superusers[0], ids[0] = f.account("first@example.com", domaintest.Superuser)
			admin := f.admin(t)
			admin.request("PATCH", "/users/me", fields{"full_name": "To be deleted"}).is(http.StatusOK)
			adminID := admin.request("GET", "/users/me", nil).text("id")
			superusers[0].request("DELETE", "/users/"+adminID, nil).is(http.StatusNoContent)

			for round := range rounds {
				superusers[1], ids[1] = f.account(fmt.Sprintf("second%d@example.com", round), domaintest.Superuser)
				statuses := race(2, func(i int) reply {
					target := ids[1-i]
					if c.self {
						target = ids[i]
					}
					return superusers[i].request(c.method, "/users/"+target, c.body)
				})
				assert.Less(t, statuses[0], 300, "one succeeds")
				if c.self {
					assert.Equal(t, http.StatusConflict, statuses[1])
				} else {
					lost := []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict}
					assert.Contains(t, lost, statuses[1])
				}

				// The remaining superuser is the first one of the next round.
				if superusers[0].request("GET", "/users/", nil).status != http.StatusOK {
					superusers[0], ids[0] = superusers[1], ids[1]
				}
				var remaining int
				for _, u := range superusers[0].request("GET", "/users/", nil).rows() {
					if u["is_active"] == true && u["is_superuser"] == true {
						remaining++
					}
				}
				require.Equal(t, 1, remaining)
			}
		})
	}
}

func TestNoTokenOfAnOldPasswordWorksAfterItsChange(t *testing.T) {
	const rounds, signIns = 3, 6
	r := newService(t)
	ann, _ := r.admin(t).newAccount("ann@example.com")
	old := goodPassword
	for round := range rounds {
		fresh := fmt.Sprint("a fresh password ", round)
		var mu sync.Mutex
		var tokens []string
		statuses := race(signIns+1, func(i int) reply {
			if i == signIns/2 {
				return retryWhileBusy(func() reply {
					change := fields{"current_password": old, "new_password": fresh}
					return ann.request("PATCH", "/users/me/password", change)
				})
			}
			reply := r.client(t).request("POST", "/auth/login", signInForm("ann@example.com", old))
			if reply.status == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				tokens = append(tokens, reply.text("access_token"))
			}
			return reply
		})
		assert.Contains(t, statuses, http.StatusNoContent)
		for _, token := range append(tokens, ann.token) {
			stale := r.client(t)
			stale.token = token
			stale.request("GET", "/users/me", nil).refused(http.StatusUnauthorized, "signed_out")
		}
		old = fresh
		ann = ann.signIn("ann@example.com", old)
		assert.Equal(t, http.StatusOK, ann.request("GET", "/users/me", nil).status)
	}
}

func TestManyClientsWithOneRefreshTokenGetOneSuccessor(t *testing.T) {
	const clients = 32
	r := newService(t)
	ann, id := r.admin(t).newAccount("ann@example.com")
	first := ann.signInFully("ann@example.com")
	r.audited(id)
	successors := make([]string, clients)
	statuses := race(clients, func(i int) reply {
		reply := ann.refresh(first.refresh)
		successors[i] = reply.text("refresh_token")
		return reply
	})
	assert.Equal(t, slices.Repeat([]int{http.StatusOK}, clients), statuses)
	assert.Len(t, slices.Compact(successors), 1)
	assert.Empty(t, r.audited(id), "no reuse")
	grantOf(ann.refresh(successors[0]))
}

func TestNoTokenOfADeletedAccountWorks(t *testing.T) {
	const rounds, signIns = 3, 6
	r := newService(t)
	admin := r.admin(t)
	for range rounds {
		_, id := admin.newAccount("ann@example.com")
		var mu sync.Mutex
		var grants []grant
		statuses := race(signIns+1, func(i int) reply {
			if i == signIns/2 {
				return admin.request("DELETE", "/users/"+id, nil)
			}
			reply := r.client(t).request("POST", "/auth/login", signInForm("ann@example.com", goodPassword))
			if reply.status == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				grants = append(grants, grantOf(reply))
			}
			return reply
		})
		assert.Contains(t, statuses, http.StatusNoContent)
		for _, g := range grants {
			r.client(t).with(g.access).request("GET", "/users/me", nil).refused(http.StatusUnauthorized, "signed_out")
			r.client(t).refresh(g.refresh).refused(http.StatusBadRequest, "invalid_grant")
		}
	}
}

func TestTheFirstSuperuserIsCreatedOnceInTheLifeOfAnInstallation(t *testing.T) {
	const instances = 8
	store := newStore(t)
	racing := racingStore{Store: store, firstSuperuser: newBarrier(instances)}
	var all [instances]*testService
	for i := range all {
		all[i] = startService(t, racing)
	}
	var created int
	for _, r := range all {
		r.waitUntilReady(t)
		created += r.auditCount(domain.EventFirstSuperuserCreated)
	}
	assert.Equal(t, 1, created)
	first := all[0].admin(t)
	require.Len(t, first.request("GET", "/users/", nil).rows(), 1)

	firstID := first.request("GET", "/users/me", nil).text("id")
	first.request("PATCH", "/users/me", fields{"email": "renamed@example.com"}).is(http.StatusOK)
	renamed := newServiceOn(t, store).client(t).signIn("renamed@example.com", adminPassword)
	assert.Len(t, renamed.request("GET", "/users/", nil).rows(), 1, "after a restart with a renamed superuser")

	first.request("DELETE", "/users/me", nil).refused(http.StatusForbidden, "cannot_delete_self")
	first.request("DELETE", "/users/"+firstID, nil).refused(http.StatusForbidden, "cannot_delete_self")
	second, _ := first.newAccount("second@example.com", "is_superuser")
	second.request("DELETE", "/users/"+firstID, nil).is(http.StatusNoContent)
	second = newServiceOn(t, store).client(t).signIn("second@example.com", goodPassword)
	rows := second.request("GET", "/users/", nil).rows()
	require.Len(t, rows, 1, "after a restart without the first superuser")
	assert.Equal(t, "second@example.com", rows[0]["email"])
}

// auditCount returns the number of audit events with that name in the log.
func (r *testService) auditCount(event string) (n int) {
	for _, line := range r.logs.FilterMessage("audit").All() {
		if line.ContextMap()["event"] == event {
			n++
		}
	}
	return n
}
