//go:build unix

package poolertest

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

func TestMain(m *testing.M) { pgtest.MainWithPgBouncer(m) }

var roles int // how many there are; tests run one after the other

// behindPgBouncer returns the options of a service whose role has its settings, because PgBouncer refuses them.
func behindPgBouncer(t *testing.T, b *pgserver.PgBouncer, server *pgserver.Server) session.Options {
	t.Helper()
	roles++
	role := fmt.Sprintf("echo_app%d", roles)
	pgtest.Exec(t, server.DSN(pgserver.SuperUser, "postgres"),
		"CREATE ROLE "+role+" LOGIN",
		"CREATE SCHEMA "+role+" AUTHORIZATION "+role,
		"ALTER ROLE "+role+" SET search_path = "+role,
		"ALTER ROLE "+role+" SET default_transaction_isolation = 'read committed'",
		"ALTER ROLE "+role+" SET statement_timeout = '9500ms'",
		"ALTER ROLE "+role+" SET lock_timeout = '4750ms'")
	t.Cleanup(func() { // PgBouncer keeps the connections of each role, and the server has not enough for all
		pgtest.Exec(t, server.DSN(pgserver.SuperUser, "postgres"),
			"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
	})
	o := session.Options{
		Host: b.Socket, Port: b.Port, Database: "postgres", User: role, Pooler: true,
		RequestTimeout: 10 * time.Second, Connections: 8, Version: "test",
	}
	require.NoError(t, postgres.Migrate(t.Context(), o, postgres.Migrations(), false, io.Discard))
	return o
}

func open(t *testing.T, o session.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// The store has more connections than PgBouncer, so that its transactions meet those of other connections.
func TestTheStoreKeepsItsContractBehindPgBouncer(t *testing.T) {
	server := pgtest.Server(t)
	b := pgtest.StartPgBouncer(t, server, 4)
	portstest.TestStore(t, func(t *testing.T) ports.Store {
		s := open(t, behindPgBouncer(t, b, server))
		_, err := s.Check(t.Context())
		require.NoError(t, err)
		return s
	})
}

func TestWithoutItsKeyAPoolerIsRecognized(t *testing.T) {
	server := pgtest.Server(t)
	o := behindPgBouncer(t, pgtest.StartPgBouncer(t, server, 4), server)
	o.Pooler = false
	_, err := open(t, o).Check(t.Context())
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorContains(t, err, "set POSTGRES_POOLER=true")
}

func TestWritesAtTheEndOfPgBouncerHaveTheRightAnswer(t *testing.T) {
	server := pgtest.Server(t)
	b := pgtest.StartPgBouncer(t, server, 4)
	o := behindPgBouncer(t, b, server)
	s := open(t, o)
	admin := domaintest.User(domaintest.Superuser)
	_, err := s.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	o.Host, o.Port = server.Socket, server.Port
	direct := open(t, o)
	time.AfterFunc(300*time.Millisecond, func() { assert.NoError(t, b.Close()) })
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		i := domaintest.Item(admin)
		err := s.CreateItem(t.Context(), admin.Actor(), i)
		_, missing := direct.Item(t.Context(), admin.Actor(), domain.AllItems(), i.ID)
		switch {
		case err == nil:
			require.NoError(t, missing)
		case domain.KindOf(err) != domain.Unavailable:
			require.NoError(t, err)
		case !errors.Is(err, domain.ErrOutcomeUnknown):
			require.ErrorIs(t, missing, domain.ErrNotFound, err)
		}
	}
}
