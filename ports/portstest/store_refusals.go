package portstest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// call is a call of a store's method. It succeeds once for an actor that is signed in.
type call struct {
	method string
	run    func(context.Context, domain.Actor) error
}

// callsWithActor returns a call of each method that takes an Actor. No two calls change the same entity.
// testSignedOut fails if a method is missing.
func (s *fixture) callsWithActor() []call {
	changed, deleted, owner, created := s.addUser(), s.addUser(), s.addUser(), domaintest.User()
	readItem, changedItem, deletedItem := s.addItem(owner), s.addItem(owner), s.addItem(owner)
	session, client := s.sessions().add(s.admin), s.clients().add(s.admin)
	return []call{
		{"User", func(ctx context.Context, by domain.Actor) error {
			_, err := s.User(ctx, by, s.admin.ID)
			return err
		}},
		{"Users", func(ctx context.Context, by domain.Actor) error {
			_, err := s.Users(ctx, by, all)
			return err
		}},
		{"CreateUser", func(ctx context.Context, by domain.Actor) error { return s.CreateUser(ctx, by, created) }},
		{"UpdateUser", func(ctx context.Context, by domain.Actor) error {
			return s.UpdateUser(ctx, by, domaintest.RevisedUser(changed, domaintest.Superuser), changed)
		}},
		{"DeleteUser", func(ctx context.Context, by domain.Actor) error {
			return s.DeleteUser(ctx, by, deleted.ID, anyVersion)
		}},
		{"Item", func(ctx context.Context, by domain.Actor) error {
			_, err := s.Item(ctx, by, domain.AllItems(), readItem.ID)
			return err
		}},
		{"Items", func(ctx context.Context, by domain.Actor) error {
			_, err := s.Items(ctx, by, owner.ID, all)
			return err
		}},
		{"CreateItem", func(ctx context.Context, by domain.Actor) error {
			return s.CreateItem(ctx, by, domaintest.Item(domain.User{ID: by.ID}))
		}},
		{"UpdateItem", func(ctx context.Context, by domain.Actor) error {
			next := domaintest.RevisedItem(changedItem, domaintest.WithTitle("next"))
			return s.UpdateItem(ctx, by, domain.AllItems(), next, changedItem.Version)
		}},
		{"DeleteItem", func(ctx context.Context, by domain.Actor) error {
			return s.DeleteItem(ctx, by, domain.AllItems(), deletedItem.ID, anyVersion)
		}},
		{"CreateSession", func(ctx context.Context, by domain.Actor) error {
			return s.CreateSession(ctx, by, domaintest.Session(domain.User{ID: by.ID}))
		}},
		{"Sessions", func(ctx context.Context, by domain.Actor) error {
			return errorOf(s.Sessions(ctx, by, now, all))
		}},
		{"DeleteSession", func(ctx context.Context, by domain.Actor) error {
			return s.DeleteSession(ctx, by, session.ID)
		}},
		{"CreateClient", func(ctx context.Context, by domain.Actor) error {
			return s.CreateClient(ctx, by, domaintest.Client(domain.User{ID: by.ID}))
		}},
		{"Clients", func(ctx context.Context, by domain.Actor) error {
			return errorOf(s.Clients(ctx, by, now, all))
		}},
		{"DeleteClient", func(ctx context.Context, by domain.Actor) error {
			return s.DeleteClient(ctx, by, client.ID)
		}},
	}
}

