// Package emulator starts fakesnow, a SQL engine behind Snowflake's protocol, for the local start and
// for tests. It is Python; a pinned virtual environment is made once in the user's cache folder.
//
// What works here may fail in Snowflake: it has neither its locks nor its grants, and a write that
// would wait there is refused here.
package emulator

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Emulator is a running emulator. Its data ends with it.
type Emulator struct {
	Host string
	Port int

	process *exec.Cmd
	stdin   io.Closer
	ended   chan error
}

var (
	//go:embed requirements.txt
	requirements []byte
	//go:embed fakesnow.py
	launcher []byte
)

// longestEnd is how long the emulator may take to end by itself.
const longestEnd = 5 * time.Second

// Start starts an emulator and waits until it can be used; the first time, that takes a minute or two
// and the network. What happens is told to log. An error says what to install.
func Start(ctx context.Context, log io.Writer) (*Emulator, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	python, err := environment(ctx, filepath.Join(cache, "echo-in-snowflake"), log)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	e := &Emulator{Host: "127.0.0.1", Port: port, ended: make(chan error, 1)}
	e.process = exec.Command(python, "-c", string(launcher), fmt.Sprint(port))
	var said tail // it tells of every request
	e.process.Stderr = &said
	if e.stdin, err = e.process.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := e.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.process.Start(); err != nil {
		return nil, err
	}
	ready := make(chan bool, 1)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if lines.Text() == "READY" {
				ready <- true
			}
		}
		e.ended <- e.process.Wait()
	}()
	select {
	case <-ready:
		return e, nil
	case err := <-e.ended:
		return nil, fmt.Errorf("the emulator ended before it was ready: %w: %s", err, lastLines(said.bytes))
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), e.Close())
	}
}

// Close ends the emulator and its data.
func (e *Emulator) Close() error {
	if err := e.stdin.Close(); err != nil {
		return err
	}
	select {
	case <-e.ended:
		return nil
	case <-time.After(longestEnd):
		err := e.process.Process.Kill()
		<-e.ended
		return err
	}
}

// environment returns the python of a virtual environment in cache that has what is required, and
// makes it first if need be.
func environment(ctx context.Context, cache string, log io.Writer) (string, error) {
	python, err := findPython(ctx)
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, fmt.Sprintf("fakesnow-%.6x", sha256.Sum256(requirements)))
	if _, err := os.Stat(home); err == nil {
		return inside(home), nil
	}
	fmt.Fprintln(log, "making a virtual environment for the emulator in", home)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	// Made aside and then renamed, so that it is whole if it is there. Two who make it at once do not
	// meet; the slower one's is thrown away.
	aside, err := os.MkdirTemp(cache, "making-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	list := filepath.Join(aside, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o600); err != nil {
		return "", err
	}
	for _, step := range [][]string{
		{python, "-m", "venv", aside},
		{inside(aside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", list},
	} {
		if out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(step[1:4], " "), err, lastLines(out))
		}
	}
	if err := os.Rename(aside, home); err != nil {
		if _, there := os.Stat(home); there != nil {
			return "", err
		}
	}
	return inside(home), nil
}

func inside(home string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(home, "Scripts", "python.exe")
	}
	return filepath.Join(home, "bin", "python")
}

var errNoPython = errors.New("the emulator needs Python 3.10 or newer with its venv module: install it, on Debian by: apt-get install python3 python3-venv")

func findPython(ctx context.Context) (string, error) {
	for _, name := range []string{"python3", "python"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		const check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))"
		if exec.CommandContext(ctx, path, "-c", check).Run() == nil {
			return path, nil
		}
	}
	return "", cmp.Or(ctx.Err(), errNoPython)
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// tail keeps the end of what is written to it.
type tail struct{ bytes []byte }

func (t *tail) Write(b []byte) (int, error) {
	const most = 4096
	t.bytes = append(t.bytes, b...)
	t.bytes = t.bytes[max(0, len(t.bytes)-most):]
	return len(b), nil
}

func lastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
