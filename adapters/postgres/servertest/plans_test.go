//go:build unix

package servertest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// fill adds accounts, and as many items, a session and a client of each of them, with the statistics that the planner
// uses.
func fill(t testing.TB, schema string, accounts, itemsEach int) {
	t.Helper()
	pgtest.Exec(t, pgtest.Server(t).DSN(pgserver.SuperUser, database),
		"SET search_path = "+schema,
		fmt.Sprintf(`INSERT INTO users (id, email, is_active, is_superuser, version, epoch, created_at, updated_at)
			SELECT 'user-' || n, 'user' || n || '@example.com', true, false, 1, 1, now() - n * interval '1 s', now()
			FROM generate_series(1, %d) n`, accounts),
		"INSERT INTO credentials SELECT id, 'hash' FROM users WHERE id LIKE 'user-%'",
		fmt.Sprintf(`INSERT INTO items (id, owner_id, title, version, created_at, updated_at)
			SELECT u.id || '-item-' || n, u.id, 'title', 1, now() - n * interval '1 s', now()
			FROM users u, generate_series(1, %d) n
			WHERE u.id LIKE 'user-%%'`, itemsEach),
		`INSERT INTO sessions
			SELECT id || '-session', id, 1, 'password', id, id, '', '', '', created_at, created_at, now() + interval '1 day'
			FROM users
			WHERE id LIKE 'user-%'`,
		`INSERT INTO clients
			SELECT id || '-client', id, 1, '', 'name', false, now() + interval '1 day', created_at, NULL
			FROM users
			WHERE id LIKE 'user-%'`,
		"VACUUM ANALYZE users", "VACUUM ANALYZE credentials", "VACUUM ANALYZE items", "VACUUM ANALYZE sessions",
		"VACUUM ANALYZE clients", "ANALYZE installation")
}

// A plan node of EXPLAIN (FORMAT JSON).
type plan struct {
	Type      string `json:"Node Type"`
	Relation  string `json:"Relation Name"`
	Index     string `json:"Index Name"`
	Condition string `json:"Index Cond"`
	Plans     []plan
}

// scanned returns the tables and indexes that the plan reads from their begin to their end. Below a limit, an index is
// read until there are enough rows.
func (p plan) scanned(limited bool) []string {
	var all []string
	switch {
	case p.Type == "Seq Scan":
		all = append(all, p.Relation)
	case p.Index != "" && p.Condition == "" && !limited:
		all = append(all, p.Index)
	}
	for _, below := range p.Plans {
		all = append(all, below.scanned(limited || p.Type == "Limit")...)
	}
	return all
}

// The texts come from the spans of statements, so that none is forgotten. A generic plan does not know the values, which
// is the worst case.
func TestNoStatementReadsAWholeTable(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	o := newSchema(t)
	o.Traces = trace.NewTracerProvider(trace.WithSyncer(spans))
	migrate(t, o)
	s := openWith(t, o)
	callEveryMethod(t, s)
	callEveryMethodOfCredentials(t, s)
	const rows = 100_000
	fill(t, o.Schema, rows, 1)

	conn := connect(t, o)
	_, err := conn.Exec(t.Context(), "SET plan_cache_mode = force_generic_plan")
	require.NoError(t, err)
	explained := map[string]bool{}
	for _, span := range spans.GetSpans() {
		for _, attribute := range span.Attributes {
			text := attribute.Value.AsString()
			if attribute.Key != "db.query.text" || explained[text] {
				continue
			}
			explained[text] = true
			// The first two have one row each, and the third a row for each active superuser.
			allowed := []string{"installation", "schema_version", "active_superusers"}
			if strings.Contains(text, "(SELECT count(*) FROM users WHERE TRUE)") {
				allowed = append(allowed, "users", "users_pkey", "users_newest_first", "one_email", "one_snowflake_user")
			}
			if strings.Contains(text, "SKIP LOCKED") { // the cleanup, which runs in the background
				allowed = append(allowed, "users", "sessions", "clients", "sessions_newest_first")
			}
			assert.Subset(t, allowed, explain(t, conn, text).scanned(false), text)
		}
	}
	assert.GreaterOrEqual(t, len(explained), 50)
}

var placeholder = regexp.MustCompile(`\$\d+`)

// explain returns the generic plan of a statement.
func explain(t *testing.T, conn *pgx.Conn, text string) plan {
	t.Helper()
	n := 0
	for _, p := range placeholder.FindAllString(text, -1) {
		number, err := strconv.Atoi(p[1:])
		require.NoError(t, err)
		n = max(n, number)
	}
	arguments := ""
	if n > 0 {
		arguments = "(NULL" + strings.Repeat(", NULL", n-1) + ")"
	}
	_, err := conn.Exec(t.Context(), "PREPARE explained AS "+text)
	require.NoError(t, err, text)
	var found []byte
	err = conn.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) EXECUTE explained"+arguments, pgx.QueryExecModeSimpleProtocol).
		Scan(&found)
	require.NoError(t, err, text)
	_, err = conn.Exec(t.Context(), "DEALLOCATE explained")
	require.NoError(t, err)
	var plans []struct{ Plan plan }
	require.NoError(t, json.Unmarshal(found, &plans))
	return plans[0].Plan
}

