package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// migrator is the name of the job that migrates the schema, and of its container without the prefix.
const migrator = "migrate"

const (
	integration    = "echo_pg_access"
	accessPostgres = "EXTERNAL_ACCESS_INTEGRATIONS = (" + integration + ")"

	job     = "echo_db.echo_schema.echo_" + migrator
	dropJob = "DROP SERVICE IF EXISTS " + job
	// Without a time limit, a job that finds no machine would run for days.
	limitJob = "ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = %d"
	// The session that gets the token names no warehouse, and whether it needs one is not documented.
	executeJob = "EXECUTE JOB SERVICE IN COMPUTE POOL echo_pool NAME = " + job + " QUERY_WAREHOUSE = echo_wh " +
		accessPostgres + " FROM SPECIFICATION $$\n%s$$"
	showJob    = "SHOW SERVICE CONTAINERS IN SERVICE " + job
	showJobLog = "SELECT SYSTEM$GET_SERVICE_LOGS('" + job + "', 0, '" + migrator + "', 100) AS log"
)

// prepareStore migrates the schema of PostgreSQL. On Snowflake tables, it returns an error if the service that was
// found uses PostgreSQL: a deployment without ECHO_STORAGE would replace its data by that of the tables.
func (d *deployment) prepareStore(ctx context.Context, found row) error {
	if d.postgres {
		return d.migrate(ctx)
	}
	if strings.Contains(strings.ToLower(found["external_access_integrations"]), d.rename(integration)) {
		return fmt.Errorf("%s may use PostgreSQL: set ECHO_STORAGE=postgres, or see deploy/README.md",
			d.rename("echo_service"))
	}
	return nil
}

// migrate runs the command of the service that migrates the schema, in a job. A job runs as the role that creates
// it. The deployer creates this one, because the owner of the service must not become the owner of the tables.
func (d *deployment) migrate(ctx context.Context) error {
	specification, err := d.renderJob(migrator)
	if err != nil {
		return err
	}
	d.say("migrating the schema of PostgreSQL …")
	rows, err := d.ask(ctx, deployer, d.sql(dropJob), // of an earlier deployment
		d.sql(limitJob, max(d.timeout, 1)), d.sql(executeJob, specification), d.sql(showJob))
	// It is not documented whether the statement fails if the job does.
	isDone := func(r row) bool { return r["status"] == "DONE" }
	if d.dryRun {
		return nil
	}
	if err == nil && slices.ContainsFunc(rows, isDone) {
		d.say("the schema is up to date")
		return nil
	}
	if errors.Is(err, errInterrupted) {
		return err
	}
	if log, err := d.ask(ctx, deployer, d.sql(showJobLog)); err == nil {
		for _, r := range log {
			d.say("%s", r["log"])
		}
	}
	return errors.New("the schema was not migrated, and the service was not changed: see deploy/README.md")
}
