package peertest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// maxWait bounds each step that waits for the server.
const maxWait = time.Minute

// Server is the running program.
type Server struct {
	URL string // http://host:port
	PID int
}

// Build builds the program, once for all tests of a package, and returns its path.
func Build(t *testing.T) string {
	t.Helper()
	binary, err := buildOnce()
	require.NoError(t, err)
	return binary
}

var buildOnce = sync.OnceValues(func() (binary string, err error) {
	if folder, err = os.MkdirTemp("", "echo-in-snowflake-test-*"); err != nil {
		return "", err
	}
	binary = filepath.Join(folder, "server")
	// Without the state of the repository, the version on the screenshots does not change with each commit.
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", binary,
		"github.com/echo-in-snowflake/echo-in-snowflake/cmd/server").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return binary, nil
})

// folder holds the program. [Main] removes it.
var folder string

// Run builds the program, runs it with the given variables and arguments, and returns its output. It must succeed.
func Run(t *testing.T, variables []string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), Build(t), arguments...)
	command.Dir, command.Env = t.TempDir(), variables
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// StartServer builds the program and runs it. Besides the given variables, such as SOURCE_HEADER=X-Source, only its
// address is configured. When the test ends, the program must stop with exit code 0.
func StartServer(t *testing.T, variables ...string) Server {
	t.Helper()
	server := exec.Command(Build(t))
	server.Dir = t.TempDir() // without a .env
	server.Env = append([]string{"HTTP_ADDR=127.0.0.1:0", "LOG_FORMAT=json"}, variables...)
	output, err := server.StdoutPipe()
	require.NoError(t, err)
	server.Stderr = server.Stdout
	require.NoError(t, server.Start())

	lines := bufio.NewScanner(output)
	url := make(chan string, 1)
	ended := make(chan error, 1)
	go func() {
		address := ""
		for lines.Scan() {
			var line struct {
				Body       string
				Attributes struct{ URL string }
			}
			_ = json.Unmarshal(lines.Bytes(), &line) // a line that is not JSON stays empty
			if line.Body != "request" && line.Body != "audit" {
				fmt.Fprintln(t.Output(), lines.Text())
			}
			switch line.Body {
			case "listening":
				address = line.Attributes.URL
			case "ready":
				url <- address
			}
		}
		close(url)
		ended <- server.Wait()
	}()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM) // an early end fails below
		select {
		case err := <-ended:
			assert.NoError(t, err, "SIGTERM should end the server with exit code 0")
		case <-time.After(maxWait):
			_ = server.Process.Kill()
			assert.Fail(t, "the server did not stop after SIGTERM", "%v", <-ended)
		}
	})
	select {
	case u := <-url:
		require.NotEmpty(t, u, "the server ended before it was ready")
		return Server{u, server.Process.Pid}
	case <-time.After(maxWait):
		require.Fail(t, "the server did not become ready")
		return Server{}
	}
}
