package snowflake

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

// hybrid are hybrid tables, which enforce unique e-mails.
var hybrid = engine.Rules{Unique: map[string]string{"users": "email"}}

func TestStoreKeepsItsContractOnTheFake(t *testing.T) {
	for name, rules := range map[string]engine.Rules{
		"on standard tables": {},
		"on hybrid tables":   hybrid,
		"if a statement that waited reads other rows as they were": {SnapshotSubqueries: true},
	} {
		keepsItsContract(t, name, rules)
	}
}

// keepsItsContract runs the contract on a fake with these rules.
func keepsItsContract(t *testing.T, name string, rules engine.Rules) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		portstest.TestStore(t, func(t *testing.T) ports.Store { return open(t, options(newServer(t, rules))) })
	})
}

func TestAnAccountOnHybridTablesIsCreatedByOneStatement(t *testing.T) {
	server := newServer(t, hybrid)
	s := open(t, options(server))
	admin := domaintest.User(domaintest.Superuser)
	_, err := s.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	server.Reset()
	require.NoError(t, s.CreateUser(t.Context(), admin.Actor(), domaintest.User()))
	assert.Equal(t, 1, server.Statements())

	server.Reset()
	_, err = s.User(t.Context(), admin.Actor(), admin.ID)
	require.NoError(t, err)
	assert.Zero(t, server.Logins(), "the sessions that read the latest writes are kept")
}

func TestAnEmailThatTheHybridTableRefusesIsTaken(t *testing.T) {
	server := newServer(t, hybrid)
	s := open(t, options(server))
	admin := domaintest.User(domaintest.Superuser)
	_, err := s.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)

	// Without its own condition, as if another account got the e-mail a moment before.
	st := insertUser(domaintest.User(domaintest.WithEmail(admin.Email)))
	st.SQL = strings.Replace(st.SQL, "= 0", ">= 0", 1)
	err = s.db.Write(t.Context(), func(ctx context.Context, c session.Conn) error {
		_, err := c.Exec(ctx, st)
		return err
	})
	assert.ErrorIs(t, emailTaken(err), domain.ErrEmailTaken)
}

func TestAnotherDuplicateKeyIsNotATakenEmail(t *testing.T) {
	err := &session.DuplicateKeyError{Message: "A primary key already exists."}
	assert.NotErrorIs(t, emailTaken(err), domain.ErrEmailTaken)
}

func TestARowThatBreaksARuleOfTheDomainIsAnInternalErrorThatNamesTheRow(t *testing.T) {
	const nullable = `CREATE TABLE items (id VARCHAR(36), owner_id VARCHAR(36), title VARCHAR(255),
		description VARCHAR(5000), version NUMBER(19, 0), created_at TIMESTAMP_NTZ(6), updated_at TIMESTAMP_NTZ(6))`
	for name, row := range map[string]string{
		"with an empty title": "INSERT INTO items (id, owner_id, title) SELECT 'i', ?, ''",
		"with NULL as title":  "INSERT INTO items (id, owner_id) SELECT 'i', ?",
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.server.Exec("DROP TABLE items")
			f.server.Exec(nullable)
			f.server.Exec(row, f.ann.ID)
			_, err := f.Item(t.Context(), f.ann.Actor(), domain.AllItems(), "i")
			assert.ErrorContains(t, err, "column title of the row i of table items: ")
			assert.Equal(t, domain.Internal, domain.KindOf(err))
			_, err = f.Items(t.Context(), f.ann.Actor(), f.ann.ID, domain.PageRequest{Limit: 10})
			assert.ErrorContains(t, err, "column title of the row i of table items: ", "a list hides no row")
			assert.Equal(t, domain.Internal, domain.KindOf(err))
		})
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Run("a table", func(t *testing.T) {
		f := newFixture(t)
		f.server.Exec("DROP TABLE items")
		_, err := f.Check(t.Context())
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.ErrorContains(t, err, "missing, or not granted to this role: table items: run setup.sql")
	})
	t.Run("each column of each table", func(t *testing.T) {
		f := newFixture(t)
		recreate := func(table string, columns []string) {
			f.server.Exec("DROP TABLE " + table)
			f.server.Exec("CREATE TABLE " + table + " (" + strings.Join(columns, " NUMBER(1, 0), ") + " NUMBER(1, 0))")
		}
		for table, columns := range needed {
			for i, missing := range columns {
				var others []string
				others = append(append(others, columns[:i]...), columns[i+1:]...)
				recreate(table, others)
				_, err := f.Check(t.Context())
				assert.ErrorContains(t, err, ": column "+table+"."+missing+": run setup.sql")
				recreate(table, columns)
			}
		}
		_, err := f.Check(t.Context())
		assert.NoError(t, err)
	})
	t.Run("the row of the lock", func(t *testing.T) {
		f := newFixture(t)
		f.server.Exec("DELETE FROM account_lock")
		_, err := f.HadFirstSuperuser(t.Context())
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.ErrorContains(t, err, "account_lock has 0 rows and must have 1: run setup.sql")
	})
}

