package portstest

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// call is one call of a store's method that succeeds, once, for an actor that is signed in.
type call struct {
	method string
	run    func(context.Context, domain.Actor) error
}

// callsWithActor is one call of every method that takes an Actor, each with a target of its own.
// Whoever adds such a method adds it here; testSignedOut fails without.
func (s *seeded) callsWithActor() []call {
	changed, deleted, owner, created := s.addUser(), s.addUser(), s.addUser(), newUser()
	read, retitledItem, deletedItem := s.addItem(owner), s.addItem(owner), s.addItem(owner)
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
			return s.UpdateUser(ctx, by, revised(changed, superuser), changed)
		}},
		{"DeleteUser", func(ctx context.Context, by domain.Actor) error {
			return s.DeleteUser(ctx, by, deleted.ID, anyVersion)
		}},
		{"Item", func(ctx context.Context, by domain.Actor) error {
			_, err := s.Item(ctx, by, domain.AllItems(), read.ID)
			return err
		}},
		{"Items", func(ctx context.Context, by domain.Actor) error {
			_, err := s.Items(ctx, by, owner.ID, all)
			return err
		}},
		{"CreateItem", func(ctx context.Context, by domain.Actor) error {
			return s.CreateItem(ctx, by, newItem(domain.User{ID: by.ID}))
		}},
		{"UpdateItem", func(ctx context.Context, by domain.Actor) error {
			return s.UpdateItem(ctx, by, domain.AllItems(), retitled(retitledItem, "next"), retitledItem.Version)
		}},
		{"DeleteItem", func(ctx context.Context, by domain.Actor) error {
			return s.DeleteItem(ctx, by, domain.AllItems(), deletedItem.ID, anyVersion)
		}},
	}
}

// callsWithoutActor is the same for the methods that take no Actor, save CreateFirstSuperuser,
// which succeeds on an empty store only.
func (s *seeded) callsWithoutActor() []call {
	rehashed, reset, created := s.addUser(), s.addUser(), newUser(superuser)
	return []call{
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
		{"ResetPasswordForOperator", func(ctx context.Context, _ domain.Actor) error {
			next := revised(reset, func(u *domain.User) { u.PasswordHash = "reset" })
			return s.ResetPasswordForOperator(ctx, next, reset.Version)
		}},
	}
}

func testSignedOut(t *testing.T, open opener) {
	t.Run("every method that takes an actor refuses one that is signed out, and changes nothing", func(t *testing.T) {
		s := seed(t, open)
		calls := s.callsWithActor()
		assert.ElementsMatch(t, methodsOfStore(func(m reflect.Method) bool {
			return m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[domain.Actor]()
		}), names(calls), "a method is missing in callsWithActor")

		actors := s.signedOutActors()
		before := s.everyUser()
		for _, by := range actors {
			for _, c := range calls {
				assert.ErrorIs(t, c.run(t.Context(), by.actor), domain.ErrSignedOut, "%s by %s", c.method, by.name)
			}
			s.assertItems(domain.User{ID: by.actor.ID})
		}
		assert.Equal(t, before, s.everyUser())
		s.succeed(calls)
	})
	t.Run("nothing is done for an account once its sign-out was answered", func(t *testing.T) {
		s := seed(t, open)
		for _, end := range []struct {
			name string
			end  func(domain.User) error
		}{
			{"password change", func(u domain.User) error {
				next := revised(u, func(u *domain.User) { u.PasswordHash = "next" })
				return s.UpdateUser(t.Context(), u.Actor(), next, u)
			}},
			{"deactivation", func(u domain.User) error {
				return s.UpdateUser(t.Context(), s.admin.Actor(), revised(u, inactive), u)
			}},
			{"deletion", func(u domain.User) error {
				return s.DeleteUser(t.Context(), u.Actor(), u.ID, anyVersion)
			}},
			{"password reset", func(u domain.User) error {
				next := revised(u, func(u *domain.User) { u.PasswordHash = "next" })
				return s.ResetPasswordForOperator(t.Context(), next, u.Version)
			}},
		} {
			u := s.addUser()
			s.addItem(u)
			require.NoError(t, end.end(u), end.name)
			err := s.CreateItem(t.Context(), u.Actor(), newItem(u))
			assert.ErrorIs(t, err, domain.ErrSignedOut, end.name)
			_, err = s.Items(t.Context(), u.Actor(), u.ID, all)
			assert.ErrorIs(t, err, domain.ErrSignedOut, end.name)
		}
	})
	t.Run("a new name, e-mail or hash of the same password leaves an actor signed in", func(t *testing.T) {
		s := seed(t, open)
		u := s.addUser()
		renamed := revised(u, withEmail(email("renamed@example.com")))
		require.NoError(t, s.UpdateUser(t.Context(), u.Actor(), renamed, u))
		require.NoError(t, s.RehashForSignIn(t.Context(), u.ID, u.PasswordHash, "fresh"))
		_, err := s.User(t.Context(), u.Actor(), u.ID)
		assert.NoError(t, err)
	})
}

type namedActor struct {
	name  string
	actor domain.Actor
}

func (s *seeded) signedOutActors() []namedActor {
	gone := s.addUser(superuser)
	require.NoError(s.t, s.DeleteUser(s.t.Context(), s.admin.Actor(), gone.ID, anyVersion))
	fifth := s.addUser(superuser, func(u *domain.User) { u.Epoch = 5 })
	lower, higher := fifth.Actor(), fifth.Actor()
	lower.Epoch, higher.Epoch = 4, 6
	return []namedActor{
		{"nobody", domain.Actor{}},
		{"an unknown account", newUser(superuser).Actor()},
		{"a deleted account", gone.Actor()},
		{"an inactive account", s.addUser(superuser, inactive).Actor()},
		{"an earlier epoch", lower},
		{"a later epoch", higher},
	}
}

