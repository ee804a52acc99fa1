package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// The roles of the statements. A service runs as the role that creates it, so that is not the deployer.
const (
	deployer = "echo_deployer" // uploads images, specifications and secrets
	owner    = "echo_role"     // creates and alters the service
)

const (
	service    = "echo_db.echo_schema.echo_service"
	fromSpec   = "FROM @echo_db.echo_schema.echo_stage SPECIFICATION_FILE = '%s/spec.yml'"
	properties = "MIN_INSTANCES = %d MAX_INSTANCES = %d MIN_READY_INSTANCES = %d AUTO_RESUME = TRUE" +
		" QUERY_WAREHOUSE = echo_wh"

	createService = "CREATE SERVICE IF NOT EXISTS " + service + " IN COMPUTE POOL echo_pool " +
		fromSpec + " " + properties
	setProperties  = "ALTER SERVICE " + service + " SET " + properties
	setSpec        = "ALTER SERVICE " + service + " " + fromSpec
	setComment     = "ALTER SERVICE " + service + " SET COMMENT = '%s: %s %s'"
	resume         = "ALTER SERVICE " + service + " RESUME"
	showService    = "SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema"
	showContainers = "SHOW SERVICE CONTAINERS IN SERVICE " + service
	showEndpoints  = "SHOW ENDPOINTS IN SERVICE " + service
	showLog        = "SELECT SYSTEM$GET_SERVICE_LOGS('" + service + "', %s, 'api', 20) AS log"
)

var (
	errInterrupted = errors.New("interrupted: run it again")
	errNobodyToAsk = errors.New(
		"there is nobody to ask for the password of the first superuser: set FIRST_SUPERUSER_PASSWORD")
	errFirstNotReady = errors.New(
		"the first version did not become ready, and there is none to go back to: see deploy/README.md")
	errNotReady = errors.New("the service is not ready")
)

// run configures the command and deploys. It returns the exit status, which usage explains.
func (d *deployment) run(ctx context.Context, args []string) int {
	status := 2
	err := d.configure(args)
	if err == nil {
		status = 1
		err = d.deploy(ctx)
	}
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	fmt.Fprintln(d.stderr, "deploy:", err)
	return status
}

func (d *deployment) deploy(ctx context.Context) error {
	var err error
	if d.digest == "" {
		d.digest, err = d.build(ctx)
	} else {
		err = d.find(ctx)
	}
	if err != nil {
		return err
	}
	version, err := d.upload(ctx)
	if err != nil {
		return err
	}
	shown, err := d.ask(ctx, owner, d.sql(showService))
	if err != nil {
		return err
	}
	found := named(shown, d.rename("echo_service"))
	if err := d.prepareStore(ctx, found); err != nil || d.migrateOnly {
		return err
	}
	next := revision{version, d.digest}
	if d.dryRun {
		d.rehearse(ctx, next)
		return nil
	}
	changes, before := d.changes(found, next)
	if _, err := d.ask(ctx, owner, changes...); err != nil {
		return err
	}
	if err := d.waitFor(ctx, next); errors.Is(err, errNotReady) {
		return d.rollBack(ctx, before)
	} else if err != nil {
		return err
	}
	d.say("version %s of the specification, image %s", next.version, next.digest)
	if _, err := d.ask(ctx, owner, d.note("ready", next)); err != nil {
		return err
	}
	return d.showAddress(ctx)
}

func (d *deployment) say(format string, args ...any) { fmt.Fprintf(d.stdout, format+"\n", args...) }

// revision is what a service runs: a version of the specification and the digest of the image in it.
type revision struct{ version, digest string }

// note returns the statement that records in the service's comment which revision was last ready, for a
// rollback. The state is "ready", or "before" while another revision is tried: an interrupted deployment
// must not pass for ready.
func (d *deployment) note(state string, r revision) string {
	return d.sql(setComment, state, r.version, r.digest)
}

// readNote returns the state and the revision of a comment, or nothing if the comment is not a note.
func readNote(comment string) (state string, r revision) {
	if fields := strings.Fields(comment); len(fields) == 3 && isDigest(fields[2]) {
		return strings.TrimSuffix(fields[0], ":"), revision{fields[1], fields[2]}
	}
	return "", r
}

// changes returns the statements that make a service run next, and the revision that was last ready.
// An empty found means that there is no service yet.
func (d *deployment) changes(found row, next revision) (statements []string, before revision) {
	// Maintenance of the machines replaces up to half of the instances together. With fewer ready instances than
	// the third number, the gateway refuses all requests ("Working with compute pools", "Service disruption").
	numbers := []any{d.minInstances, d.maxInstances, max(d.minInstances/2, 1)}
	access := ""
	if d.postgres {
		access = d.sql(" " + accessPostgres)
	}
	if len(found) == 0 {
		return []string{d.sql(createService, append([]any{next.version}, numbers...)...) + access}, before
	}
	statements = []string{d.sql(setProperties, numbers...) + access} // first: if it is refused, nothing has changed
	state, before := readNote(found["comment"])
	if state != "ready" || before != next {
		if before.digest != "" {
			statements = append(statements, d.note("before", before))
		}
		statements = append(statements, d.sql(setSpec, next.version))
	}
	if strings.HasPrefix(found["status"], "SUSPEND") {
		statements = append(statements, d.sql(resume))
	}
	return statements, before
}

