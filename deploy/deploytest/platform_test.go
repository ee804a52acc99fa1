package deploytest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// platform stands between the CLI and the emulator: it answers statements about what the emulator
// does not have, and hands on all others.
type platform struct {
	host, port string

	mu      sync.Mutex
	roles   map[string]string // by the token of a session
	sent    []sent
	ready   bool              // whether setup.sql made the image repository
	secrets map[string]string // by name
	staged  map[string]string // specifications by their path in the stage
	broken  string            // digest of an image that never becomes ready
	refused string            // how statements begin that are refused
	service *service

	addressed bool // whether the address was made, after it was asked for once
}

// sent is a statement that arrived, and the role that it came as.
type sent struct{ role, text string }

// service is what SHOW SERVICES knows of one.
type service struct{ path, comment, status string }

// table is the answer to a statement.
type table struct {
	columns []string
	rows    [][]any
}

var done = table{[]string{"status"}, [][]any{{"Statement executed successfully."}}}

func startPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{ready: true, roles: map[string]string{}, secrets: map[string]string{}, staged: map[string]string{}}
	emulated := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: net.JoinHostPort(fakesnow.Host, fmt.Sprint(fakesnow.Port))})
	emulated.ModifyResponse = p.noteSession
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/session/token-request" { // with which docker is logged in
			reply(w, map[string]any{"success": true, "data": map[string]any{"sessionToken": "a token", "validityInSecondsST": 3600, "masterToken": "m", "validityInSecondsMT": 3600}})
			return
		}
		text := statementOf(r)
		if text == "" {
			emulated.ServeHTTP(w, r)
			return
		}
		answer, refusal := p.answer(strings.TrimPrefix(r.Header.Get("Authorization"), "Snowflake Token="), text)
		switch {
		case refusal != "":
			reply(w, map[string]any{"success": false, "code": "002003", "message": refusal, "data": map[string]any{"errorCode": "002003", "sqlState": "42S02"}})
		case answer != nil:
			answer.write(w)
		default:
			emulated.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	p.host, p.port, _ = net.SplitHostPort(server.Listener.Addr().String())
	return p
}

// statementOf returns the SQL of a request and leaves the request as it was.
func statementOf(r *http.Request) string {
	if r.URL.Path != "/queries/v1/query-request" {
		return ""
	}
	raw, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(raw))
	plain := raw
	if unzipped, err := gzip.NewReader(bytes.NewReader(raw)); err == nil {
		plain, _ = io.ReadAll(unzipped)
	}
	var body struct{ SQLText string }
	_ = json.Unmarshal(plain, &body)
	return strings.TrimSuffix(strings.TrimSpace(body.SQLText), ";")
}

// noteSession remembers the role that a session was opened with.
func (p *platform) noteSession(r *http.Response) error {
	if r.Request.URL.Path != "/session/v1/login-request" {
		return nil
	}
	raw, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(raw))
	var body struct{ Data struct{ Token string } }
	_ = json.Unmarshal(raw, &body)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roles[body.Data.Token] = r.Request.URL.Query().Get("roleName")
	return err
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (t table) write(w http.ResponseWriter) {
	var types []any
	for _, name := range t.columns {
		types = append(types, map[string]any{"name": name, "type": "text", "length": 1000, "byteLength": 1000, "nullable": true, "precision": nil, "scale": nil})
	}
	rows := t.rows
	if rows == nil {
		rows = [][]any{}
	}
	reply(w, map[string]any{"success": true, "data": map[string]any{
		"parameters": []any{}, "rowtype": types, "rowset": rows, "total": len(rows), "returned": len(rows),
		"queryId": "01000000-0000-0000-0000-000000000000", "queryResultFormat": "json", "sqlState": "00000", "statementTypeId": 4096,
	}})
}

var (
	accountObject = regexp.MustCompile(`(?i)^(GRANT |CREATE (ROLE|WAREHOUSE|COMPUTE POOL|USER) |USE (ROLE|WAREHOUSE) |ALTER (SESSION|COMPUTE POOL))`)
	createSecret  = regexp.MustCompile(`^CREATE SECRET IF NOT EXISTS (\S+) TYPE = GENERIC_STRING SECRET_STRING = '(.*)'$`)
	put           = regexp.MustCompile(`^PUT 'file://(\S+/(spec\.yml))' @echo_db\.echo_schema\.echo_stage/(\S+) AUTO_COMPRESS = FALSE OVERWRITE = TRUE$`)
	createService = regexp.MustCompile(`^CREATE SERVICE IF NOT EXISTS echo_db\.echo_schema\.echo_service IN COMPUTE POOL echo_pool FROM @echo_db\.echo_schema\.echo_stage SPECIFICATION_FILE = '(.*?)' `)
	changeService = regexp.MustCompile(`^ALTER SERVICE echo_db\.echo_schema\.echo_service FROM @echo_db\.echo_schema\.echo_stage SPECIFICATION_FILE = '(.*?)'$`)
	setComment    = regexp.MustCompile(`^ALTER SERVICE echo_db\.echo_schema\.echo_service SET COMMENT = '(.*)'$`)
	imageOf       = regexp.MustCompile(`image: \S+@(sha256:[0-9a-f]{64})`)
)