func testEndedContext(t *testing.T, open opener) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()

	t.Run("every method is unavailable when its context ended before, and changes nothing", func(t *testing.T) {
		s := seed(t, open)
		calls := append(s.callsWithActor(), s.callsWithoutActor()...)
		assert.ElementsMatch(t, methodsOfStore(func(m reflect.Method) bool { return m.Name != "CreateFirstSuperuser" }),
			names(calls), "a method is missing in callsWithActor or callsWithoutActor")

		before := s.everyUser()
		for _, ctx := range []context.Context{cancelled, expired} {
			for _, c := range calls {
				assert.ErrorIs(t, c.run(ctx, s.admin.Actor()), domain.ErrUnavailable, c.method)
			}
		}
		assert.Equal(t, before, s.everyUser())
		s.assertItems(s.admin)
		s.succeed(calls)
	})
	t.Run("the first superuser is not created when the context ended before", func(t *testing.T) {
		s := open(t)
		u := newUser(superuser)
		created, err := s.CreateFirstSuperuser(cancelled, u)
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.False(t, created)
		created, err = s.CreateFirstSuperuser(t.Context(), u)
		assert.NoError(t, err)
		assert.True(t, created)
	})
}

func testOrderOfRefusals(t *testing.T, open opener) {
	s := seed(t, open)
	u, other := s.addUser(), s.addUser()
	item := s.addItem(u)
	live, signedOut, admin := s.admin.Actor(), domain.Actor{ID: u.ID, Epoch: u.Epoch + 1}, s.admin
	ofOther := domain.OwnedBy(other.ID)
	wrong := domain.OnlyVersions(u.Version + 1)
	next := revised(u, withEmail(other.Email))
	last := revised(admin, inactive)
	lastTaken := revised(admin, inactive, withEmail(other.Email))
	ctx := t.Context()

	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"signed out comes before not found for an update of an account", s.UpdateUser(ctx, signedOut, newUser(), newUser()), domain.ErrSignedOut},
		{"signed out comes before stale for an update of an account", s.UpdateUser(ctx, signedOut, next, at(u, u.Version+1)), domain.ErrSignedOut},
		{"signed out comes before a taken e-mail for a new account", s.CreateUser(ctx, signedOut, newUser(withEmail(other.Email))), domain.ErrSignedOut},
		{"signed out comes before a taken e-mail for an update", s.UpdateUser(ctx, signedOut, next, u), domain.ErrSignedOut},
		{"signed out comes before the last superuser for an update", s.UpdateUser(ctx, signedOut, last, admin), domain.ErrSignedOut},
		{"signed out comes before not found for a delete of an account", s.DeleteUser(ctx, signedOut, newID(), anyVersion), domain.ErrSignedOut},
		{"signed out comes before stale for a delete of an account", s.DeleteUser(ctx, signedOut, u.ID, wrong), domain.ErrSignedOut},
		{"signed out comes before the last superuser for a delete", s.DeleteUser(ctx, signedOut, admin.ID, anyVersion), domain.ErrSignedOut},
		{"signed out comes before not found for an account", errorOf(s.User(ctx, signedOut, newID())), domain.ErrSignedOut},
		{"signed out comes before not found for an item", errorOf(s.Item(ctx, signedOut, domain.AllItems(), newID())), domain.ErrSignedOut},
		{"signed out comes before not found for an update of an item", s.UpdateItem(ctx, signedOut, ofOther, item, item.Version), domain.ErrSignedOut},
		{"signed out comes before stale for an update of an item", s.UpdateItem(ctx, signedOut, domain.AllItems(), item, item.Version+1), domain.ErrSignedOut},
		{"signed out comes before not found for a delete of an item", s.DeleteItem(ctx, signedOut, ofOther, item.ID, anyVersion), domain.ErrSignedOut},
		{"signed out comes before stale for a delete of an item", s.DeleteItem(ctx, signedOut, domain.AllItems(), item.ID, wrong), domain.ErrSignedOut},

		{"not found comes before a taken e-mail", s.UpdateUser(ctx, live, newUser(withEmail(other.Email)), newUser()), domain.ErrNotFound},
		{"not found comes before stale for an update of an item", s.UpdateItem(ctx, live, ofOther, item, item.Version+1), domain.ErrNotFound},
		{"not found comes before stale for a delete of an item", s.DeleteItem(ctx, live, ofOther, item.ID, wrong), domain.ErrNotFound},

		{"stale comes before a taken e-mail", s.UpdateUser(ctx, live, next, at(u, u.Version+1)), domain.ErrStale},
		{"stale comes before the last superuser for an update", s.UpdateUser(ctx, live, last, at(admin, admin.Version+1)), domain.ErrStale},
		{"stale comes before the last superuser for a delete", s.DeleteUser(ctx, live, admin.ID, wrong), domain.ErrStale},

		{"a taken e-mail comes before the last superuser", s.UpdateUser(ctx, live, lastTaken, admin), domain.ErrEmailTaken},
	} {
		t.Run(c.name, func(t *testing.T) { assert.ErrorIs(t, c.err, c.want) })
	}
	t.Run("and nothing was changed by any", func(t *testing.T) {
		s.assertUsers(u, other)
		s.assertItems(u, item)
	})
}

// succeed looks whether every call succeeds now, which also shows that none took effect before.
func (s *seeded) succeed(calls []call) {
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