// waitFor waits until the service is ready two times in a row: it is not documented how soon after a
// change a service is said to be upgrading. After the timeout it returns errNotReady.
func (d *deployment) waitFor(ctx context.Context, next revision) error {
	d.say("waiting until %d instances are ready …", d.minInstances)
	deadline := d.deadline()
	for times := 0; times < 2; {
		if d.isReady(ctx, next) {
			times++
		} else if time.Now().Before(deadline) {
			times = 0
		} else {
			d.say("not ready after %d s; the service and its containers"+
				" (status, upgrading, image, instance, message):", d.timeout)
			for _, r := range d.seen {
				d.say("%s", r.columns("status", "is_upgrading", "image_digest", "instance_id", "message"))
			}
			return errNotReady
		}
		if err := d.sleep(ctx); err != nil {
			return err
		}
	}
	return nil
}

// isReady reports whether enough containers are ready and all of them run the image of next. If Snowflake
// refuses the question, that counts as not ready.
func (d *deployment) isReady(ctx context.Context, next revision) bool {
	rows, err := d.ask(ctx, owner, d.sql(showService), d.sql(showContainers))
	d.seen = slices.DeleteFunc(rows, func(r row) bool { // a container has no name
		return r["name"] != "" && !strings.EqualFold(r["name"], d.rename("echo_service"))
	})
	return err == nil && len(d.seen) > d.minInstances && !slices.ContainsFunc(d.seen, func(r row) bool {
		found := r.columns("status", "is_upgrading", "image_digest")
		return !strings.EqualFold(found, "RUNNING false -") && found != "READY - "+next.digest
	})
}

func (d *deployment) deadline() time.Time {
	return time.Now().Add(time.Duration(d.timeout) * time.Second)
}

func (d *deployment) sleep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return errInterrupted
	case <-time.After(d.pause):
		return nil
	}
}

// rollBack shows why the new revision is not ready, and goes back to before. It never returns nil.
func (d *deployment) rollBack(ctx context.Context, before revision) error {
	instance := "0"
	// An upgrade begins with the last instance: the first one may still run the version before.
	notReady := func(r row) bool { return r["instance_id"] != "" && r["status"] != "READY" }
	if i := slices.IndexFunc(d.seen, notReady); i >= 0 {
		instance = d.seen[i]["instance_id"]
	}
	// Snowflake refuses the question about a container that never started.
	if log, err := d.ask(ctx, owner, d.sql(showLog, instance)); err == nil {
		for _, r := range log {
			d.say("%s", r["log"])
		}
	}
	if before.digest == "" {
		return errFirstNotReady
	}
	d.say("going back to %s", before.version)
	if _, err := d.ask(ctx, owner, d.sql(setSpec, before.version)); err != nil {
		return err
	}
	if err := d.waitFor(ctx, before); errors.Is(err, errNotReady) {
		return errors.New("neither the new version nor the one before became ready: see deploy/README.md")
	} else if err != nil {
		return err
	}
	if _, err := d.ask(ctx, owner, d.note("ready", before)); err != nil {
		return err
	}
	return errors.New("the new version did not become ready: the one before is back")
}

// showAddress prints the address of the service. Until there is one, Snowflake answers with a sentence.
func (d *deployment) showAddress(ctx context.Context) error {
	for deadline := d.deadline(); ; {
		endpoints, err := d.ask(ctx, owner, d.sql(showEndpoints))
		if err == nil && len(endpoints) > 0 {
			if url := endpoints[0]["ingress_url"]; strings.Contains(url, ".") && !strings.Contains(url, " ") {
				d.say("https://%s", url)
				return nil
			}
		}
		if !time.Now().Before(deadline) {
			return fmt.Errorf("ready, but without an address after %d s: %s", d.timeout, d.sql(showEndpoints))
		}
		if err := d.sleep(ctx); err != nil {
			return err
		}
	}
}

// rehearse prints the statements that depend on what exists.
func (d *deployment) rehearse(ctx context.Context, next revision) {
	create, _ := d.changes(nil, next)
	change, _ := d.changes(row{"status": "SUSPENDED"}, next)
	before := revision{"<version before>", "<its image>"}
	for _, step := range []struct {
		when       string
		statements []string
	}{
		{"if there is no service yet", create},
		{"if there is one: the comment and the specification only for another version, RESUME only if it is suspended",
			slices.Insert(change, 1, d.note("before", before))},
		{"until it is ready", []string{d.sql(showService), d.sql(showContainers)}},
		{"if it does not become ready", []string{d.sql(showLog, "<instance that is not ready>")}},
		{"then, to go back", []string{d.sql(setSpec, before.version), d.note("ready", before)}},
		{"if it does", []string{d.note("ready", next), d.sql(showEndpoints)}},
	} {
		d.say("-- %s", step.when)
		_, _ = d.ask(ctx, owner, step.statements...) // prints them
	}
}
