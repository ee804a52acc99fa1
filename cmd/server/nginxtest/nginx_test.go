package nginxtest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/program"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, nil) }

// example returns the configuration in docs/operations.md, for a service at that origin.
func example(t *testing.T, origin string) string {
	t.Helper()
	guide, err := os.ReadFile("../../../docs/operations.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindSubmatch(guide)
	require.NotNil(t, block)
	require.Contains(t, string(block[1]), "http://127.0.0.1:8000/")
	return strings.ReplaceAll(string(block[1]), "http://127.0.0.1:8000/", origin+"/")
}

// startNginx starts nginx with a server that has these locations, and returns its origin.
func startNginx(t *testing.T, locations string) string {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil { // Debian puts it where only root looks
		nginx = "/usr/sbin/nginx"
	}
	require.FileExists(t, nginx, "run apt-get install nginx-light")
	folder := t.TempDir()
	require.NoError(t, os.Chmod(folder, 0o755)) // its workers are another user
	port, err := program.FreePort()
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	var temporary strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temporary, "%s_temp_path %s;\n", kind, filepath.Join(folder, kind))
	}
	config := filepath.Join(folder, "nginx.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
daemon off;
pid %s/pid;
events {}
http {
access_log off;
%sserver {
listen %s;
%s
}
}`, folder, temporary.String(), address, locations), 0o600))

	process := exec.Command(nginx, "-e", "stderr", "-p", folder, "-c", config)
	process.Stderr = t.Output()
	require.NoError(t, process.Start())
	t.Cleanup(func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	return "http://" + address
}

// call sends a request and returns the reply with its text.
func call(t *testing.T, method string, at *url.URL, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, at.String(), strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(text)
}

func TestTheExampleForNginxServesEverythingBelowItsPath(t *testing.T) {
	origin := startNginx(t, example(t, peertest.StartServer(t).URL))
	home, err := url.Parse(origin + "/echo/")
	require.NoError(t, err)
	at := func(base *url.URL, address string) *url.URL {
		resolved, err := base.Parse(address)
		require.NoError(t, err)
		return resolved
	}

	seen := map[string]bool{}
	var visit func(*url.URL)
	visit = func(address *url.URL) {
		if seen[address.Path] {
			return
		}
		seen[address.Path] = true
		response, body := call(t, "GET", address, "")
		require.Equal(t, http.StatusOK, response.StatusCode, address)
		if strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
			for _, link := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
				visit(at(address, link[1]))
			}
		}
	}
	visit(home)
	for path := range seen {
		assert.True(t, strings.HasPrefix(path, "/echo/"), path)
	}
	assert.Contains(t, seen, "/echo/api/v1/docs")

	// A browser sends the origin of the page.
	response, body := call(t, "POST", at(home, "api/v1/auth/login"), "username=admin%40example.com&password=changethis",
		"Content-Type", "application/x-www-form-urlencoded", "Origin", origin)
	require.Equal(t, http.StatusOK, response.StatusCode, body)
	authorization := "Bearer " + regexp.MustCompile(`"access_token":"([^"]*)"`).FindStringSubmatch(body)[1]
	items := at(home, "api/v1/items/")
	created, body := call(t, "POST", items, `{"title":"Snow shovel"}`,
		"Authorization", authorization, "Content-Type", "application/json")
	require.Equal(t, http.StatusCreated, created.StatusCode, body)
	read, body := call(t, "GET", at(items, created.Header.Get("Location")), "", "Authorization", authorization)
	assert.Equal(t, http.StatusOK, read.StatusCode, body)
	assert.Contains(t, body, "Snow shovel")
}
