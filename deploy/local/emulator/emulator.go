// Package emulator starts fakesnow, a SQL engine behind Snowflake's protocol, for the local start and
// for tests. It is Python; a pinned virtual environment is made once in the user's cache folder.
//
// What works here may fail in Snowflake: it has neither its locks nor its grants, and a write that
// would wait there is refused here.
package emulator

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/venv"
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
	python, err := venv.Python(ctx, "fakesnow", requirements, log)
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
		return nil, fmt.Errorf("the emulator ended before it was ready: %w: %s", err, venv.LastLines(said.bytes))
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
