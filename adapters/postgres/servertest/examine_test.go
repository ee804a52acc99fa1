//go:build unix

package servertest

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// examine returns the results of an examination by check.
func examine(t *testing.T, o session.Options) map[string]ports.CheckResult {
	t.Helper()
	results := map[string]ports.CheckResult{}
	for _, r := range openUnchecked(t, o).Examine(t.Context()) {
		results[r.Check] = r
	}
	return results
}

func TestAnExaminationFindsWhatAnOperatorHasToCorrect(t *testing.T) {
	t.Parallel()
	admin := pgtest.Server(t).DSN(pgserver.SuperUser, database)
	ready := newSchema(t)
	migrate(t, ready)
	results := examine(t, ready)
	for _, check := range []string{"sign-in", "TLS", "role", "isolation", "connections", "schema", "grants", "first superuser"} {
		assert.Equal(t, ports.CheckOK, results[check].Status, "%+v", results[check])
	}
	assert.Contains(t, results["role"].Detail, "cannot change the schema")

	t.Run("a schema that was not migrated", func(t *testing.T) {
		results := examine(t, newSchema(t))
		assert.Equal(t, ports.CheckFailed, results["schema"].Status)
		assert.Contains(t, results["schema"].Cure, "migrate as the owner")
		assert.NotContains(t, results, "grants", "nothing can be said about them")
	})
	t.Run("the role that owns the schema", func(t *testing.T) {
		o := ready
		o.User = migrator
		assert.Equal(t, ports.CheckWarning, examine(t, o)["role"].Status)
	})
	t.Run("a superuser of the server", func(t *testing.T) {
		o := ready
		o.User = pgserver.SuperUser
		assert.Contains(t, examine(t, o)["role"].Detail, "is a superuser")
	})
	t.Run("a role that owns the tables, but not the schema", func(t *testing.T) {
		o := newSchema(t)
		migrate(t, o)
		pgtest.Exec(t, admin, "ALTER SCHEMA "+o.Schema+" OWNER TO "+pgserver.SuperUser,
			"GRANT USAGE ON SCHEMA "+o.Schema+" TO "+migrator)
		assert.Equal(t, ports.CheckWarning, examine(t, withUser(o, migrator))["role"].Status)
	})
	t.Run("a grant that is missing", func(t *testing.T) {
		o := newSchema(t)
		migrate(t, o)
		for _, table := range []string{"items", "sessions", "clients"} {
			pgtest.Exec(t, admin, "REVOKE DELETE ON "+o.Schema+"."+table+" FROM "+app)
			r := examine(t, o)["grants"]
			assert.Equal(t, ports.CheckFailed, r.Status)
			assert.Contains(t, r.Detail, "DELETE on "+table)
		}
	})
	t.Run("more connections than the server has", func(t *testing.T) {
		o := ready
		o.Connections = 200
		assert.Equal(t, ports.CheckWarning, examine(t, o)["connections"].Status)
	})
	t.Run("a role whose transactions are isolated too well", func(t *testing.T) {
		pgtest.Exec(t, admin, roleUnlessExists("isolated"), "GRANT "+app+" TO isolated",
			"ALTER ROLE isolated SET default_transaction_isolation = 'repeatable read'",
			"ALTER ROLE isolated SET search_path = "+ready.Schema)
		o := ready
		o.User, o.Schema, o.Pooler = "isolated", "", true // so that the service cannot set it
		r := examine(t, o)["isolation"]
		assert.Equal(t, ports.CheckFailed, r.Status)
		assert.Contains(t, r.Cure, "ALTER ROLE isolated SET default_transaction_isolation")
	})
	t.Run("a role that does not exist", func(t *testing.T) {
		o := ready
		o.User = "nobody"
		results := examine(t, o)
		assert.Len(t, results, 1)
		assert.Contains(t, results["sign-in"].Cure, "check POSTGRES_USER")
	})
	t.Run("a server that is away", func(t *testing.T) {
		o := ready
		o.Port = 1
		assert.Contains(t, examine(t, o)["sign-in"].Cure, "POSTGRES_PORT")
	})
}
