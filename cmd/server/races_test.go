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

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/httpapi"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// race makes n requests at once and returns the statuses of the answers, sorted.
func race(n int, request func(i int) reply) []int {
	statuses := make([]int, n)
	gun := make(chan struct{})
	var runners sync.WaitGroup
	for i := range n {
		runners.Go(func() {
			<-gun
			statuses[i] = request(i).status
		})
	}
	close(gun)
	runners.Wait()
	slices.Sort(statuses)
	return statuses
}

// oneAmong is what a race of n has to end with when there is one winner.
func oneAmong(n, won, lost int) []int {
	statuses := slices.Repeat([]int{lost}, n)
	statuses[0] = won
	return statuses
}

// patiently repeats a request for as long as the answer is that too much work is waiting.
func patiently(request func() reply) reply {
	for {
		r := request()
		if r.status != http.StatusServiceUnavailable || r.text("code") != domain.ErrBusy.Code {
			return r
		}
		time.Sleep(25 * pollInterval)
	}
}

// scene is a service on a store in memory that a test can put accounts into without a password's
// hash, which costs most of the time that an account takes.
type scene struct {
	*testService
	t     *testing.T
	store ports.Store
}

func newScene(t *testing.T) scene {
	t.Helper()
	store := anyStore(t)
	return scene{newServiceOn(t, store), t, store}
}

// account puts an account into the store and returns it signed in.
func (s scene) account(email string, superuser bool) (client, string) {
	s.t.Helper()
	address, err := domain.ParseEmail(email)
	require.NoError(s.t, err)
	u := domain.User{ID: newID(), Email: address, Active: true, Superuser: superuser, Version: 1, Epoch: 1, CreatedAt: now(), UpdatedAt: now()}
	require.NoError(s.t, s.store.CreateSuperuserForOperator(s.t.Context(), u))
	tokens, err := newTokens(s.cfg)
	require.NoError(s.t, err)
	token, err := tokens.Issue(u.Actor())
	require.NoError(s.t, err)
	c := s.client(s.t)
	c.token = token.Value
	return c, u.ID
}

func TestOfManyWhoCreateOneEmailOneSucceeds(t *testing.T) {
	const runners = 64
	s := newScene(t)
	admin := s.admin(t)
	email := "conquest@example.com"
	statuses := race(runners, func(i int) reply {
		spelling := []byte(email)
		spelling[i%8] -= 'a' - 'A'
		return patiently(func() reply {
			return admin.request("POST", "/users/", fields{"email": string(spelling), "password": goodPassword})
		})
	})
	assert.Equal(t, oneAmong(runners, http.StatusCreated, http.StatusConflict), statuses)
	assert.Len(t, admin.request("GET", "/users/", nil).rows(), 2)
}

func TestOfManyWhoTakeOneEmailOneSucceeds(t *testing.T) {
	const runners = 64
	s := newScene(t)
	people := make([]client, runners)
	for i := range people {
		people[i], _ = s.account(fmt.Sprintf("person%d@example.com", i), false)
	}
	email := "conquest@example.com"
	statuses := race(runners, func(i int) reply {
		spelling := email
		if i%2 == 0 {
			spelling = strings.ToUpper(email)
		}
		return patiently(func() reply { return people[i].request("PATCH", "/users/me", fields{"email": spelling}) })
	})
	assert.Equal(t, oneAmong(runners, http.StatusOK, http.StatusConflict), statuses)
	var holders int
	for _, u := range s.admin(t).request("GET", "/users/", nil).rows() {
		if u["email"] == email {
			holders++
		}
	}
	assert.Equal(t, 1, holders)
}

