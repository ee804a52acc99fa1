//go:build unix

// Package pgserver finds, downloads, starts and stops PostgreSQL servers, for deploy/local and for tests.
// It knows nothing of the service and its tables.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/program"
)

// Options says what server to start.
type Options struct {
	Bin string // folder with the programs initdb and postgres

	// Folder keeps the data for the next start. Without it, the data is in a temporary folder, which is
	// removed with the server. Its files belong to the server's user; see [User].
	Folder string

	// Durable servers survive a crash of the machine. Without it, commits are several times faster.
	Durable bool

	TCP bool // listens on 127.0.0.1 too, where roles need a password
	TLS bool // listens as TCP does, and offers TLS with a certificate of its own authority

	Settings map[string]string // more settings, as in postgresql.conf
}

// Server is a PostgreSQL server with the superuser postgres, who needs no password on the Unix socket. Its
// methods are not safe for concurrent use.
type Server struct {
	Socket  string // folder of the Unix socket
	Port    int    // of the socket, and of 127.0.0.1
	CAFile  string // certificate of the authority, with TLS
	LogFile string

	options  Options
	folder   string
	user     *syscall.Credential // nil: the user of this process
	watchdog *watchdog
	process  *process // the last one; nil before the first
}

// SuperUser is the role that owns a new server.
const SuperUser = "postgres"

// Mode is how a server stops.
type Mode = syscall.Signal

// Ways to stop (PostgreSQL's documentation, "Shutting Down the Server").
const (
	Smart     Mode = syscall.SIGTERM // waits until all clients have left
	Fast      Mode = syscall.SIGINT  // rolls back what is running
	Immediate Mode = syscall.SIGQUIT // as a crash does
)

// closeTimeout bounds how long Close waits for the server to stop.
const closeTimeout = 30 * time.Second

// Start starts a server and waits until it accepts connections. It fails with [ErrInUse] if another process
// uses the folder, and with the last lines of the server's log if the server ends early.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := newServer(o)
	if err != nil {
		return nil, err
	}
	if err = s.initialize(ctx); err == nil {
		err = s.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newServer(o Options) (*Server, error) {
	user, err := User()
	if err != nil {
		return nil, err
	}
	folder, err := makeFolder(o.Folder, user)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Socket: folder, Port: 5432, LogFile: filepath.Join(folder, "log"),
		options: o, folder: folder, user: user,
	}
	stop := Immediate
	if o.Folder != "" {
		stop = Fast
	}
	if s.watchdog, err = startWatchdog(folder, stop, o.Folder == ""); err != nil {
		return nil, err
	}
	if o.TCP || o.TLS {
		s.Port, err = program.FreePort()
	}
	if err == nil && o.TLS {
		s.CAFile = filepath.Join(folder, "ca.crt")
		err = writeCertificates(folder, user)
	}
	if err != nil {
		return nil, errors.Join(err, s.watchdog.end(nil))
	}
	return s, nil
}

// initialize creates the data unless it exists. An interrupted initdb leaves none.
func (s *Server) initialize(ctx context.Context) error {
	if _, err := os.Stat(s.data()); err == nil {
		return nil
	}
	half := filepath.Join(s.folder, "half")
	arguments := []string{"-D", half, "-U", SuperUser, "-E", "UTF8", "--no-instructions",
		"--auth-local=trust", "--auth-host=scram-sha-256"}
	if !s.options.Durable {
		arguments = append(arguments, "--no-sync")
	}
	var failed error
	for _, locale := range []string{"C.UTF-8", "C"} { // not every system has the first
		if err := os.RemoveAll(half); err != nil {
			return err
		}
		out, err := s.watchdog.output(s.command(ctx, "initdb", append(arguments, "--locale="+locale)...))
		if err == nil {
			return os.Rename(half, s.data())
		}
		failed = fmt.Errorf("initdb: %w: %s", err, program.LastLines(out, 10))
	}
	return failed
}

