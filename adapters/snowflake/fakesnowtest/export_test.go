package fakesnowtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestAnExportFromFakesnowHasAllRowsAndFindsTheFaults(t *testing.T) {
	schema := newSchema()
	require.NoError(t, fakesnow.CreateTables(context.Background(), "contract", schema))
	s := openIn(t, schema, 10*time.Second)
	admin := domaintest.User(domaintest.Superuser)
	created, err := s.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	require.True(t, created)
	i := domaintest.Item(admin)
	require.NoError(t, s.CreateItem(t.Context(), admin.Actor(), i))

	require.NoError(t, s.ExportUsers(t.Context(), func(p snowflake.Part[domain.User]) error {
		assert.Equal(t, snowflake.Part[domain.User]{Rows: []domain.User{admin}}, p)
		return nil
	}))
	require.NoError(t, s.ExportItems(t.Context(), func(p snowflake.Part[domain.Item]) error {
		assert.Equal(t, snowflake.Part[domain.Item]{Rows: []domain.Item{i}}, p)
		return nil
	}))
	e, c := domaintest.Session(admin), domaintest.Client(admin)
	require.NoError(t, s.CreateSession(t.Context(), admin.Actor(), e))
	require.NoError(t, s.CreateClient(t.Context(), admin.Actor(), c))
	require.NoError(t, s.ExportSessions(t.Context(), func(p snowflake.Part[domain.Session]) error {
		assert.Equal(t, snowflake.Part[domain.Session]{Rows: []domain.Session{e}}, p)
		return nil
	}))
	require.NoError(t, s.ExportClients(t.Context(), func(p snowflake.Part[domain.Client]) error {
		assert.Equal(t, snowflake.Part[domain.Client]{Rows: []domain.Client{c}}, p)
		return nil
	}))
	at, err := s.FirstSuperuserAt(t.Context())
	require.NoError(t, err)
	assert.Equal(t, domain.Some(admin.CreatedAt), at)
	faults, err := s.Faults(t.Context())
	require.NoError(t, err)
	assert.Empty(t, faults)

	for _, st := range []string{
		"INSERT INTO items SELECT * FROM items",
		"INSERT INTO users SELECT * FROM users",
		"INSERT INTO items SELECT 'orphan', 'gone', title, description, version, created_at, updated_at FROM items LIMIT 1",
		"UPDATE users SET email = 'Admin@example.com', snowflake_user = 'ADMIN'",
		"INSERT INTO sessions SELECT * FROM sessions",
		"INSERT INTO clients SELECT * FROM clients",
	} {
		execute(t, schema, st)
	}
	faults, err = s.Faults(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []snowflake.Fault{
		{What: "accounts with the id of another account", Total: 1, IDs: []string{admin.ID}},
		{What: "accounts with the e-mail of another account", Total: 2, IDs: []string{admin.ID, admin.ID}},
		{What: "accounts with an e-mail that is not in lower case", Total: 2, IDs: []string{admin.ID, admin.ID}},
		{What: "accounts with the user in Snowflake of another account", Total: 2, IDs: []string{admin.ID, admin.ID}},
		{What: "items with the id of another item", Total: 1, IDs: []string{i.ID}},
		{What: "items without an owner", Total: 1, IDs: []string{"orphan"}},
		{What: "sessions with the id of another session", Total: 1, IDs: []string{e.ID}},
		{What: "clients with the id of another client", Total: 1, IDs: []string{c.ID}},
	}, faults)
}

// execute executes a statement in a session of its own.
func execute(t *testing.T, schema, sql string) {
	t.Helper()
	db, err := session.Open(session.Options{
		Account: "fakesnow", Host: fakesnow.Host, Port: fakesnow.Port, Protocol: "http", Database: "contract", Schema: schema,
		Auth: session.Auth{User: "u", Password: "p"}, RequestTimeout: 10 * time.Second, Connections: 1,
	})
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Write(t.Context(), func(ctx context.Context, c session.Conn) error {
		_, err := c.Exec(ctx, session.Statement{SQL: sql})
		return err
	}), sql)
}
