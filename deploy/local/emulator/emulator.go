// Package emulator starts fakesnow, a SQL engine behind Snowflake's protocol, for deploy/local and for
// tests. fakesnow is a Python program; package venv installs it.
//
// What works here may fail in Snowflake: the emulator has no grants and no locks. It refuses a write
// that would wait for a lock in Snowflake.
package emulator

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/program"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/venv"
)

// Emulator is a running emulator. Its data is lost when it ends.
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

// closeTimeout is how long Close waits for the emulator to end by itself.
const closeTimeout = 5 * time.Second

// Start starts an emulator and waits until it accepts connections. It fails if there is no Python that
// venv can use, if the installation fails, if the emulator ends early, or when ctx ends. The first
// start takes a minute or two and needs the network; log receives a line about that.
func Start(ctx context.Context, log io.Writer) (*Emulator, error) {
	python, err := venv.Python(ctx, "fakesnow", requirements, log)
	if err != nil {
		return nil, err
	}
	port, err := program.FreePort()
	if err != nil {
		return nil, err
	}
	e := &Emulator{Host: "127.0.0.1", Port: port, ended: make(chan error, 1)}
	e.process = exec.Command(python, "-c", string(launcher), fmt.Sprint(port))
	var stderr tail // fakesnow logs every request
	e.process.Stderr = &stderr
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
		reason := program.LastLines(stderr.bytes, 5)
		return nil, fmt.Errorf("the emulator ended before it was ready: %w: %s", err, reason)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), e.Close())
	}
}

// Close ends the emulator, and kills it if it takes longer than closeTimeout.
func (e *Emulator) Close() error {
	if err := e.stdin.Close(); err != nil {
		return err
	}
	select {
	case <-e.ended:
		return nil
	case <-time.After(closeTimeout):
		err := e.process.Process.Kill()
		<-e.ended
		return err
	}
}

// tail is an [io.Writer] that keeps the last 4 KiB.
type tail struct{ bytes []byte }

func (t *tail) Write(b []byte) (int, error) {
	const size = 4096
	t.bytes = append(t.bytes, b...)
	t.bytes = t.bytes[max(0, len(t.bytes)-size):]
	return len(b), nil
}
