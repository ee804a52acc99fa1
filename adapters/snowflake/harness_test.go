package snowflake

import (
	"context"
	"os"
	"testing"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/require"

	echoinsnowflake "github.com/echo-in-snowflake/echo-in-snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestMain(m *testing.M) {
	// What the driver does before Open has told it not to.
	os.Setenv("SNOWFLAKE_DISABLE_PLATFORM_DETECTION", "true")
	_ = sf.GetLogger().SetLogLevel("OFF")
	os.Exit(m.Run())
}

// serve starts a fake of Snowflake with the tables of setup.sql.
func serve(t testing.TB, rules engine.Rules) *snowflaketest.Server {
	t.Helper()
	server := snowflaketest.New(t, rules)
	for _, st := range echoinsnowflake.Tables() {
		server.Exec(st)
	}
	return server
}

// options are those for server.
func options(server *snowflaketest.Server) Options {
	return Options{
		Account: "fake", Host: server.Host(), Port: server.Port(), Protocol: "http", Database: "d", Schema: "s",
		Auth: Auth{User: "u", Password: "the password"}, RequestTimeout: 10 * time.Second, Connections: 8, Version: "test",
	}
}

func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	_, err = s.Check(t.Context())
	require.NoError(t, err)
	return s
}

// scene is a store on a fake, with an administrator and somebody who has an item.
type scene struct {
	*Store
	server *snowflaketest.Server
	t      testing.TB
	admin  domain.User
	ann    domain.User
	item   domain.Item
}

func set(t testing.TB, changes ...func(*Options)) *scene {
	t.Helper()
	server := serve(t, engine.Rules{})
	o := options(server)
	for _, change := range changes {
		change(&o)
	}
	s := &scene{Store: open(t, o), server: server, t: t, admin: user("admin"), ann: user("ann")}
	s.admin.Superuser = true
	s.item = item(s.ann, "i1")
	created, err := s.CreateFirstSuperuser(t.Context(), s.admin)
	require.NoError(t, err)
	require.True(t, created)
	require.NoError(t, s.CreateUser(t.Context(), s.admin.Actor(), s.ann))
	require.NoError(t, s.CreateItem(t.Context(), s.ann.Actor(), s.item))
	server.Reset()
	return s
}

var someTime = time.Date(2026, 3, 29, 1, 59, 59, 999_999_000, time.UTC)

func user(id string) domain.User {
	email, err := domain.ParseEmail(id + "@example.com")
	if err != nil {
		panic(err)
	}
	return domain.User{ID: id, Email: email, PasswordHash: "hash", Active: true, Version: 1, Epoch: 1, CreatedAt: someTime, UpdatedAt: someTime}
}

func item(owner domain.User, id string) domain.Item {
	title, err := domain.ParseTitle("a title")
	if err != nil {
		panic(err)
	}
	return domain.Item{ID: id, OwnerID: owner.ID, Title: title, Version: 1, CreatedAt: someTime, UpdatedAt: someTime}
}

// ending returns a context that ends after d.
func ending(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// read is a call that reads, write one that adds an item of ann's.
func (s *scene) read(ctx context.Context) error {
	_, err := s.User(ctx, s.ann.Actor(), s.ann.ID)
	return err
}

func (s *scene) write(ctx context.Context, id string) error {
	return s.CreateItem(ctx, s.ann.Actor(), item(s.ann, id))
}

// items counts the rows that write left.
func (s *scene) items() int {
	return len(s.server.Exec("SELECT id FROM items").Rows) - 1
}
