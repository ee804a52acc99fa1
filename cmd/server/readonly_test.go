package main

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// A method that is added to the port passes to the store inside, which is nil here, until someone decides.
func TestAReadOnlyStoreRefusesEveryMethodThatWrites(t *testing.T) {
	reads := []string{
		"User", "Users", "Item", "Items", "Sessions", "Clients", "UserForSignIn", "UserForSnowflakeSignIn",
		"SessionForRefresh", "ClientForSignIn", "HadFirstSuperuser",
	}
	store := reflect.ValueOf(readOnlyStore{})
	port := reflect.TypeFor[ports.Store]()
	for i := range port.NumMethod() {
		name := port.Method(i).Name
		if slices.Contains(reads, name) {
			continue
		}
		method := store.MethodByName(name)
		args := []reflect.Value{reflect.ValueOf(t.Context())}
		for k := 1; k < method.Type().NumIn(); k++ {
			args = append(args, reflect.Zero(method.Type().In(k)))
		}
		results := method.Call(args)
		err, _ := results[len(results)-1].Interface().(error)
		assert.ErrorIs(t, err, domain.ErrReadOnly, name)
	}
}

// readOnlyFixture returns a contractFixture on a read-only service that has one account with an item.
func readOnlyFixture(t *testing.T) (*contractFixture, ports.Store) {
	t.Helper()
	store := memory.New()
	made := newAccountWithItem(newServiceOn(t, store).admin(t))
	r := newServiceOn(t, readOnlyStore{store})
	made.user = r.client(t).signIn(made.email, goodPassword)
	f := &contractFixture{t: t, nobody: r.client(t), admin: r.admin(t), account: made}
	return f, store
}

func TestWithREAD_ONLYEveryChangeIsRefusedAndEveryReadSucceeds(t *testing.T) {
	t.Parallel()
	f, _ := readOnlyFixture(t)
	content := func() (all []string) {
		for _, path := range []string{"/users/", "/users/" + f.userID, "/items/" + f.itemID} {
			all = append(all, string(f.admin.request("GET", path, nil).is(http.StatusOK).body))
		}
		return all
	}
	before := content()
	for _, o := range operations() {
		t.Run(o.OperationID, func(t *testing.T) {
			got := o.request(f, f.entitled(o))
			switch {
			case o.OperationID == "signInWithSnowflake":
				got.refused(http.StatusNotFound, "snowflake_sign_in_off")
				return
			case o.OperationID == "login":
				assert.NotContains(t, string(got.body), "refresh_token", "no session can be stored")
				fallthrough
			case o.method == http.MethodGet:
				got.is2xx()
				return
			}
			got.refused(http.StatusServiceUnavailable, "read_only")
			seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
			require.NoError(t, err)
			assert.Greater(t, seconds, 1, "the reason does not end in a second")
		})
	}
	assert.Equal(t, before, content())

	item := "/items/" + f.itemID
	f.user.request("HEAD", item, nil).is(http.StatusOK)
	f.user.request("OPTIONS", item, nil).is(http.StatusNoContent)
	f.user.request("PATCH", item, fields{"title": "Snow shovel"}).is(http.StatusOK) // changes nothing
	f.user.request("PATCH", "/users/me/password", fields{"current_password": "wrong", "new_password": goodPassword + "!"}).
		refused(http.StatusForbidden, "wrong_password")
	f.nobody.request("POST", "/items/", fields{"title": "x"}).refused(http.StatusUnauthorized, "not_signed_in")
	f.user.request("POST", "/items/", fields{"title": ""}).faulted("body.title")
}

func TestWithREAD_ONLYAnOutdatedPasswordHashStaysAndItsAccountSignsIn(t *testing.T) {
	t.Parallel()
	_, store := readOnlyFixture(t)
	legacy, err := bcrypt.GenerateFromPassword([]byte(goodPassword), bcrypt.MinCost)
	require.NoError(t, err)
	u := domaintest.User(domaintest.WithPasswordHash(string(legacy)))
	require.NoError(t, store.CreateSuperuserForOperator(t.Context(), u))

	newServiceOn(t, readOnlyStore{store}).client(t).signIn(u.Email.String(), goodPassword)
	kept, err := store.UserForSignIn(t.Context(), u.Email)
	require.NoError(t, err)
	assert.Equal(t, u, kept)
}

func TestAReadOnlyServiceWithoutASuperuserIsNotReadyAndSaysWhy(t *testing.T) {
	t.Parallel()
	r := startService(t, nil, "--read-only=true")
	r.waitUntilLogged(t, "the store is not ready", 1)
	line := r.logs.FilterMessage("the store is not ready").All()[0]
	assert.Contains(t, line.ContextMap()["error"], "start the service once without READ_ONLY")
	r.client(t).requestAt("GET", "/readyz", nil).is(http.StatusServiceUnavailable)
	assert.Equal(t, 1, r.logs.FilterMessage("the service is read-only: it refuses changes, because READ_ONLY=true").Len())
}

func TestWithREAD_ONLYTheSuperuserCommandsChangeNothing(t *testing.T) {
	server := fakeSnowflake(t, engine.Rules{})
	config := snowflakeConfig(t, server)
	superuser := func(verb, email, readOnly string) execution {
		return executeUntil(t.Context(), goodPassword, "superuser", verb, "--email="+email, "--read-only="+readOnly, config)
	}
	require.Equal(t, exitOK, superuser("create", "ann@example.com", "false").code)
	users := func() [][]any { return server.Exec("SELECT id, email, password_hash, version FROM users").Rows }
	before := users()
	for verb, email := range map[string]string{"create": "bob@example.com", "reset-password": "ann@example.com"} {
		x := superuser(verb, email, "true")
		assert.Equal(t, execution{exitFailed, "", domain.ErrReadOnly.Error() + "\n"}, x)
	}
	x := superuser("create", "bob@example.com", "maybe")
	assert.Equal(t, []string{"READ_ONLY"}, x.problemKeys(t), "a wrong value must not allow changes")
	assert.Equal(t, before, users())

	r := newService(t, config, "--read-only=true") // there was a first superuser, so it becomes ready
	token := r.client(t).signIn("ann@example.com", goodPassword)
	token.request("POST", "/items/", fields{"title": "x"}).refused(http.StatusServiceUnavailable, "read_only")
}