// callsWithoutActor returns a call of each other method except CreateFirstSuperuser, which succeeds only on
// an empty store. testEndedContext fails if a method is missing.
func (s *fixture) callsWithoutActor() []call {
	rehashed, reset, created := s.addUser(), s.addUser(), domaintest.User(domaintest.Superuser)
	linked, caller := s.addUser(domaintest.WithSnowflakeUser("LINKED")), domaintest.User()
	kept, ended, client := s.sessions().add(linked), s.sessions().add(linked), s.clients().add(linked)
	return []call{
		{"UserForSnowflakeSignIn", func(ctx context.Context, _ domain.Actor) error {
			return errorOf(s.UserForSnowflakeSignIn(ctx, domaintest.SnowflakeUser("LINKED")))
		}},
		{"CreateUserForSnowflakeSignIn", func(ctx context.Context, _ domain.Actor) error {
			return s.CreateUserForSnowflakeSignIn(ctx, caller)
		}},
		{"SessionForRefresh", func(ctx context.Context, _ domain.Actor) error {
			_, _, err := s.SessionForRefresh(ctx, kept.Lookup, kept.Secret)
			return err
		}},
		{"RefreshSession", func(ctx context.Context, _ domain.Actor) error {
			return s.RefreshSession(ctx, refreshed(kept))
		}},
		{"EndSessionForRefresh", func(ctx context.Context, _ domain.Actor) error {
			return errorOf(s.EndSessionForRefresh(ctx, ended.ID))
		}},
		{"ClientForSignIn", func(ctx context.Context, _ domain.Actor) error {
			_, _, err := s.ClientForSignIn(ctx, client.ID)
			return err
		}},
		{"UseClientForSignIn", func(ctx context.Context, _ domain.Actor) error {
			return errorOf(s.UseClientForSignIn(ctx, client.ID, domaintest.Later))
		}},
		{"CleanUp", func(ctx context.Context, _ domain.Actor) error {
			return s.CleanUp(ctx, domaintest.Created)
		}},
		{"HadFirstSuperuser", func(ctx context.Context, _ domain.Actor) error {
			_, err := s.HadFirstSuperuser(ctx)
			return err
		}},
		{"UserForSignIn", func(ctx context.Context, _ domain.Actor) error {
			_, err := s.UserForSignIn(ctx, s.admin.Email)
			return err
		}},
		{"RehashForSignIn", func(ctx context.Context, _ domain.Actor) error {
			return s.RehashForSignIn(ctx, rehashed.ID, rehashed.PasswordHash, "fresh")
		}},
		{"CreateSuperuserForOperator", func(ctx context.Context, _ domain.Actor) error {
			return s.CreateSuperuserForOperator(ctx, created)
		}},
		{"UpdateUserForOperator", func(ctx context.Context, _ domain.Actor) error {
			next := domaintest.RevisedUser(reset, domaintest.WithPasswordHash("reset"))
			return s.UpdateUserForOperator(ctx, next, reset.Version)
		}},
	}
}

func testSignedOut(t *testing.T, open opener) {
	t.Run("every method that takes an actor refuses a signed-out actor and changes nothing", func(t *testing.T) {
		s := newFixture(t, open)
		calls := s.callsWithActor()
		assert.ElementsMatch(t, methodsOfStore(func(m reflect.Method) bool {
			return m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[domain.Actor]()
		}), names(calls), "a method is missing in callsWithActor")

		actors := s.signedOutActors()
		before := s.allUsers()
		for name, actor := range actors {
			for _, c := range calls {
				assert.ErrorIs(t, c.run(t.Context(), actor), domain.ErrSignedOut, "%s by %s", c.method, name)
			}
			s.assertItems(domain.User{ID: actor.ID})
		}
		assert.Equal(t, before, s.allUsers())
		s.assertSucceed(calls)
	})
	t.Run("no field of an actor matters except ID and Epoch", func(t *testing.T) {
		s := newFixture(t, open)
		by := domain.Actor{ID: s.admin.ID, Epoch: s.admin.Epoch, SessionID: domaintest.NewID(), ReadOnly: true}
		for _, c := range s.callsWithActor() {
			assert.NoError(t, c.run(t.Context(), by), c.method)
		}
	})
	t.Run("no call takes effect after the sign-out of its account was answered", func(t *testing.T) {
		s := newFixture(t, open)
		for name, signOut := range map[string]func(domain.User) error{
			"password change": func(u domain.User) error {
				next := domaintest.RevisedUser(u, domaintest.WithPasswordHash("next"))
				return s.UpdateUser(t.Context(), u.Actor(), next, u)
			},
			"sign-out everywhere": func(u domain.User) error {
				next, _ := u.Revise(u.SignedOut(), domaintest.Later)
				return s.UpdateUser(t.Context(), u.Actor(), next, u)
			},
			"deactivation": func(u domain.User) error {
				return s.UpdateUser(t.Context(), s.admin.Actor(), domaintest.RevisedUser(u, domaintest.Inactive), u)
			},
			"deletion": func(u domain.User) error {
				return s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion)
			},
			"password reset": func(u domain.User) error {
				next := domaintest.RevisedUser(u, domaintest.WithPasswordHash("next"))
				return s.UpdateUserForOperator(t.Context(), next, u.Version)
			},
		} {
			u := s.addUser()
			s.addItem(u)
			require.NoError(t, signOut(u), name)
			err := s.CreateItem(t.Context(), u.Actor(), domaintest.Item(u))
			assert.ErrorIs(t, err, domain.ErrSignedOut, name)
			_, err = s.Items(t.Context(), u.Actor(), u.ID, all)
			assert.ErrorIs(t, err, domain.ErrSignedOut, name)
		}
	})
	t.Run("an actor stays signed in after a new e-mail or a new hash of the same password", func(t *testing.T) {
		s := newFixture(t, open)
		u := s.addUser()
		renamed := domaintest.RevisedUser(u, domaintest.WithEmail(domaintest.Email("renamed@example.com")))
		require.NoError(t, s.UpdateUser(t.Context(), u.Actor(), renamed, u))
		require.NoError(t, s.RehashForSignIn(t.Context(), u.ID, u.PasswordHash, "fresh"))
		_, err := s.User(t.Context(), u.Actor(), u.ID)
		assert.NoError(t, err)
	})
}

