// Package platformtest holds a stand-in for what a deployment needs of Snowflake (services, secrets, images,
// roles), and the tests of the deploy command against it. Package deploy runs them with a stand-in for the
// Snowflake CLI, package deploytest with the real one. They do not show which statements Snowflake accepts.
package platformtest

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
)

// Platform answers statements. Tests set the fields that describe its state before they deploy.
type Platform struct {
	HasRepository  bool
	Images         []string          // digests; each image has the tag that the command gives it
	Secrets        map[string]string // values by name
	Staged         map[string]string // specifications by their path in the stage
	Service        *Service
	Job            *Job
	Broken         string   // digest of an image that never becomes ready
	WarehouseRoles []string // roles that may use the warehouse
	JobFails       string   // how a job fails: "statement" (it is refused), or "container" (only that shows it)
	Refused        string   // prefix of the statements that are refused
	Uploaded       string   // file that the last PUT named

	mu         sync.Mutex
	sent       []Statement
	hasAddress bool
	migrated   bool
}

// Statement is a statement that arrived, and its role.
type Statement struct{ Role, Text string }

// Service is what SHOW SERVICES says about a service.
type Service struct{ Path, Comment, Status, Integrations string }

// Table is the answer to a statement.
type Table struct {
	Columns []string
	Rows    [][]any
}

var done = Table{[]string{"status"}, [][]any{{"Statement executed successfully."}}}

// New returns a platform with an image repository that has three images and with the warehouse of the service, but
// without secrets and without a service.
func New() *Platform {
	return &Platform{
		HasRepository:  true,
		Images:         []string{Digest('a'), Digest('b'), Digest('c')},
		Secrets:        map[string]string{},
		Staged:         map[string]string{},
		WarehouseRoles: []string{"echo_role"},
	}
}

var (
	accountObject = regexp.MustCompile(`(?i)^(GRANT |CREATE (ROLE|WAREHOUSE|COMPUTE POOL|USER) |USE (ROLE|WAREHOUSE) |ALTER (SESSION|COMPUTE POOL))`)
	createSecret  = regexp.MustCompile(`^CREATE SECRET IF NOT EXISTS (\S+) TYPE = GENERIC_STRING SECRET_STRING = '(.*)'$`)
	put           = regexp.MustCompile(`^PUT 'file://(\S+/(spec\.yml))' @echo_db\.echo_schema\.echo_stage/(\S+) AUTO_COMPRESS = FALSE OVERWRITE = TRUE$`)
	createService = regexp.MustCompile(`^CREATE SERVICE IF NOT EXISTS echo_db\.echo_schema\.echo_service IN COMPUTE POOL echo_pool FROM @echo_db\.echo_schema\.echo_stage SPECIFICATION_FILE = '(.*?)' .*? QUERY_WAREHOUSE = echo_wh` + access + `$`)
	setProperties = regexp.MustCompile(`^ALTER SERVICE echo_db\.echo_schema\.echo_service SET MIN_INSTANCES = .* QUERY_WAREHOUSE = echo_wh` + access + `$`)
	changeService = regexp.MustCompile(`^ALTER SERVICE echo_db\.echo_schema\.echo_service FROM @echo_db\.echo_schema\.echo_stage SPECIFICATION_FILE = '(.*?)'$`)
	setComment    = regexp.MustCompile(`^ALTER SERVICE echo_db\.echo_schema\.echo_service SET COMMENT = '(.*)'$`)
	imageOf       = regexp.MustCompile(`image: \S+:image-([0-9a-f]{64})\n`)
)

// access is the property that lets a service reach hosts outside. It stays as it is when a service is altered without.
const access = `(?: EXTERNAL_ACCESS_INTEGRATIONS = \((\w+)\))?`

// Answer answers a statement of a role, or refuses it. It returns nothing for a statement that it does not
// know, and for PUT, whose upload is not its business.
func (p *Platform) Answer(role, text string) (answer *Table, refusal string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, Statement{role, text})
	var m []string
	is := func(pattern *regexp.Regexp) bool {
		m = pattern.FindStringSubmatch(text)
		return m != nil
	}
	begins := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
	switch {
	case p.Refused != "" && begins(p.Refused):
		return nil, "refused"
	case begins("CREATE IMAGE REPOSITORY IF NOT EXISTS echo_db.echo_schema.echo_repo"):
		p.HasRepository = true
		return &done, ""
	case is(accountObject):
		return &done, ""
	case begins("show image repositories in schema snowflake.images"): // the CLI asks, to log docker in
		return &Table{[]string{"name", "repository_url"}, [][]any{{"IMAGES", "images.invalid/snowflake/images"}}}, ""
	case begins("SHOW IMAGE REPOSITORIES LIKE 'echo_repo' IN SCHEMA echo_db.echo_schema"):
		// LIKE takes "_" for any character.
		repositories := Table{[]string{"name", "repository_url"}, [][]any{{"ECHO1REPO", "images.invalid/of/another"}}}
		if p.HasRepository {
			repositories.Rows = append(repositories.Rows, []any{"ECHO_REPO", "images.invalid/echo_db/echo_schema/echo_repo"})
		}
		return &repositories, ""
	case begins("SHOW IMAGES IN IMAGE REPOSITORY echo_db.echo_schema.echo_repo"):
		return p.images(), ""
	case begins("SHOW SECRETS IN SCHEMA echo_db.echo_schema"):
		secrets := Table{Columns: []string{"created_on", "name"}}
		for name := range p.Secrets {
			secrets.Rows = append(secrets.Rows, []any{"2026-01-01", strings.ToUpper(name)})
		}
		return &secrets, ""
	case is(createSecret):
		name := strings.TrimPrefix(m[1], "echo_db.echo_schema.")
		if _, exists := p.Secrets[name]; !exists {
			p.Secrets[name] = m[2]
		}
		return &done, ""
	case is(put):
		content, err := os.ReadFile(m[1])
		if err != nil {
			return nil, err.Error()
		}
		p.Staged[m[3]+"/"+m[2]] = string(content)
		p.Uploaded = m[1]
		return nil, ""
	}
	if answer, refusal := p.answerAboutJob(role, text); answer != nil || refusal != "" {
		return answer, refusal
	}
	return p.answerAboutService(text)
}