func TestCheckRefusesASearchPathThatDoesNotBeginWithTheCurrentSchema(t *testing.T) {
	for path, want := range map[string]string{
		"": "", "$current, $public": "", "$CURRENT": "", " $current ,other.schema": "",
		"$public, $current": "must begin with $current", "other.schema": "must begin with $current",
	} {
		server := newServer(t, engine.Rules{Account: map[string]string{"SEARCH_PATH": path}})
		_, err := openUnchecked(t, options(server)).Check(t.Context())
		if want == "" {
			assert.NoError(t, err, path)
			continue
		}
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.ErrorContains(t, err, want)
	}
}

func TestCheckReportsTheConsistency(t *testing.T) {
	for name, tt := range map[string]struct {
		rules    engine.Rules
		mode     string
		weakened bool
	}{
		"GLOBAL keeps every promise": {engine.Rules{}, "GLOBAL", false},
		"SESSION weakens some":       {engine.Rules{StaleSessions: true}, "SESSION", true},
		"SESSION with hybrid tables": {engine.Rules{StaleSessions: true, Unique: hybrid.Unique}, "SESSION", false},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := openUnchecked(t, options(newServer(t, tt.rules))).Check(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tt.mode, found.Consistency)
			assert.Equal(t, tt.weakened, found.Weakened() != "")
		})
	}
}

// Under SESSION a session may not see the latest epoch of an account. It must not take the newest token for
// one that has ended.
func TestATokenIsNotRefusedBecauseTheSessionIsBehind(t *testing.T) {
	server := newServer(t, engine.Rules{StaleSessions: true})
	o := options(server)
	writer := open(t, o)
	admin := domaintest.User(domaintest.Superuser)
	_, err := writer.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	reader := open(t, o) // its session opens here
	_, err = reader.User(t.Context(), admin.Actor(), admin.ID)
	require.NoError(t, err)

	next := admin
	next.PasswordHash, next.Version, next.Epoch = "next", 2, 2
	require.NoError(t, writer.UpdateUser(t.Context(), admin.Actor(), next, admin))
	server.Reset()
	got, err := reader.User(t.Context(), next.Actor(), admin.ID)
	require.NoError(t, err)
	assert.Equal(t, next, got)
	assert.Equal(t, 1, server.Logins(), "one new session saw it")

	ann := domaintest.User()
	require.NoError(t, writer.CreateUser(t.Context(), next.Actor(), ann))
	got, err = reader.User(t.Context(), ann.Actor(), ann.ID)
	require.NoError(t, err, "an account that is newer than the session")
	assert.Equal(t, ann, got)

	forged := next.Actor()
	forged.Epoch = 3
	server.Reset()
	_, err = reader.User(t.Context(), forged, admin.ID)
	assert.ErrorIs(t, err, domain.ErrSignedOut, "a new session does not see it either")
	assert.Equal(t, 1, server.Logins())
}