// callEveryMethod calls every method of the store so that it sends each of its statements. A refusal is as good as a
// success.
func callEveryMethod(t *testing.T, s *postgres.Store) {
	t.Helper()
	ctx, admin := t.Context(), newAdmin(t, s)
	by, last := admin.Actor(), domain.Some(admin.Position())
	demoted := domaintest.RevisedUser(admin, domaintest.Inactive, domaintest.WithPasswordHash("x"))
	renamed := domaintest.RevisedUser(admin, domaintest.WithEmail(domaintest.Email("other@example.com")))
	item := domaintest.Item(admin)
	_, _ = s.CreateFirstSuperuser(ctx, domaintest.User())
	_, _ = s.HadFirstSuperuser(ctx)
	_ = s.CreateSuperuserForOperator(ctx, admin)
	_ = s.UpdateUserForOperator(ctx, admin, 99)
	_, _ = s.UserForSignIn(ctx, admin.Email)
	_ = s.RehashForSignIn(ctx, admin.ID, "no", "x")
	_, _ = s.User(ctx, by, admin.ID)
	_ = s.CreateUser(ctx, by, domaintest.User())
	_ = s.CreateUser(ctx, by, domaintest.User(domaintest.WithEmail(admin.Email)))
	_ = s.UpdateUser(ctx, by, demoted, admin)
	_ = s.UpdateUser(ctx, by, demoted, demoted)
	_ = s.UpdateUser(ctx, by, renamed, domaintest.User())
	_ = s.DeleteUser(ctx, by, admin.ID, domain.Versions{})
	_ = s.DeleteUser(ctx, by, admin.ID, domain.OnlyVersions(1))
	_ = s.CreateItem(ctx, by, item)
	for _, scope := range []domain.ItemScope{domain.AllItems(), domain.OwnedBy(admin.ID)} {
		_, _ = s.Item(ctx, by, scope, item.ID)
		_ = s.UpdateItem(ctx, by, scope, item, 99)
		_ = s.DeleteItem(ctx, by, scope, "none", domain.Versions{})
		_ = s.DeleteItem(ctx, by, scope, "none", domain.OnlyVersions(1))
	}
	for _, page := range []domain.PageRequest{
		{Limit: 10}, {Limit: 10, Count: true}, {Limit: 10, After: last}, {Limit: 10, After: last, Count: true},
	} {
		_, err := s.Users(ctx, by, page)
		require.NoError(t, err)
		_, err = s.Items(ctx, by, admin.ID, page)
		require.NoError(t, err)
	}
}

// callEveryMethodOfCredentials does the same for sessions, clients and users of Snowflake.
func callEveryMethodOfCredentials(t *testing.T, s *postgres.Store) {
	t.Helper()
	ctx, u := t.Context(), domaintest.User(domaintest.WithSnowflakeUser("ANN"))
	require.NoError(t, s.CreateUserForSnowflakeSignIn(ctx, u))
	by, now := u.Actor(), domaintest.Created
	e, c := domaintest.Session(u), domaintest.Client(u)
	linked := domaintest.RevisedUser(u, domaintest.WithSnowflakeUser("BOB"))
	_, _ = s.UserForSnowflakeSignIn(ctx, domaintest.SnowflakeUser("ANN"))
	_ = s.CreateUser(ctx, by, domaintest.User(domaintest.WithSnowflakeUser("ANN")))
	for range 2 {
		require.NoError(t, s.CreateSession(ctx, by, e))
		require.NoError(t, s.CreateClient(ctx, by, c))
	}
	for _, page := range []domain.PageRequest{
		{Limit: 10, Count: true}, {Limit: 10, After: domain.Some(e.Position()), Count: true},
	} {
		_, err := s.Sessions(ctx, by, now, page)
		require.NoError(t, err)
		_, err = s.Clients(ctx, by, now, page)
		require.NoError(t, err)
	}
	_, _, _ = s.SessionForRefresh(ctx, e.Lookup, e.Secret)
	_ = s.RefreshSession(ctx, domaintest.Session(u))
	_, _, _ = s.ClientForSignIn(ctx, c.ID)
	_, _ = s.UseClientForSignIn(ctx, c.ID, now)
	_ = s.DeleteSession(ctx, by, "none")
	_ = s.DeleteClient(ctx, by, "none")
	_, _ = s.EndSessionForRefresh(ctx, e.ID)
	require.NoError(t, s.CleanUp(ctx, now))
	_ = s.UpdateUser(ctx, by, linked, u)
}
