//go:build unix

package servertest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// openCounted returns a store with one connection, and what counts its round trips.
func openCounted(t *testing.T) (*forwarder, *postgres.Store) {
	t.Helper()
	o := newSchema(t)
	migrate(t, o)
	o.Connections = 1
	trips, o := forward(t, o)
	return trips, openWith(t, o)
}

// counted is a call of a method and how many round trips it should make.
type counted struct {
	name    string
	want    int
	prepare func() (call func() error)
}

func assertTrips(t *testing.T, trips *forwarder, calls []counted) {
	t.Helper()
	for _, call := range calls {
		require.NoError(t, call.prepare()(), call.name) // the first use also prepares the statements
		again := call.prepare()
		assert.Equal(t, call.want, trips.during(func() { require.NoError(t, again(), call.name) }), call.name)
	}
}

func TestEachMethodMakesOneRoundTripAndARefusedWriteTwo(t *testing.T) {
	trips, s := openCounted(t)
	admin := newAdmin(t, s)
	ctx, by := context.Background(), admin.Actor()
	page := domain.PageRequest{Limit: 10, Count: true}
	// Each call makes its own entities, so that it does the same each time.
	item := func() domain.Item {
		i := domaintest.Item(admin)
		require.NoError(t, s.CreateItem(ctx, by, i))
		return i
	}
	user := func() domain.User {
		u := domaintest.User(domaintest.Superuser)
		require.NoError(t, s.CreateUser(ctx, by, u))
		return u
	}
	none := domaintest.Item(admin)
	assertTrips(t, trips, []counted{
		{"User", 1, func() func() error { return func() error { _, err := s.User(ctx, by, admin.ID); return err } }},
		{"Users", 1, func() func() error { return func() error { _, err := s.Users(ctx, by, page); return err } }},
		{"UserForSignIn", 1, func() func() error {
			return func() error { _, err := s.UserForSignIn(ctx, admin.Email); return err }
		}},
		{"HadFirstSuperuser", 1, func() func() error {
			return func() error { _, err := s.HadFirstSuperuser(ctx); return err }
		}},
		{"CreateUser", 1, func() func() error {
			u := domaintest.User()
			return func() error { return s.CreateUser(ctx, by, u) }
		}},
		{"CreateUser with an e-mail that is taken", 2, func() func() error {
			u := domaintest.User(domaintest.WithEmail(admin.Email))
			return func() error { return ignored(t, s.CreateUser(ctx, by, u), domain.ErrEmailTaken) }
		}},
		{"UpdateUser with another e-mail and password", 1, func() func() error {
			u := user()
			next := domaintest.RevisedUser(u, domaintest.WithEmail(domaintest.User().Email), domaintest.WithPasswordHash("x"))
			return func() error { return s.UpdateUser(ctx, by, next, u) }
		}},
		{"UpdateUser that demotes a superuser, in one batch", 1, func() func() error {
			u := user()
			next := domaintest.RevisedUser(u, domaintest.Inactive)
			return func() error { return s.UpdateUser(ctx, by, next, u) }
		}},
		{"DeleteUser, in one batch", 1, func() func() error {
			u := user()
			return func() error { return s.DeleteUser(ctx, by, u.ID, domain.Versions{}) }
		}},
		{"RehashForSignIn", 1, func() func() error {
			u := user()
			return func() error { return s.RehashForSignIn(ctx, u.ID, u.PasswordHash, "fresh") }
		}},
		{"UpdateUserForOperator", 1, func() func() error {
			u := user()
			next := domaintest.RevisedUser(u, domaintest.WithPasswordHash("x"))
			return func() error { return s.UpdateUserForOperator(ctx, next, u.Version) }
		}},
		{"Item", 1, func() func() error {
			i := item()
			return func() error { _, err := s.Item(ctx, by, domain.AllItems(), i.ID); return err }
		}},
		{"Items", 1, func() func() error {
			return func() error { _, err := s.Items(ctx, by, admin.ID, page); return err }
		}},
		{"CreateItem", 1, func() func() error {
			i := domaintest.Item(admin)
			return func() error { return s.CreateItem(ctx, by, i) }
		}},
		{"UpdateItem", 1, func() func() error {
			i := item()
			next := domaintest.RevisedItem(i, domaintest.WithTitle("next"))
			return func() error { return s.UpdateItem(ctx, by, domain.AllItems(), next, i.Version) }
		}},
		{"UpdateItem of another version", 2, func() func() error {
			i := item()
			return func() error {
				return ignored(t, s.UpdateItem(ctx, by, domain.AllItems(), i, i.Version+1), domain.ErrStale)
			}
		}},
		{"DeleteItem", 1, func() func() error {
			i := item()
			return func() error { return s.DeleteItem(ctx, by, domain.AllItems(), i.ID, domain.Versions{}) }
		}},
		{"DeleteItem of one that does not exist", 2, func() func() error {
			return func() error {
				return ignored(t, s.DeleteItem(ctx, by, domain.AllItems(), none.ID, domain.Versions{}), domain.ErrNotFound)
			}
		}},
	})
}