// answer answers a statement, or refuses it, or leaves it to the emulator.
func (p *platform) answer(token, text string) (*table, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, sent{p.roles[strings.Trim(token, `"`)], text})
	var m []string
	is := func(pattern *regexp.Regexp) bool {
		m = pattern.FindStringSubmatch(text)
		return m != nil
	}
	begins := func(prefix string) bool { return strings.HasPrefix(text, prefix) }
	switch {
	case p.refused != "" && begins(p.refused):
		return nil, "refused"
	case begins("CREATE IMAGE REPOSITORY IF NOT EXISTS echo_db.echo_schema.echo_repo"):
		p.ready = true
		return &done, ""
	case is(accountObject):
		return &done, ""
	case begins("show image repositories in schema snowflake.images"): // the CLI, to log docker in
		return &table{[]string{"name", "repository_url"}, [][]any{{"IMAGES", "images.invalid/snowflake/images"}}}, ""
	case begins("SHOW IMAGE REPOSITORIES LIKE 'echo_repo' IN SCHEMA echo_db.echo_schema"):
		repositories := table{columns: []string{"name", "repository_url"}}
		if p.ready {
			repositories.rows = append(repositories.rows, []any{"ECHO_REPO", "images.invalid/echo_db/echo_schema/echo_repo"})
		}
		return &repositories, ""
	case begins("SHOW SECRETS IN SCHEMA echo_db.echo_schema"):
		secrets := table{columns: []string{"created_on", "name"}}
		for name := range p.secrets {
			secrets.rows = append(secrets.rows, []any{"2026-01-01", strings.ToUpper(name)})
		}
		return &secrets, ""
	case is(createSecret):
		name := strings.TrimPrefix(m[1], "echo_db.echo_schema.")
		if _, there := p.secrets[name]; !there {
			p.secrets[name] = m[2]
		}
		return &done, ""
	case is(put):
		content, err := os.ReadFile(m[1])
		if err != nil {
			return nil, err.Error()
		}
		p.staged[m[3]+"/"+m[2]] = string(content)
		return nil, "" // the emulator stages it
	case is(createService):
		if p.staged[m[1]] == "" {
			return nil, "no such specification: " + m[1]
		}
		if p.service == nil {
			p.service = &service{path: m[1], status: "RUNNING"}
		}
		return &done, ""
	case begins("CREATE SERVICE echo_db.echo_schema.echo_service"): // the CLI's own
		return &done, ""
	case is(changeService):
		if p.service == nil || p.staged[m[1]] == "" {
			return nil, "no such service or specification: " + m[1]
		}
		p.service.path = m[1]
		return &done, ""
	case is(setComment):
		p.service.comment = m[1]
		return &done, ""
	case begins("ALTER SERVICE echo_db.echo_schema.echo_service RESUME"):
		p.service.status = "RUNNING"
		return &done, ""
	case begins("ALTER SERVICE echo_db.echo_schema.echo_service SET MIN_INSTANCES"):
		return &done, ""
	case begins("SHOW SERVICES LIKE 'echo_service' IN SCHEMA echo_db.echo_schema"):
		services := table{columns: []string{"name", "status", "is_upgrading", "comment"}}
		if p.service != nil {
			services.rows = append(services.rows, []any{"ECHO_SERVICE", p.service.status, "false", p.service.comment})
		}
		return &services, ""
	case begins("SHOW SERVICE CONTAINERS IN SERVICE echo_db.echo_schema.echo_service"):
		return p.containers(), ""
	case begins("SHOW ENDPOINTS IN SERVICE echo_db.echo_schema.echo_service"):
		address := "abc-org-account.snowflakecomputing.app"
		if !p.addressed {
			address, p.addressed = "Endpoints provisioning in progress... check back in a few minutes", true
		}
		return &table{[]string{"name", "ingress_url"}, [][]any{{"api", address}}}, ""
	case begins("SELECT SYSTEM$GET_SERVICE_LOGS('echo_db.echo_schema.echo_service', 1, 'api', 20)"):
		return &table{[]string{"LOG"}, [][]any{{"the last words\nof the container"}}}, ""
	}
	return nil, ""
}

func (p *platform) containers() *table {
	containers := table{columns: []string{"instance_id", "status", "message", "image_digest"}}
	digest := imageOf.FindStringSubmatch(p.staged[p.service.path])[1]
	for instance := range 2 {
		row := []any{fmt.Sprint(instance), "READY", "Running", digest}
		switch { // an upgrade begins with the last instance, and ends there if that does not become ready
		case digest == p.broken && instance == 1:
			row[1], row[2] = "FAILED", "exited with 2"
		case digest == p.broken:
			row[3] = "sha256:of the version before"
		}
		containers.rows = append(containers.rows, row)
	}
	return &containers
}

// settle orders what tests and requests do to p: between them is another process, which tells nothing
// of that order to the race detector.
func (p *platform) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
}

// take returns the statements that arrived since the last time.
func (p *platform) take() []sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.sent
	p.sent = nil
	return taken
}

// texts are the statements without what the CLI sends of itself: a PUT comes a second time, without
// the folder, for the upload.
func texts(all []sent) []string {
	var texts []string
	for _, s := range all {
		if !strings.HasPrefix(s.text, "PUT 'file://spec.yml'") {
			texts = append(texts, s.text)
		}
	}
	return texts
}

// configure puts a connection to p into a configuration folder of its own for the CLI.
func (p *platform) configure(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	require.NoError(t, os.Chmod(home, 0o700))
	require.NoError(t, os.WriteFile(home+"/config.toml", []byte(fmt.Sprintf(`default_connection_name = "test"
[connections.test]
account = "test"
user = "u"
password = "p"
host = %q
port = %s
protocol = "http"
database = "echo_db"
schema = "echo_schema"
`, p.host, p.port)), 0o600))
	return home
}