// Start starts the server again after [Server.Stop], with the same data, folder and port.
func (s *Server) Start(ctx context.Context) error {
	program := s.command(context.Background(), "postgres", s.arguments()...) // it outlives ctx
	process, err := s.watchdog.run(ctx, program, s.LogFile, s.ready)
	s.process = process
	return err
}

// ready reads the server's state from the file in which postgres reports it to pg_ctl.
func (s *Server) ready(pid int) bool {
	const pidLine, stateLine = 0, 7
	text, _ := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	lines := strings.Split(string(text), "\n")
	return len(lines) > stateLine && lines[pidLine] == strconv.Itoa(pid) &&
		strings.TrimSpace(lines[stateLine]) == "ready"
}

func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses": "", "unix_socket_directories": s.Socket,
		// The superuser needs no password there, and the folder may be one that others can enter.
		"unix_socket_permissions": "0700",
	}
	if s.options.TCP || s.options.TLS {
		settings["listen_addresses"] = "127.0.0.1"
	}
	if s.options.TLS {
		settings["ssl"] = "on"
		settings["ssl_cert_file"] = filepath.Join(s.folder, "server.crt")
		settings["ssl_key_file"] = filepath.Join(s.folder, "server.key")
	}
	if !s.options.Durable {
		settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"] = "off", "off", "off"
	}
	maps.Copy(settings, s.options.Settings)
	arguments := []string{"-D", s.data(), "-p", strconv.Itoa(s.Port)}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		arguments = append(arguments, "-c", name+"="+settings[name])
	}
	return arguments
}

// command returns a command that runs one of the server's programs as the server's user.
func (s *Server) command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	return asUser(ctx, s.user, s.folder, filepath.Join(s.options.Bin, program), arguments...)
}

func (s *Server) data() string { return filepath.Join(s.folder, "data") }

// DSN returns the connection string, for pgx and psql, of a role in a database through the Unix socket.
func (s *Server) DSN(role, database string) string { return dsn(s.Socket, s.Port, role, database) }

func dsn(socket string, port int, role, database string) string {
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace
	return fmt.Sprintf("host='%s' port=%d user='%s' dbname='%s' sslmode=disable",
		quote(socket), port, quote(role), quote(database))
}

// Stop stops the server and waits until it ended. The data stays until [Server.Close].
func (s *Server) Stop(ctx context.Context, mode Mode) error {
	if err := s.signal(mode, s.process.pid); err != nil {
		return err
	}
	select {
	case <-s.process.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Pause freezes all processes of the server: it answers nothing, and its connections stay open.
func (s *Server) Pause() error {
	// The first one starts the others, so it comes first.
	if err := s.signal(syscall.SIGSTOP, s.process.pid); err != nil {
		return err
	}
	children, err := s.children()
	return errors.Join(err, s.signal(syscall.SIGSTOP, children...))
}

// Resume ends [Server.Pause].
func (s *Server) Resume() error {
	children, err := s.children()
	return errors.Join(err, s.signal(syscall.SIGCONT, append(children, s.process.pid)...))
}

// children returns the ids of the server's processes besides the first.
func (s *Server) children() ([]int, error) {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		return nil, fmt.Errorf("ps: %w", err)
	}
	var all []int
	for line := range strings.Lines(string(out)) {
		var pid, parent int
		if _, err := fmt.Sscan(line, &pid, &parent); err == nil && parent == s.process.pid {
			all = append(all, pid)
		}
	}
	return all, nil
}

// signal sends a signal to processes of the server, which must run. A child may have ended meanwhile.
func (s *Server) signal(sig syscall.Signal, pids ...int) error {
	select {
	case <-s.process.ended:
		return errors.New("the server is not running")
	default:
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && (pid == s.process.pid || !errors.Is(err, syscall.ESRCH)) {
			return err
		}
	}
	return nil
}

// Close stops the server, paused or not, and removes a temporary folder. A second call does nothing.
func (s *Server) Close() error {
	if s.process != nil {
		_ = s.Resume() // fails if it is not running
	}
	return s.watchdog.end(s.process)
}
