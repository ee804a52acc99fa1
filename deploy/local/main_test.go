//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/program"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, nil) }

func TestTheCommandRunsTheServiceOnAnEmulatorAndLeavesNoFiles(t *testing.T) {
	service := configure(t)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, nil, io.Discard) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
		left, err := os.ReadDir(temporary)
		assert.NoError(t, err)
		assert.Empty(t, left)
	})
	awaitReady(t, service)
	status, err := signIn(service)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, status)
}

func TestAnUnknownStoreIsRefused(t *testing.T) {
	assert.ErrorContains(t, run(t.Context(), []string{"--store", "sqlite"}, io.Discard), `not "sqlite"`)
}

func TestAfterCtrlCInATerminalTheServiceCompletesRunningRequests(t *testing.T) {
	service := configure(t)
	program := filepath.Join(t.TempDir(), "local")
	out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	var output bytes.Buffer
	local := exec.CommandContext(t.Context(), program)
	local.Stdout, local.Stderr = &output, &output
	local.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does
	ctrlC := func() error { return syscall.Kill(-local.Process.Pid, syscall.SIGINT) }
	local.Cancel = ctrlC
	require.NoError(t, local.Start())
	awaitReady(t, service)

	require.NoError(t, ctrlC())
	for {
		status, err := signIn(service)
		if err != nil {
			break // it no longer listens
		}
		require.Equal(t, http.StatusOK, status)
	}
	require.NoError(t, local.Wait())
	assert.Contains(t, output.String(), `"body":"stopped"`)
}

const password = "correct horse battery staple"

// configure sets a free address and the password, and returns the URL of the service.
func configure(t *testing.T) string {
	t.Helper()
	port, err := program.FreePort()
	require.NoError(t, err)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	t.Setenv("HTTP_ADDR", address)
	t.Setenv("FIRST_SUPERUSER_PASSWORD", password)
	t.Setenv("LOG_FORMAT", "json")
	t.Setenv("GOFLAGS", "") // the flags of this run, such as -race, are not for the service
	return "http://" + address
}

func awaitReady(t *testing.T, service string) {
	t.Helper()
	require.Eventually(t, func() bool {
		reply, err := http.Get(service + "/readyz")
		if err != nil {
			return false
		}
		defer reply.Body.Close()
		return reply.StatusCode == http.StatusOK
	}, 8*time.Minute, 100*time.Millisecond) // the first run installs the emulator
}

func signIn(service string) (status int, err error) {
	form := url.Values{"username": {"admin@example.com"}, "password": {password}}
	reply, err := http.PostForm(service+"/api/v1/auth/login", form)
	if err != nil {
		return 0, err
	}
	return reply.StatusCode, reply.Body.Close()
}
