//go:build unix

package pgserver

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/program"
)

// watchdog is a process that stops a server and removes its temporary folder when this process closes the
// pipe between them, or ends in whatever way: a test that times out cannot stop its server itself.
type watchdog struct {
	process *exec.Cmd
	pipe    io.WriteCloser
}

//go:embed watchdog.sh
var watchdogScript string

// ErrInUse means that a server of another process uses the folder.
var ErrInUse = errors.New("another server uses the folder")

func startWatchdog(folder string, stop Mode, remove bool) (*watchdog, error) {
	lock, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // the watchdog has it open too, so the lock lasts until both have closed it
	switch err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, fmt.Errorf("%w %s", ErrInUse, folder)
	case err != nil:
		return nil, err
	}
	w := &watchdog{process: exec.Command("/bin/sh", "-c", watchdogScript, "watchdog", folder,
		strconv.Itoa(int(stop)), strconv.FormatBool(remove), strconv.Itoa(int(closeTimeout.Seconds())))}
	w.process.ExtraFiles = []*os.File{lock}
	w.process.Dir = "/"
	w.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C in a terminal must not end it
	if w.pipe, err = w.process.StdinPipe(); err != nil {
		return nil, err
	}
	return w, w.process.Start()
}

// watch tells the watchdog which process to stop: none if pid is 0.
func (w *watchdog) watch(pid int) {
	_, _ = fmt.Fprintln(w.pipe, pid) // after end there is no reader
}

// output runs a short program to its end and returns what it wrote. The watchdog kills it with its children.
func (w *watchdog) output(program *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	program.Stdout, program.Stderr = &out, &out
	if err := program.Start(); err != nil {
		return nil, err
	}
	w.watch(program.Process.Pid)
	err := program.Wait()
	w.watch(0)
	return out.Bytes(), err
}

// process is a program that a watchdog stops.
type process struct {
	pid   int
	ended chan struct{} // closed when it ended
}

// run starts a program that the watchdog stops, and waits until it is ready. If the program ends early, the error
// has the last lines of its log.
func (w *watchdog) run(ctx context.Context, command *exec.Cmd, logFile string, ready func(pid int) bool) (
	*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: command.Process.Pid, ended: make(chan struct{})}
	w.watch(p.pid)
	go func() {
		_ = command.Wait() // the log says why it ended
		w.watch(0)
		close(p.ended)
	}()
	for !ready(p.pid) {
		select {
		case <-p.ended:
			text, _ := os.ReadFile(logFile)
			reason := program.LastLines(text, 10)
			return p, fmt.Errorf("%s ended before it was ready: %s", filepath.Base(command.Path), reason)
		case <-ctx.Done():
			return p, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return p, nil
}

// end lets the watchdog do its work, and waits for it and for the process, which may be nil. A second call does
// nothing.
func (w *watchdog) end(p *process) error {
	if w.process.ProcessState != nil {
		return nil
	}
	if err := w.pipe.Close(); err != nil {
		return err
	}
	if err := w.process.Wait(); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	if p != nil {
		<-p.ended
	}
	return nil
}