func (s *fixture) signedOutActors() map[string]domain.Actor {
	deleted := s.addUser(domaintest.Superuser)
	require.NoError(s.t, s.DeleteUser(s.t.Context(), s.admin.Actor(), deleted.ID, anyVersion))
	fifth := s.addUser(domaintest.Superuser, func(u *domain.User) { u.Epoch = 5 })
	lower, higher := fifth.Actor(), fifth.Actor()
	lower.Epoch, higher.Epoch = 4, 6
	return map[string]domain.Actor{
		"the zero actor":      {},
		"an unknown account":  domaintest.User(domaintest.Superuser).Actor(),
		"a deleted account":   deleted.Actor(),
		"an inactive account": s.addUser(domaintest.Superuser, domaintest.Inactive).Actor(),
		"an earlier epoch":    lower,
		"a later epoch":       higher,
	}
}

func testEndedContext(t *testing.T, open opener) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()

	t.Run("a call with an ended context is unavailable and changes nothing", func(t *testing.T) {
		s := newFixture(t, open)
		calls := append(s.callsWithActor(), s.callsWithoutActor()...)
		assert.ElementsMatch(t, methodsOfStore(func(m reflect.Method) bool { return m.Name != "CreateFirstSuperuser" }),
			names(calls), "a method is missing in callsWithActor or callsWithoutActor")

		before := s.allUsers()
		for _, ctx := range []context.Context{cancelled, expired} {
			for _, c := range calls {
				assert.ErrorIs(t, c.run(ctx, s.admin.Actor()), domain.ErrUnavailable, c.method)
			}
		}
		assert.Equal(t, before, s.allUsers())
		s.assertItems(s.admin)
		s.assertSucceed(calls)
	})
	t.Run("a call with an ended context creates no first superuser", func(t *testing.T) {
		s := open(t)
		u := domaintest.User(domaintest.Superuser)
		created, err := s.CreateFirstSuperuser(cancelled, u)
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.False(t, created)
		had, err := s.HadFirstSuperuser(t.Context())
		assert.NoError(t, err)
		assert.False(t, had)
		created, err = s.CreateFirstSuperuser(t.Context(), u)
		assert.NoError(t, err)
		assert.True(t, created)
	})
}

