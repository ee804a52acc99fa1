//go:build unix

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// PgBouncer is a running PgBouncer in transaction mode, in front of a server.
type PgBouncer struct {
	Socket string // folder of the Unix socket
	Port   int    // of the socket; it does not listen on TCP

	watchdog *watchdog
	process  *process
}

// FindPgBouncer returns the path of PgBouncer on this machine.
func FindPgBouncer() (program string, ok bool) {
	// Debian puts it where only root looks.
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
	}
	return "", false
}

// StartPgBouncer starts a PgBouncer for all databases and roles of the server, which need no password. It fails if
// this machine has no PgBouncer. Clients share at most this number of connections for each database and role.
func StartPgBouncer(ctx context.Context, s *Server, connections int) (*PgBouncer, error) {
	program, ok := FindPgBouncer()
	if !ok {
		return nil, errors.New("found no PgBouncer: install it, on Debian by: apt-get install pgbouncer")
	}
	folder, err := makeFolder("", s.user)
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{Socket: folder, Port: 6432}
	if b.watchdog, err = startWatchdog(folder, Smart, true); err != nil {
		return nil, err
	}
	if err := b.start(ctx, s, program, connections); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *PgBouncer) start(ctx context.Context, s *Server, program string, connections int) error {
	config := filepath.Join(b.Socket, "pgbouncer.ini")
	// With auth_query, roles need not be listed in a file.
	err := os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host='%s' port=%d auth_user=%s
[pgbouncer]
listen_port = %d
unix_socket_dir = %s
auth_type = trust
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1
pool_mode = transaction
default_pool_size = %d
max_client_conn = 1000
`, s.Socket, s.Port, SuperUser, b.Port, b.Socket, connections), 0o600)
	if err == nil {
		err = give(s.user, config)
	}
	if err != nil {
		return err
	}
	socket := filepath.Join(b.Socket, fmt.Sprintf(".s.PGSQL.%d", b.Port))
	ready := func(int) bool { return accepts(socket) }
	command := asUser(context.Background(), s.user, b.Socket, program, config) // it outlives ctx
	b.process, err = b.watchdog.run(ctx, command, filepath.Join(b.Socket, "log"), ready)
	return err
}

// accepts reports whether a program accepts connections on the Unix socket.
func accepts(socket string) bool {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// DSN returns the connection string of a role in a database. Debian's PgBouncer passes no prepared statements on.
func (b *PgBouncer) DSN(role, database string) string { return dsn(b.Socket, b.Port, role, database) }

// Close stops PgBouncer and its connections. A second call does nothing.
func (b *PgBouncer) Close() error { return b.watchdog.end(b.process) }
