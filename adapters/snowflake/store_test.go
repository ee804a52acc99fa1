package snowflake

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

func TestStoreOnStandardTablesOfTheFake(t *testing.T) {
	portstest.TestStore(t, func(t *testing.T) ports.Store { return open(t, options(serve(t, engine.Rules{}))) })
}

func TestStoreOnHybridTablesOfTheFake(t *testing.T) {
	portstest.TestStore(t, func(t *testing.T) ports.Store { return open(t, options(serve(t, hybrid))) })
}

var hybrid = engine.Rules{Unique: map[string]string{"users": "email"}}

func TestStoreWhereAWaitingStatementReadsOtherRowsAsTheyWere(t *testing.T) {
	portstest.TestStore(t, func(t *testing.T) ports.Store {
		return open(t, options(serve(t, engine.Rules{SnapshotSubqueries: true})))
	})
}

func TestHybridTablesAreDetectedAndNeedNoLockForAnEmail(t *testing.T) {
	server := serve(t, hybrid)
	s, err := Open(options(server))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	found, err := s.Check(t.Context())
	require.NoError(t, err)
	assert.True(t, found.Hybrid)

	admin := user("admin")
	admin.Superuser = true
	_, err = s.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	server.Reset()
	require.NoError(t, s.CreateUser(t.Context(), admin.Actor(), user("ann")))
	assert.Equal(t, 1, server.Statements())

	// Past the statement's own look, as if another had inserted it a moment before.
	taken := user("bob")
	taken.Email = user("ann").Email
	st := insertUser(taken)
	st.text = strings.Replace(st.text, "= 0", ">= 0", 1)
	_, err = exec(t.Context(), s.db, st)
	assert.ErrorIs(t, err, domain.ErrEmailTaken, "the engine's own refusal is understood")

	server.Reset()
	_, err = s.User(t.Context(), admin.Actor(), admin.ID)
	require.NoError(t, err)
	assert.Zero(t, server.Logins(), "sessions that read the latest writes were opened once and are kept")
}

func TestSessionsOfHybridTablesReadTheLatestWrites(t *testing.T) {
	server := serve(t, hybrid)
	s := open(t, options(server))
	require.Len(t, logins(server), 1)
	assert.NotContains(t, logins(server)[0].Body, "READ_LATEST_WRITES")
	_, err := s.UserForSignIn(t.Context(), user("ann").Email)
	require.ErrorIs(t, err, domain.ErrNotFound)
	require.Len(t, logins(server), 2, "the session of the check is not used again")
	assert.Contains(t, logins(server)[1].Body, `"READ_LATEST_WRITES":"true"`)
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Run("a table", func(t *testing.T) {
		server := serve(t, engine.Rules{})
		s := open(t, options(server))
		server.Exec("DROP TABLE items")
		_, err := s.Check(t.Context())
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.ErrorContains(t, err, "missing, or not visible to this role: table items: run setup.sql")
	})
	t.Run("each column of each table", func(t *testing.T) {
		server := serve(t, engine.Rules{})
		s := open(t, options(server))
		for table, columns := range needed {
			for _, missing := range columns {
				server.Exec("DROP TABLE " + table)
				var rest []string
				for _, c := range columns {
					if c != missing {
						rest = append(rest, c+" NUMBER(1, 0)")
					}
				}
				server.Exec("CREATE TABLE " + table + " (" + strings.Join(rest, ", ") + ")")
				_, err := s.Check(t.Context())
				assert.ErrorContains(t, err, ": column "+table+"."+missing+": run setup.sql")
				server.Exec("DROP TABLE " + table)
				server.Exec("CREATE TABLE " + table + " (" + strings.Join(columns, " NUMBER(1, 0), ") + " NUMBER(1, 0))")
			}
		}
		_, err := s.Check(t.Context())
		assert.NoError(t, err)
	})
	t.Run("the row of the lock", func(t *testing.T) {
		server := serve(t, engine.Rules{})
		s := open(t, options(server))
		server.Exec("DELETE FROM account_lock")
		_, err := s.HadFirstSuperuser(t.Context())
		assert.ErrorIs(t, err, domain.ErrUnavailable)
		assert.ErrorContains(t, err, "account_lock has 0 rows and must have 1: run setup.sql")
	})
}

func TestWithoutTheRowOfTheLockNothingIsWritten(t *testing.T) {
	s := set(t)
	s.server.Exec("DELETE FROM account_lock")
	err := s.DeleteUser(t.Context(), s.admin.Actor(), s.ann.ID, domain.Versions{})
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.Len(t, s.server.Exec("SELECT id FROM users").Rows, 2)
}

func TestCheckSaysWhichConsistencyItFound(t *testing.T) {
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
			s, err := Open(options(serve(t, tt.rules)))
			require.NoError(t, err)
			t.Cleanup(func() { _ = s.Close() })
			found, err := s.Check(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tt.mode, found.Consistency)
			assert.Equal(t, tt.weakened, found.Weakened() != "")
		})
	}
}

// Under SESSION a session may not see an account's latest epoch, and must not take its newest token
// for one that has ended.
func TestATokenIsNeverRefusedForWhatASessionDoesNotSeeYet(t *testing.T) {
	server := serve(t, engine.Rules{StaleSessions: true})
	o := options(server)
	writer := open(t, o)
	admin := user("admin")
	admin.Superuser = true
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

	ann := user("ann")
	require.NoError(t, writer.CreateUser(t.Context(), next.Actor(), ann))
	got, err = reader.User(t.Context(), ann.Actor(), ann.ID)
	require.NoError(t, err, "an account that is newer than the session")
	assert.Equal(t, ann, got)

	forged := next.Actor()
	forged.Epoch = 3
	server.Reset()
	_, err = reader.User(t.Context(), forged, admin.ID)
	assert.ErrorIs(t, err, domain.ErrSignedOut, "what a new session does not see either is not there")
	assert.Equal(t, 1, server.Logins())
}