func (p *Platform) answerAboutService(text string) (answer *Table, refusal string) {
	var m []string
	is := func(pattern *regexp.Regexp) bool {
		m = pattern.FindStringSubmatch(text)
		return m != nil
	}
	begins := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
	switch {
	case is(createService):
		if p.Staged[m[1]] == "" {
			return nil, "no such specification: " + m[1]
		}
		if p.Service == nil {
			p.Service = &Service{Path: m[1], Status: "RUNNING", Integrations: m[2]}
		}
		return &done, ""
	case begins("CREATE SERVICE echo_db.echo_schema.echo_service"): // of the CLI's own command
		return &done, ""
	case is(changeService):
		if p.Service == nil || p.Staged[m[1]] == "" {
			return nil, "no such service or specification: " + m[1]
		}
		p.Service.Path = m[1]
		return &done, ""
	case is(setComment):
		p.Service.Comment = m[1]
		return &done, ""
	case begins("ALTER SERVICE echo_db.echo_schema.echo_service RESUME"):
		p.Service.Status = "RUNNING"
		return &done, ""
	case is(setProperties):
		p.Service.Integrations = cmp.Or(m[1], p.Service.Integrations)
		return &done, ""
	case begins("SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema"):
		services := Table{
			[]string{"name", "status", "is_upgrading", "comment", "external_access_integrations"},
			[][]any{{"ECHO1SERVICE", "PENDING", "true", "", ""}},
		}
		if s := p.Service; s != nil {
			services.Rows = append(services.Rows, []any{"ECHO_SERVICE", s.Status, "false", s.Comment, strings.ToUpper(s.Integrations)})
		}
		return &services, ""
	case begins("SHOW SERVICE CONTAINERS IN SERVICE echo_db.echo_schema.echo_service"):
		return p.containers(), ""
	case begins("SHOW ENDPOINTS IN SERVICE echo_db.echo_schema.echo_service"):
		address := "abc-org-account.snowflakecomputing.app"
		if !p.hasAddress {
			address, p.hasAddress = "Endpoints provisioning in progress... check back in a few minutes", true
		}
		return &Table{[]string{"name", "ingress_url"}, [][]any{{"api", address}}}, ""
	case begins("SELECT SYSTEM$GET_SERVICE_LOGS('echo_db.echo_schema.echo_service', 1, 'api', 20)"):
		return &Table{[]string{"LOG"}, [][]any{{"the last words\nof the container"}}}, ""
	case begins("SELECT SYSTEM$GET_SERVICE_LOGS("):
		return nil, "no log"
	}
	return nil, ""
}

// images returns the images with their tags, as the page "SHOW IMAGES IN IMAGE REPOSITORY" describes them.
func (p *Platform) images() *Table {
	images := Table{Columns: []string{"image_name", "tags", "digest", "image_path"}}
	for _, digest := range p.Images {
		images.Rows = append(images.Rows, []any{
			"echo-in-snowflake", "v1.2.3," + tag(digest), digest, "echo_db/echo_schema/echo_repo/echo-in-snowflake:v1.2.3",
		})
	}
	return &images
}

// containers returns two instances. An upgrade begins with the last one, and ends there if that does not
// become ready.
func (p *Platform) containers() *Table {
	containers := Table{Columns: []string{"instance_id", "status", "message", "image_digest"}}
	digest := "sha256:" + imageOf.FindStringSubmatch(p.Staged[p.Service.Path])[1]
	for instance := range 2 {
		row := []any{fmt.Sprint(instance), "READY", "Running", digest}
		switch {
		case strings.Contains(p.Staged[p.Service.Path], "POSTGRES_HOST") && (p.Service.Integrations == "" || !p.migrated):
			row[1], row[2] = "PENDING", "not ready"
		case digest == p.Broken && instance == 1:
			row[1], row[2] = "FAILED", "exited with 2"
		case digest == p.Broken:
			row[3] = "sha256:of the version before"
		}
		containers.Rows = append(containers.Rows, row)
	}
	return &containers
}

// Synchronize orders what a test and requests do to the fields: between them is another process, which the
// race detector does not see.
func (p *Platform) Synchronize() {
	p.mu.Lock()
	defer p.mu.Unlock()
}

// Take returns the statements that arrived since the last call.
func (p *Platform) Take() []Statement {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.sent
	p.sent = nil
	return taken
}

// Texts returns the statements without those that the CLI adds: it sends a PUT again, without the folder.
func Texts(all []Statement) []string {
	var texts []string
	for _, s := range all {
		if !strings.HasPrefix(s.Text, "PUT 'file://spec.yml'") {
			texts = append(texts, s.Text)
		}
	}
	return texts
}
