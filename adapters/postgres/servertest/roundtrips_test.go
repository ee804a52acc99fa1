//go:build unix

package servertest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestEachMethodMakesOneRoundTripAndARefusedWriteTwo(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	o.Connections = 1
	trips, o := forward(t, o)
	s := openWith(t, o)
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
	for _, call := range []struct {
		name    string
		want    int
		prepare func() (call func() error)
	}{
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
		{"ResetPasswordForOperator", 1, func() func() error {
			u := user()
			next := domaintest.RevisedUser(u, domaintest.WithPasswordHash("x"))
			return func() error { return s.ResetPasswordForOperator(ctx, next, u.Version) }
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
	} {
		require.NoError(t, call.prepare()(), call.name) // the first use also prepares the statements
		again := call.prepare()
		assert.Equal(t, call.want, trips.during(func() { require.NoError(t, again(), call.name) }), call.name)
	}
}

// ignored returns nil if err is the expected one.
func ignored(t *testing.T, err, expected error) error {
	t.Helper()
	require.ErrorIs(t, err, expected)
	return nil
}

func TestTheFirstUseOfAStatementAndAnIdleConnectionCostOneRoundTripMore(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	o.Connections = 1
	trips, o := forward(t, o)
	s := openWith(t, o)
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