func TestEachMethodOfCredentialsMakesOneRoundTripAndARefusedWriteTwo(t *testing.T) {
	trips, s := openCounted(t)
	newAdmin(t, s)
	ctx, now := context.Background(), domaintest.Created
	page := domain.PageRequest{Limit: 10, Count: true}
	// Each call makes its own account and credentials, so that it does the same each time.
	user := func() domain.User {
		u := domaintest.User(domaintest.WithSnowflakeUser(domaintest.NewID()))
		require.NoError(t, s.CreateUserForSnowflakeSignIn(ctx, u))
		return u
	}
	session := func(u domain.User) domain.Session {
		e := domaintest.Session(u)
		require.NoError(t, s.CreateSession(ctx, u.Actor(), e))
		return e
	}
	client := func(u domain.User) domain.Client {
		c := domaintest.Client(u)
		require.NoError(t, s.CreateClient(ctx, u.Actor(), c))
		return c
	}
	assertTrips(t, trips, []counted{
		{"UserForSnowflakeSignIn", 1, func() func() error {
			name, _ := user().SnowflakeUser.Get()
			return func() error { _, err := s.UserForSnowflakeSignIn(ctx, name); return err }
		}},
		{"CreateUserForSnowflakeSignIn", 1, func() func() error {
			u := domaintest.User(domaintest.WithSnowflakeUser(domaintest.NewID()))
			return func() error { return s.CreateUserForSnowflakeSignIn(ctx, u) }
		}},
		{"UpdateUser with a user of Snowflake that is taken", 2, func() func() error {
			holder, u := user(), user()
			next := domaintest.RevisedUser(u, func(u *domain.User) { u.SnowflakeUser = holder.SnowflakeUser })
			return func() error {
				return ignored(t, s.UpdateUser(ctx, u.Actor(), next, u), domain.ErrSnowflakeUserTaken)
			}
		}},
		{"CreateSession", 1, func() func() error {
			u := user()
			return func() error { return s.CreateSession(ctx, u.Actor(), domaintest.Session(u)) }
		}},
		{"CreateSession of a signed-out actor", 2, func() func() error {
			u := domaintest.User()
			return func() error {
				return ignored(t, s.CreateSession(ctx, u.Actor(), domaintest.Session(u)), domain.ErrSignedOut)
			}
		}},
		{"Sessions", 1, func() func() error {
			u := user()
			return func() error { _, err := s.Sessions(ctx, u.Actor(), now, page); return err }
		}},
		{"DeleteSession", 1, func() func() error {
			u := user()
			e := session(u)
			return func() error { return s.DeleteSession(ctx, u.Actor(), e.ID) }
		}},
		{"DeleteSession of one that does not exist", 2, func() func() error {
			u := user()
			return func() error { return ignored(t, s.DeleteSession(ctx, u.Actor(), "none"), domain.ErrNotFound) }
		}},
		{"SessionForRefresh", 1, func() func() error {
			e := session(user())
			return func() error { _, _, err := s.SessionForRefresh(ctx, e.Lookup, e.Secret); return err }
		}},
		{"SessionForRefresh with an unknown secret", 1, func() func() error {
			e := session(user())
			return func() error { _, _, err := s.SessionForRefresh(ctx, e.Lookup, "unknown"); return err }
		}},
		{"RefreshSession", 1, func() func() error {
			e := session(user())
			return func() error { return s.RefreshSession(ctx, e.Refreshed("next", now)) }
		}},
		{"RefreshSession that took effect before", 2, func() func() error {
			next := session(user()).Refreshed("next", now)
			require.NoError(t, s.RefreshSession(ctx, next))
			return func() error { return s.RefreshSession(ctx, next) }
		}},
		{"EndSessionForRefresh", 1, func() func() error {
			e := session(user())
			return func() error { _, err := s.EndSessionForRefresh(ctx, e.ID); return err }
		}},
		{"EndSessionForRefresh of one that does not exist", 1, func() func() error {
			return func() error { _, err := s.EndSessionForRefresh(ctx, "none"); return err }
		}},
		{"CreateClient, in one batch", 1, func() func() error {
			u := user()
			return func() error { return s.CreateClient(ctx, u.Actor(), domaintest.Client(u)) }
		}},
		{"CreateClient over the limit", 2, func() func() error {
			u := user()
			for range domain.MaxClients {
				client(u)
			}
			return func() error {
				return ignored(t, s.CreateClient(ctx, u.Actor(), domaintest.Client(u)), domain.ErrTooManyClients)
			}
		}},
		{"Clients", 1, func() func() error {
			u := user()
			return func() error { _, err := s.Clients(ctx, u.Actor(), now, page); return err }
		}},
		{"DeleteClient", 1, func() func() error {
			u := user()
			c := client(u)
			return func() error { return s.DeleteClient(ctx, u.Actor(), c.ID) }
		}},
		{"ClientForSignIn", 1, func() func() error {
			c := client(user())
			return func() error { _, _, err := s.ClientForSignIn(ctx, c.ID); return err }
		}},
		{"UseClientForSignIn", 1, func() func() error {
			c := client(user())
			return func() error { _, err := s.UseClientForSignIn(ctx, c.ID, now); return err }
		}},
		{"CleanUp, of which each statement removes one kind", 3, func() func() error {
			return func() error { return s.CleanUp(ctx, now) }
		}},
	})
}

// ignored returns nil if err is the expected one.
func ignored(t *testing.T, err, expected error) error {
	t.Helper()
	require.ErrorIs(t, err, expected)
	return nil
}

func TestTheFirstUseOfAStatementAndAnIdleConnectionCostOneRoundTripMore(t *testing.T) {
	trips, s := openCounted(t)
	admin := newAdmin(t, s)
	read := func() {
		_, err := s.User(t.Context(), admin.Actor(), admin.ID)
		require.NoError(t, err)
	}
	assert.Equal(t, 2, trips.during(read), "it prepares the statement")
	assert.Equal(t, 1, trips.during(read))
	time.Sleep(1100 * time.Millisecond)
	assert.Equal(t, 2, trips.during(read), "it checks a connection that was idle for a second")
}
