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
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/platformtest"
)

// proxy stands between the CLI and the emulator. A platform answers the statements about what the emulator
// lacks; the emulator gets all others.
type proxy struct {
	platform   *platformtest.Platform
	host, port string
	roles      sync.Map // by the token of a session
}

func startProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{platform: platformtest.New()}
	emulated := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: net.JoinHostPort(fakesnow.Host, fmt.Sprint(fakesnow.Port))})
	emulated.ModifyResponse = p.noteSession
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/session/token-request" { // to log docker in
			reply(w, map[string]any{"success": true, "data": map[string]any{
				"sessionToken": "a token", "validityInSecondsST": 3600, "masterToken": "m", "validityInSecondsMT": 3600,
			}})
			return
		}
		text := statementOf(r)
		if text == "" {
			emulated.ServeHTTP(w, r)
			return
		}
		answer, refusal := p.platform.Answer(p.roleOf(r), text)
		switch {
		case refusal != "":
			reply(w, map[string]any{"success": false, "code": "002003", "message": refusal, "data": map[string]any{
				"errorCode": "002003", "sqlState": "42S02",
			}})
		case answer != nil:
			write(w, *answer)
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

// noteSession remembers the role of a session.
func (p *proxy) noteSession(r *http.Response) error {
	if r.Request.URL.Path != "/session/v1/login-request" {
		return nil
	}
	raw, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(raw))
	var body struct{ Data struct{ Token string } }
	_ = json.Unmarshal(raw, &body)
	p.roles.Store(body.Data.Token, r.Request.URL.Query().Get("roleName"))
	return err
}

func (p *proxy) roleOf(r *http.Request) string {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Snowflake Token=")
	role, _ := p.roles.Load(strings.Trim(token, `"`))
	name, _ := role.(string)
	return name
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func write(w http.ResponseWriter, table platformtest.Table) {
	var types []any
	for _, name := range table.Columns {
		types = append(types, map[string]any{
			"name": name, "type": "text", "length": 1000, "byteLength": 1000, "nullable": true, "precision": nil, "scale": nil,
		})
	}
	rows := table.Rows
	if rows == nil {
		rows = [][]any{}
	}
	reply(w, map[string]any{"success": true, "data": map[string]any{
		"parameters": []any{}, "rowtype": types, "rowset": rows, "total": len(rows), "returned": len(rows),
		"queryId": "01000000-0000-0000-0000-000000000000", "queryResultFormat": "json", "sqlState": "00000", "statementTypeId": 4096,
	}})
}

// configure returns a configuration folder for the CLI, with a connection to the proxy.
func (p *proxy) configure(t *testing.T) (home string) {
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