func testOrderOfRefusals(t *testing.T, open opener) {
	s := newFixture(t, open)
	u, other := s.addUser(), s.addUser(domaintest.WithSnowflakeUser("TAKEN"))
	item := s.addItem(u)
	ctx, admin, unknown := t.Context(), s.admin, domaintest.User()
	signedIn, signedOut := admin.Actor(), domain.Actor{ID: u.ID, Epoch: u.Epoch + 1}
	everyItem, notTheItem := domain.AllItems(), domain.OwnedBy(other.ID)
	stale := domain.OnlyVersions(2)
	takenEmail := domaintest.WithEmail(other.Email)
	taken := domaintest.RevisedUser(u, takenEmail)
	last := domaintest.RevisedUser(admin, domaintest.Inactive)
	takenUser := domaintest.WithSnowflakeUser("TAKEN")
	bothTaken := domaintest.RevisedUser(u, takenEmail, takenUser)
	lastAndUserTaken := domaintest.RevisedUser(admin, domaintest.Inactive, takenUser)
	lastAndTaken := domaintest.RevisedUser(admin, domaintest.Inactive, takenEmail)

	for _, group := range []struct {
		want  *domain.Error
		calls map[string]error // what each call with several refusals returned
	}{
		{domain.ErrSignedOut, map[string]error{
			"not found: User":            errorOf(s.User(ctx, signedOut, unknown.ID)),
			"not found: UpdateUser":      s.UpdateUser(ctx, signedOut, unknown, unknown),
			"not found: DeleteUser":      s.DeleteUser(ctx, signedOut, unknown.ID, anyVersion),
			"not found: Item":            errorOf(s.Item(ctx, signedOut, everyItem, unknown.ID)),
			"not found: UpdateItem":      s.UpdateItem(ctx, signedOut, notTheItem, item, 1),
			"not found: DeleteItem":      s.DeleteItem(ctx, signedOut, notTheItem, item.ID, anyVersion),
			"stale: UpdateUser":          s.UpdateUser(ctx, signedOut, taken, at(u, 2)),
			"stale: DeleteUser":          s.DeleteUser(ctx, signedOut, u.ID, stale),
			"stale: UpdateItem":          s.UpdateItem(ctx, signedOut, everyItem, item, 2),
			"stale: DeleteItem":          s.DeleteItem(ctx, signedOut, everyItem, item.ID, stale),
			"email taken: CreateUser":    s.CreateUser(ctx, signedOut, domaintest.User(takenEmail)),
			"email taken: UpdateUser":    s.UpdateUser(ctx, signedOut, taken, u),
			"user taken: CreateUser":     s.CreateUser(ctx, signedOut, domaintest.User(takenUser)),
			"user taken: UpdateUser":     s.UpdateUser(ctx, signedOut, domaintest.RevisedUser(u, takenUser), u),
			"last superuser: UpdateUser": s.UpdateUser(ctx, signedOut, last, admin),
			"last superuser: DeleteUser": s.DeleteUser(ctx, signedOut, admin.ID, anyVersion),
		}},
		{domain.ErrNotFound, map[string]error{
			"stale: UpdateItem":       s.UpdateItem(ctx, signedIn, notTheItem, item, 2),
			"stale: DeleteItem":       s.DeleteItem(ctx, signedIn, notTheItem, item.ID, stale),
			"email taken: UpdateUser": s.UpdateUser(ctx, signedIn, domaintest.User(takenEmail), unknown),
		}},
		{domain.ErrStale, map[string]error{
			"email taken: UpdateUser":    s.UpdateUser(ctx, signedIn, taken, at(u, 2)),
			"user taken: UpdateUser":     s.UpdateUser(ctx, signedIn, domaintest.RevisedUser(u, takenUser), at(u, 2)),
			"last superuser: UpdateUser": s.UpdateUser(ctx, signedIn, last, at(admin, 2)),
			"last superuser: DeleteUser": s.DeleteUser(ctx, signedIn, admin.ID, stale),
		}},
		{domain.ErrEmailTaken, map[string]error{
			"last superuser: UpdateUser": s.UpdateUser(ctx, signedIn, lastAndTaken, admin),
			"user taken: CreateUser":     s.CreateUser(ctx, signedIn, domaintest.User(takenEmail, takenUser)),
			"user taken: UpdateUser":     s.UpdateUser(ctx, signedIn, bothTaken, u),
		}},
		{domain.ErrSnowflakeUserTaken, map[string]error{
			"last superuser: UpdateUser": s.UpdateUser(ctx, signedIn, lastAndUserTaken, admin),
		}},
	} {
		for name, err := range group.calls {
			t.Run(group.want.Code+" comes before "+name, func(t *testing.T) { assert.ErrorIs(t, err, group.want) })
		}
	}
	t.Run("a refused call changes nothing", func(t *testing.T) {
		s.assertUsers(u, other)
		s.assertItems(u, item)
	})
}

// assertSucceed checks that every call succeeds now. It also shows that no call took effect before.
func (s *fixture) assertSucceed(calls []call) {
	s.t.Helper()
	for _, c := range calls {
		assert.NoError(s.t, c.run(s.t.Context(), s.admin.Actor()), c.method)
	}
}

func methodsOfStore(which func(reflect.Method) bool) []string {
	var methods []string
	for m := range reflect.TypeFor[ports.Store]().Methods() {
		if which(m) {
			methods = append(methods, m.Name)
		}
	}
	return methods
}

func names(calls []call) []string {
	var methods []string
	for _, c := range calls {
		methods = append(methods, c.method)
	}
	return methods
}

func errorOf[T any](_ T, err error) error { return err }
