package platformtest

import (
	"regexp"
	"slices"
	"strings"
)

// Job is a job service that has run.
type Job struct{ Role, Integrations, Spec, Status string }

var executeJob = regexp.MustCompile(`(?s)^EXECUTE JOB SERVICE IN COMPUTE POOL echo_pool NAME = echo_db\.echo_schema\.echo_migrate QUERY_WAREHOUSE = echo_wh` +
	access + ` FROM SPECIFICATION \$\$\n(.*)\$\$$`)

// answerAboutJob answers the statements about the job that migrates the schema of PostgreSQL. Only its owner sees it.
func (p *Platform) answerAboutJob(role, text string) (answer *Table, refusal string) {
	const name = "echo_db.echo_schema.echo_migrate"
	m := executeJob.FindStringSubmatch(text)
	isOwner := p.Job != nil && strings.EqualFold(p.Job.Role, role)
	switch {
	case m != nil && p.Job != nil:
		return nil, "Object 'ECHO_MIGRATE' already exists."
	case m != nil:
		return p.runJob(role, m[1], m[2])
	case text == "DROP SERVICE IF EXISTS "+name:
		p.Job = nil
		return &done, ""
	case text == "SHOW SERVICE CONTAINERS IN SERVICE "+name && isOwner:
		return &Table{[]string{"instance_id", "status"}, [][]any{{"0", p.Job.Status}}}, ""
	case text == "SELECT SYSTEM$GET_SERVICE_LOGS('"+name+"', 0, 'migrate', 100) AS log" && isOwner:
		return &Table{[]string{"LOG"}, [][]any{{"the last words\nof the job"}}}, ""
	}
	return nil, ""
}

// runJob runs a job to its end. Without the integration it reaches no host, and without the warehouse it gets no token.
func (p *Platform) runJob(role, integrations, spec string) (answer *Table, refusal string) {
	p.Job = &Job{Role: role, Integrations: integrations, Spec: spec, Status: "DONE"}
	if p.JobFails != "" || integrations == "" || !slices.Contains(p.WarehouseRoles, strings.ToLower(role)) {
		p.Job.Status = "FAILED"
	}
	if p.JobFails == "statement" {
		return nil, "Job ECHO_MIGRATE failed"
	}
	p.migrated = p.migrated || p.Job.Status == "DONE"
	return &Table{[]string{"status"}, [][]any{{"Job ECHO_MIGRATE completed with status: " + p.Job.Status + "."}}}, ""
}
