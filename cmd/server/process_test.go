package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheBinaryNeedsNothingAndStopsOnASignal(t *testing.T) {
	t.Parallel()
	binary := builtBinary(t)
	// A process inherits that SIGHUP is ignored, for example if nohup runs the tests, but not that it is caught.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(signal.String(), func(t *testing.T) {
			p := startProcess(t, nil, binary, "--http-addr=127.0.0.1:0")
			p.waitFor(t, "ready")
			p.waitFor(t, "sign in as admin@example.com with the password changethis")
			require.NoError(t, p.Process.Signal(signal))
			p.waitFor(t, "stopped")
			assert.NoError(t, p.Wait())
			assert.Equal(t, exitOK, p.ProcessState.ExitCode())
		})
	}

	t.Run("a second signal ends it immediately", func(t *testing.T) {
		p := startProcess(t, []string{
			"HTTP_ADDR=:0", "STORAGE=memory", "JWT_SECRET_KEY=" + randomKey, "FIRST_SUPERUSER_PASSWORD=" + goodPassword,
		}, binary, "--shutdown-delay=7s")
		p.waitFor(t, "ready")
		require.NoError(t, p.Process.Signal(syscall.SIGTERM))
		p.waitFor(t, "stopping")
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = p.Wait()
		}()
		// The process may not have noticed the first signal yet.
		require.Eventually(t, func() bool {
			_ = p.Process.Signal(syscall.SIGTERM)
			select {
			case <-ended:
				return true
			default:
				return false
			}
		}, waitLimit, pollInterval)
		assert.Equal(t, "signal: terminated", p.ProcessState.String())
	})

	t.Run("a wrong command line ends it with 2", func(t *testing.T) {
		var exit *exec.ExitError
		require.ErrorAs(t, exec.Command(binary, "--frobnicate").Run(), &exit)
		assert.Equal(t, exitBadConfig, exit.ExitCode())
	})
}

func TestNohupKeepsTheServiceRunning(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	assert.NotContains(t, stopSignals(), syscall.SIGHUP)
}

func TestAReaderOfTheLogThatStallsStopsNothing(t *testing.T) {
	t.Parallel()
	p, c := startServing(t)
	// Nobody reads the log from here on. A pipe holds a few hundred lines.
	admin := c.signIn(adminEmail, adminPassword)
	for range 1000 {
		admin.request("GET", "/items/", nil).is(http.StatusOK)
	}
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = p.Process.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(waitLimit):
		require.Fail(t, "the process waits for the reader of its log")
	}
}

func TestTheNumberOfRefusalsIsWrittenBeforeTheProcessEnds(t *testing.T) {
	t.Parallel()
	p, c := startServing(t)
	for range 3 {
		c.request("POST", "/auth/login", signInForm(adminEmail, "a wrong password")).is(http.StatusUnauthorized)
	}
	assert.Equal(t, 1, p.waitFor(t, "audit").Attributes.Count)
	require.NoError(t, p.Process.Signal(syscall.SIGTERM))
	assert.Equal(t, 2, p.waitFor(t, "audit").Attributes.Count)
}

// process is the program and the log on its standard output.
type process struct {
	*exec.Cmd
	log *bufio.Scanner
}

// startProcess starts the program in an empty directory, with nothing else in its environment.
func startProcess(t *testing.T, env []string, binary string, args ...string) process {
	t.Helper()
	p := process{Cmd: exec.Command(binary, args...)}
	p.Dir, p.Env, p.Stderr = t.TempDir(), append([]string{}, env...), os.Stderr
	stdout, err := p.StdoutPipe()
	require.NoError(t, err)
	p.log = bufio.NewScanner(stdout)
	require.NoError(t, p.Start())
	// A test that waits for a line that does not come ends with the process.
	timer := time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() })
	t.Cleanup(func() { timer.Stop(); _ = p.Process.Kill() })
	return p
}

// startServing starts a service in development, and returns it with a client when it is ready.
func startServing(t *testing.T) (process, client) {
	t.Helper()
	p := startProcess(t, nil, builtBinary(t), "--http-addr=127.0.0.1:0")
	listening := p.waitFor(t, "listening")
	p.waitFor(t, "ready")
	return p, client{t: t, origin: listening.Attributes.URL}
}

// logLine is what tests read of a line.
type logLine struct {
	Body       string
	Attributes struct {
		URL   string
		Count int
	}
}

// waitFor reads the log up to the line with that message, and returns that line.
func (p process) waitFor(t *testing.T, message string) (line logLine) {
	t.Helper()
	for p.log.Scan() {
		line = logLine{}
		require.NoError(t, json.Unmarshal(p.log.Bytes(), &line), "%s", p.log.Bytes())
		if line.Body == message {
			return line
		}
	}
	require.Fail(t, "the log ended without "+message, p.log.Err())
	return line
}