func TestNoItemOutlivesItsOwner(t *testing.T) {
	const rounds, runners = 10, 8
	s := newScene(t)
	admin := s.admin(t)
	for round := range rounds {
		owner, id := s.account(fmt.Sprintf("owner%d@example.com", round), false)
		var mu sync.Mutex
		var created []string
		statuses := race(runners+1, func(i int) reply {
			if i == runners/2 {
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

func TestWhatManyDeleteAtOnceIsDeletedForAtLeastOne(t *testing.T) {
	const runners = 16
	s := newScene(t)
	admin := s.admin(t)
	_, id := s.account("ann@example.com", false)
	for _, path := range []string{"/users/" + id, admin.newItem("Snow shovel")} {
		statuses := race(runners, func(int) reply { return admin.request("DELETE", path, nil) })
		assert.Equal(t, http.StatusNoContent, statuses[0])
		for _, status := range statuses {
			assert.Contains(t, []int{http.StatusNoContent, http.StatusNotFound}, status)
		}
		admin.request("GET", path, nil).refused(http.StatusNotFound, "not_found")
	}
}

func TestChangesOfDifferentFieldsAtOnceBothSurvive(t *testing.T) {
	store := rendezvous{anyStore(t), newMeeting(1), newMeeting(2), newMeeting(2)}
	s := scene{newServiceOn(t, store), t, store}
	admin := s.admin(t)
	ann, id := s.account("ann@example.com", false)
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

func TestOfTheLastTwoSuperusersOneStays(t *testing.T) {
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
			s := newScene(t)
			var people [2]client
			var ids [2]string
			people[0], ids[0] = s.account("first@example.com", true)
			admin := s.admin(t)
			require.Equal(t, http.StatusOK, admin.request("PATCH", "/users/me", fields{"full_name": "Not for long"}).status)
			adminID := admin.request("GET", "/users/me", nil).text("id")
			require.Equal(t, http.StatusNoContent, people[0].request("DELETE", "/users/"+adminID, nil).status)

			for round := range rounds {
				people[1], ids[1] = s.account(fmt.Sprintf("second%d@example.com", round), true)
				statuses := race(2, func(i int) reply {
					target := ids[1-i]
					if c.self {
						target = ids[i]
					}
					return people[i].request(c.method, "/users/"+target, c.body)
				})
				assert.Less(t, statuses[0], 300, "one succeeds")
				if c.self {
					assert.Equal(t, http.StatusConflict, statuses[1])
				} else {
					assert.Contains(t, []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict}, statuses[1])
				}

				// Whoever still is a superuser takes part in the next round.
				if people[0].request("GET", "/users/", nil).status != http.StatusOK {
					people[0], ids[0] = people[1], ids[1]
				}
				var superusers int
				for _, u := range people[0].request("GET", "/users/", nil).rows() {
					if u["is_active"] == true && u["is_superuser"] == true {
						superusers++
					}
				}
				require.Equal(t, 1, superusers)
			}
		})
	}
}

func TestNoTokenOfAnOldPasswordWorksAfterItsChange(t *testing.T) {
	const rounds, runners = 3, 6
	r := newService(t)
	ann, _ := r.admin(t).newAccount("ann@example.com")
	old := goodPassword
	for round := range rounds {
		fresh := fmt.Sprint("a fresh password ", round)
		var mu sync.Mutex
		var tokens []string
		statuses := race(runners+1, func(i int) reply {
			if i == runners/2 {
				return patiently(func() reply {
					return ann.request("PATCH", "/users/me/password", fields{"current_password": old, "new_password": fresh})
				})
			}
			answer := r.client(t).request("POST", "/auth/login", signInForm("ann@example.com", old))
			if answer.status == http.StatusOK {
				mu.Lock()
				defer mu.Unlock()
				tokens = append(tokens, answer.text("access_token"))
			}
			return answer
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

func TestAnInstallationHasOneFirstSuperuserOnceInItsLife(t *testing.T) {
	const instances = 8
	store := anyStore(t)
	meeting := rendezvous{store, newMeeting(instances), newMeeting(1), newMeeting(1)}
	var all [instances]*testService
	for i := range all {
		all[i] = startService(t, meeting)
	}
	var created int
	for _, r := range all {
		require.Eventually(t, func() bool { return r.service.http.State() == httpapi.Ready }, waitLimit, pollInterval)
		created += r.audited(domain.EventFirstSuperuserCreated)
	}
	assert.Equal(t, 1, created)
	first := all[0].admin(t)
	require.Len(t, first.request("GET", "/users/", nil).rows(), 1)

	firstID := first.request("GET", "/users/me", nil).text("id")
	require.Equal(t, http.StatusOK, first.request("PATCH", "/users/me", fields{"email": "renamed@example.com"}).status)
	assert.Len(t, again(t, store, "renamed@example.com", adminPassword).request("GET", "/users/", nil).rows(), 1, "after a rename")

	first.request("DELETE", "/users/me", nil).refused(http.StatusForbidden, "cannot_delete_self")
	first.request("DELETE", "/users/"+firstID, nil).refused(http.StatusForbidden, "cannot_delete_self")
	second, _ := first.newAccount("second@example.com", "is_superuser")
	require.Equal(t, http.StatusNoContent, second.request("DELETE", "/users/"+firstID, nil).status)
	rows := again(t, store, "second@example.com", goodPassword).request("GET", "/users/", nil).rows()
	require.Len(t, rows, 1, "after a deletion")
	assert.Equal(t, "second@example.com", rows[0]["email"])
}

// audited returns how many events of that name the log has.
func (r *testService) audited(event string) (n int) {
	for _, line := range r.logs.FilterMessage("audit").All() {
		if line.ContextMap()["event"] == event {
			n++
		}
	}
	return n
}

// again starts the service once more and signs somebody in.
func again(t *testing.T, store ports.Store, email, password string) client {
	t.Helper()
	return newServiceOn(t, store).client(t).signIn(email, password)
}
