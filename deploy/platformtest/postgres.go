package platformtest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// postgres describes an environment whose store is PostgreSQL.
var postgres = map[string]string{"ECHO_STORAGE": "postgres", "ECHO_POSTGRES_HOST": "abc.postgres.snowflake.app"}

// onPostgres deploys an image in that environment.
func onPostgres(o Operator, input, digest string) Result {
	return o.Run(postgres, input, "--digest", digest, "--timeout", "60")
}

// testPostgres tests deployments of a service on PostgreSQL, and the change from Snowflake tables.
func testPostgres(t *testing.T, open func(*testing.T) Operator) {
	// prepared has what postgres.sql creates.
	prepared := func(t *testing.T) Operator {
		o := open(t)
		o.Platform.Secrets["echo_pg_ca"] = "a certificate"
		o.Platform.WarehouseRoles = append(o.Platform.WarehouseRoles, "echo_deployer")
		return o
	}
	t.Run("on PostgreSQL, the schema is migrated before the service is created", func(t *testing.T) {
		testFirstOnPostgres(t, prepared(t))
	})
	for _, how := range []string{"statement", "container"} {
		t.Run("a migration that fails, as its "+how+" shows, ends the deployment before the service is touched", func(t *testing.T) {
			o := prepared(t)
			require.Zero(t, onPostgres(o, "\n", Digest('a')).Code)
			good := *o.Platform.Service
			o.Platform.Take()
			o.Platform.JobFails = how
			failed := onPostgres(o, "", Digest('b'))
			assert.Equal(t, 1, failed.Code)
			assert.Contains(t, failed.Out, "the last words\nof the job\n", "as they were logged")
			assert.Contains(t, failed.Out, "deploy: the schema was not migrated, and the service was not changed")
			assert.Equal(t, good, *o.Platform.Service)
			assert.False(t, slices.ContainsFunc(o.Platform.Take(), func(s Statement) bool { return strings.HasPrefix(s.Text, "ALTER SERVICE") }))

			o.Platform.JobFails = ""
			again := onPostgres(o, "", Digest('b'))
			require.Zero(t, again.Code, "the job of the try before is dropped first: %s", again.Out)
			assert.Contains(t, o.Platform.Service.Comment, Digest('b'))
		})
	}
	t.Run("a service on Snowflake tables moves to PostgreSQL, and never back by omission", func(t *testing.T) {
		o := prepared(t)
		require.Zero(t, o.Run(nil, "\n", "--digest", Digest('a')).Code)
		moved := onPostgres(o, "", Digest('a'))
		require.Zero(t, moved.Code, moved.Out)
		good := *o.Platform.Service

		refused := o.Run(nil, "", "--digest", Digest('b'))
		assert.Equal(t, 1, refused.Code)
		assert.Contains(t, refused.Out, "echo_service may use PostgreSQL: set ECHO_STORAGE=postgres")
		assert.Equal(t, good, *o.Platform.Service)

		o.Platform.Service.Integrations = "" // ALTER SERVICE … UNSET EXTERNAL_ACCESS_INTEGRATIONS
		back := o.Run(map[string]string{"ECHO_STORAGE": "snowflake"}, "", "--digest", Digest('a'))
		require.Zero(t, back.Code, back.Out)
		assert.NotContains(t, o.Platform.Staged[o.Platform.Service.Path], "POSTGRES_")
	})
	t.Run("a migration alone leaves the service as it is", func(t *testing.T) {
		o := prepared(t)
		require.Zero(t, o.Run(nil, "\n", "--digest", Digest('a')).Code)
		good := *o.Platform.Service
		migrated := o.Run(postgres, "", "--digest", Digest('b'), "--migrate-only")
		require.Zero(t, migrated.Code, migrated.Out)
		assert.Contains(t, migrated.Out, "the schema is up to date\n")
		assert.Contains(t, o.Platform.Job.Spec, tag(Digest('b')))
		assert.Equal(t, good, *o.Platform.Service)
	})
	t.Run("without postgres.sql there is no certificate to check the server with", func(t *testing.T) {
		o := open(t)
		refused := onPostgres(o, "\n", Digest('a'))
		assert.Equal(t, 1, refused.Code)
		assert.Contains(t, refused.Out, "there is no secret echo_pg_ca: run postgres.sql first")
		assert.NotContains(t, o.Platform.Secrets, "echo_jwt", "nothing is created")
	})
	t.Run("without the warehouse that postgres.sql grants, the job gets no token", func(t *testing.T) {
		o := prepared(t)
		o.Platform.WarehouseRoles = []string{"echo_role"}
		failed := onPostgres(o, "\n", Digest('a'))
		assert.Equal(t, 1, failed.Code)
		assert.Contains(t, failed.Out, "deploy: the schema was not migrated, and the service was not changed")
		assert.Nil(t, o.Platform.Service)
	})
	t.Run("PostgreSQL without a host is refused before anything is sent", func(t *testing.T) {
		o := open(t)
		refused := o.Run(map[string]string{"ECHO_STORAGE": "postgres"}, "", "--digest", Digest('a'))
		assert.Equal(t, 2, refused.Code)
		assert.Contains(t, refused.Out, "ECHO_POSTGRES_HOST is not set")
		assert.Empty(t, o.Platform.Take())
	})
	t.Run("another environment has an instance, roles and an integration of its own", func(t *testing.T) {
		variables := maps.Clone(postgres)
		variables["ECHO_PREFIX"] = "staging"
		dry := open(t).Run(variables, "", "--dry-run", "--digest", Digest('a'))
		require.Zero(t, dry.Code, dry.Out)
		assert.NotContains(t, dry.Out, "echo_")
		for _, part := range []string{
			"POSTGRES_USER: staging_app\n", "POSTGRES_USER: staging_migrator\n", "POSTGRES_INSTANCE: staging_pg\n",
			"staging_db.staging_schema.staging_pg_ca\n", "EXTERNAL_ACCESS_INTEGRATIONS = (staging_pg_access)",
			"staging_migrate QUERY_WAREHOUSE = staging_wh ",
		} {
			assert.Contains(t, dry.Out, part)
		}
	})
}

