package snowflake

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// examined returns the results of Examine by their check.
func examined(t *testing.T, s *Store) map[string]ports.CheckResult {
	t.Helper()
	results := map[string]ports.CheckResult{}
	for _, r := range s.Examine(t.Context()) {
		assert.NotContains(t, results, r.Check)
		assert.NotEmpty(t, r.Detail, r.Check)
		assert.Equal(t, r.Status == ports.CheckOK, r.Cure == "", "%+v", r)
		results[r.Check] = r
	}
	return results
}

func TestAnExaminationOfAGoodInstallationFindsNothing(t *testing.T) {
	t.Parallel()
	server := newServer(t, engine.Rules{Account: map[string]string{"ALLOW_BIND_VALUES_ACCESS": "false"}})
	s := openUnchecked(t, options(server))
	results := examined(t, s)
	assert.Len(t, results, 9)
	for _, r := range results {
		assert.Equal(t, ports.CheckOK, r.Status, "%+v", r)
	}
	assert.Contains(t, results["first superuser"].Detail, "the next start creates it")
	for _, r := range server.Requests() {
		read := r.SQL == "" || strings.HasPrefix(r.SQL, "SELECT ") || strings.HasPrefix(r.SQL, "SHOW ")
		assert.True(t, read, "an examination changes nothing: %s", r.SQL)
	}

	_, err := s.CreateFirstSuperuser(t.Context(), domaintest.User(domaintest.Superuser))
	require.NoError(t, err)
	assert.Contains(t, examined(t, s)["first superuser"].Detail, "was created")
}

func TestAnExaminationFindsWhatIsWrongInSnowflake(t *testing.T) {
	t.Parallel()
	type found struct {
		check  string
		status ports.CheckStatus
		detail string
		cure   string
	}
	for name, c := range map[string]struct {
		rules engine.Rules
		spoil func(*snowflaketest.Server)
		want  found
	}{
		"a refused sign-in": {
			spoil: func(s *snowflaketest.Server) {
				s.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Code: "390100"} })
			},
			want: found{"sign-in", ports.CheckFailed, "refused by Snowflake", "SNOWFLAKE_USER"},
		},
		"an account that does not answer": {
			spoil: func(s *snowflaketest.Server) { s.Stop() },
			want:  found{"sign-in", ports.CheckFailed, "unavailable", "SNOWFLAKE_ACCOUNT"},
		},
		"a missing table": {
			spoil: func(s *snowflaketest.Server) { s.Exec("DROP TABLE items") },
			want:  found{"tables", ports.CheckFailed, "table items", "setup.sql"},
		},
		"a missing privilege": {
			rules: engine.Rules{Granted: []string{"SELECT", "INSERT", "UPDATE"}},
			want: found{"grants", ports.CheckWarning, "ECHO_ROLE itself: DELETE on account_lock, DELETE on clients, DELETE on items, " +
				"DELETE on sessions, DELETE on users", "setup.sql"},
		},
		"a weak consistency": {
			rules: engine.Rules{StaleSessions: true},
			want:  found{"read consistency", ports.CheckWarning, "SESSION", "READ_CONSISTENCY_MODE"},
		},
		"bound values in the history": {
			want: found{"query history", ports.CheckWarning, "TRUE", "ALLOW_BIND_VALUES_ACCESS = FALSE"},
		},
		"a warehouse that does not answer": {
			spoil: func(s *snowflaketest.Server) {
				s.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
					if strings.HasPrefix(r.SQL, "SELECT id") {
						return &snowflaketest.Fault{Code: "606"}
					}
					return nil
				})
			},
			want: found{"warehouse", ports.CheckFailed, "606", "SNOWFLAKE_WAREHOUSE"},
		},
		"a lock without its row": {
			spoil: func(s *snowflaketest.Server) { s.Exec("DELETE FROM account_lock") },
			want:  found{"first superuser", ports.CheckFailed, "account_lock has 0 rows", "setup.sql"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, c.rules)
			s := openUnchecked(t, options(server))
			if c.spoil != nil {
				c.spoil(server)
			}
			r := examined(t, s)[c.want.check]
			assert.Equal(t, c.want.status, r.Status, "%+v", r)
			assert.Contains(t, r.Detail, c.want.detail)
			assert.Contains(t, r.Cure, c.want.cure)
		})
	}
}

func TestAPowerfulRoleIsAWarning(t *testing.T) {
	assert.Equal(t, ports.CheckOK, roleResult("ECHO_ROLE").Status)
	assert.Equal(t, ports.CheckWarning, roleResult("ACCOUNTADMIN").Status)
}

func TestAClockThatDiffersIsAWarning(t *testing.T) {
	sent := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	received := sent.Add(10 * time.Second)
	for theirs, want := range map[time.Duration]string{
		-31 * time.Second: "differs from Snowflake's by 31s",
		-30 * time.Second: "agrees with Snowflake's",
		0:                 "agrees with Snowflake's",
		40 * time.Second:  "agrees with Snowflake's",
		41 * time.Second:  "differs from Snowflake's by 31s",
	} {
		assert.Equal(t, want, clockResult(facts{sent: sent, clock: sent.Add(theirs), received: received}).Detail)
	}
}
