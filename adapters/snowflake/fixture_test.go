package snowflake

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	echoinsnowflake "github.com/echo-in-snowflake/echo-in-snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// newServer starts a fake of Snowflake with the tables of setup.sql.
func newServer(t testing.TB, rules engine.Rules) *snowflaketest.Server {
	t.Helper()
	server := snowflaketest.New(t, rules)
	for _, st := range echoinsnowflake.Tables() {
		server.Exec(st)
	}
	return server
}

func options(server *snowflaketest.Server) session.Options {
	return session.Options{
		Account: "fake", Host: server.Host(), Port: server.Port(), Protocol: "http", Database: "d", Schema: "s",
		Auth: session.Auth{User: "u", Password: "the password"}, RequestTimeout: 10 * time.Second, Connections: 8,
		Version: "test",
	}
}

// open returns a store that was checked.
func open(t testing.TB, o session.Options) *Store {
	t.Helper()
	s := openUnchecked(t, o)
	_, err := s.Check(t.Context())
	require.NoError(t, err)
	return s
}

func openUnchecked(t testing.TB, o session.Options) *Store {
	t.Helper()
	s, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// fixture is a store on a fake of Snowflake with a superuser, and with an account that has an item.
type fixture struct {
	*Store
	server *snowflaketest.Server
	admin  domain.User
	ann    domain.User
	item   domain.Item
}

func newFixture(t testing.TB, changes ...func(*session.Options)) *fixture {
	t.Helper()
	return newFixtureWith(t, engine.Rules{}, changes...)
}

func newFixtureWith(t testing.TB, rules engine.Rules, changes ...func(*session.Options)) *fixture {
	t.Helper()
	server := newServer(t, rules)
	o := options(server)
	for _, change := range changes {
		change(&o)
	}
	f := &fixture{
		Store: open(t, o), server: server,
		admin: domaintest.User(domaintest.Superuser), ann: domaintest.User(),
	}
	f.item = domaintest.Item(f.ann)
	created, err := f.CreateFirstSuperuser(t.Context(), f.admin)
	require.NoError(t, err)
	require.True(t, created)
	require.NoError(t, f.CreateUser(t.Context(), f.admin.Actor(), f.ann))
	require.NoError(t, f.CreateItem(t.Context(), f.ann.Actor(), f.item))
	server.Reset()
	return f
}

// read reads an account.
func (f *fixture) read(ctx context.Context) error {
	_, err := f.User(ctx, f.ann.Actor(), f.ann.ID)
	return err
}

// createUser adds an account.
func (f *fixture) createUser(ctx context.Context) error {
	return f.CreateUser(ctx, f.admin.Actor(), domaintest.User())
}

// users returns how many accounts are stored.
func (f *fixture) users() int { return len(f.server.Exec("SELECT id FROM users").Rows) }

// endsIn returns a context that ends after d.
func endsIn(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