func testFirstOnPostgres(t *testing.T, o Operator) {
	dry := o.Run(postgres, "", "--timeout", "60", "--dry-run", "--digest", Digest('a'))
	require.Zero(t, dry.Code, dry.Out)
	assert.Empty(t, o.Platform.Take(), "a dry run sends nothing")

	first := onPostgres(o, "\n", Digest('a'))
	require.Zero(t, first.Code, first.Out)
	all := o.Platform.Take()
	begins := func(prefix string) int {
		i := slices.IndexFunc(all, func(s Statement) bool { return strings.HasPrefix(s.Text, prefix) })
		require.GreaterOrEqual(t, i, 0, prefix)
		return i
	}
	executed, created := begins("EXECUTE JOB SERVICE"), begins("CREATE SERVICE")
	assert.Less(t, executed, created)
	assert.Contains(t, dry.Out, all[executed].Text+";\n", "a dry run prints the job")
	assert.Contains(t, all[begins("ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS")].Text, " = 60")
	assert.Regexp(t, ` QUERY_WAREHOUSE = echo_wh EXTERNAL_ACCESS_INTEGRATIONS = \(echo_pg_access\)$`, all[created].Text)

	job, service := o.Platform.Job, o.Platform.Staged[o.Platform.Service.Path]
	assert.Equal(t, "ECHO_DEPLOYER", strings.ToUpper(job.Role), "only that role may become the owner of the tables")
	assert.Equal(t, "echo_pg_access", job.Integrations)
	for _, part := range []string{"image: " + image + ":" + tag(Digest('a')) + "\n", "objectName: echo_db.echo_schema.echo_pg_ca\n"} {
		assert.Contains(t, job.Spec, part)
		assert.Contains(t, service, part)
	}
	assert.Contains(t, job.Spec, "POSTGRES_USER: echo_migrator\n")
	assert.NotContains(t, job.Spec, "echo_jwt", "the job signs no tokens")
	assert.Contains(t, service, "POSTGRES_USER: echo_app\n")
	assert.NotContains(t, service, "echo_migrator")
	assert.Contains(t, service, `STORAGE: "postgres"`)
	assert.Contains(t, service, `POSTGRES_HOST: "abc.postgres.snowflake.app"`)
}
