package session

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// backend is a server that speaks PostgreSQL's protocol and knows no SQL. It fails as a test says: some errors of a
// real server need a full disk, or a pooler.
type backend struct {
	mu      sync.Mutex
	login   *pgproto3.ErrorResponse // refuses logins
	failure *pgproto3.ErrorResponse // fails statements; without a failure, a statement changes one row
	ends    bool                    // the connection ends after the failure, or instead of a reply
	forgets bool                    // the connection ends when a prepared statement is to be removed

	logins, statements int
	passwords          []string
}

// newBackend starts a backend and returns it with the options to reach it.
func newBackend(t testing.TB) (*backend, Options) {
	t.Helper()
	listener := listen(t)
	b := &backend{}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go b.serve(conn)
		}
	}()
	return b, optionsFor(listener)
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func optionsFor(listener net.Listener) Options {
	addr := listener.Addr().(*net.TCPAddr)
	return Options{
		Host: addr.IP.String(), Port: addr.Port, Database: "d", User: "u",
		RequestTimeout: time.Second, Connections: 4, MissingHint: "the hint",
	}
}

// set changes the backend while it runs.
func (b *backend) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *backend) serve(conn net.Conn) {
	defer conn.Close()
	p := pgproto3.NewBackend(conn, conn)
	if !b.signIn(p) {
		return
	}
	failed := false
	for {
		message, err := p.Receive()
		if err != nil {
			return
		}
		if _, sync := message.(*pgproto3.Sync); sync {
			failed = false
			p.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			if p.Flush() != nil {
				return
			}
			continue
		}
		if failed { // what follows an error is ignored up to the end of the batch
			continue
		}
		var goOn bool
		if failed, goOn = b.answer(p, message); !goOn {
			_ = p.Flush()
			return
		}
	}
}

func (b *backend) signIn(p *pgproto3.Backend) bool {
	if message, err := p.ReceiveStartupMessage(); err != nil {
		return false
	} else if _, ok := message.(*pgproto3.StartupMessage); !ok {
		return false
	}
	p.Send(&pgproto3.AuthenticationCleartextPassword{})
	if p.Flush() != nil || p.SetAuthType(pgproto3.AuthTypeCleartextPassword) != nil {
		return false
	}
	message, err := p.Receive()
	if err != nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logins++
	b.passwords = append(b.passwords, message.(*pgproto3.PasswordMessage).Password)
	if b.login != nil {
		p.Send(b.login)
		_ = p.Flush()
		return false
	}
	p.Send(&pgproto3.AuthenticationOk{})
	p.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	return p.Flush() == nil
}

// answer answers a message within a batch, or reports that it failed, or that the connection ends.
func (b *backend) answer(p *pgproto3.Backend, message pgproto3.FrontendMessage) (failed, goOn bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch message.(type) {
	case *pgproto3.Parse:
		p.Send(&pgproto3.ParseComplete{})
	case *pgproto3.Describe:
		p.Send(&pgproto3.ParameterDescription{ParameterOIDs: []uint32{pgtype.Int8OID}})
		p.Send(&pgproto3.NoData{})
	case *pgproto3.Bind:
		p.Send(&pgproto3.BindComplete{})
	case *pgproto3.Close:
		if b.forgets {
			return false, false
		}
		p.Send(&pgproto3.CloseComplete{})
	case *pgproto3.Execute:
		b.statements++
		if b.failure != nil {
			p.Send(b.failure)
			return true, !b.ends
		}
		if b.ends {
			return false, false
		}
		p.Send(&pgproto3.CommandComplete{CommandTag: []byte("UPDATE 1")})
	case *pgproto3.Terminate:
		return false, false
	}
	return false, true
}

func open(t testing.TB, o Options) *DB {
	t.Helper()
	d, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// limit returns a context for one call.
func limit(t testing.TB, d *DB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d.options.RequestTimeout)
	t.Cleanup(cancel)
	return ctx
}

func write(ctx context.Context, d *DB) error {
	return d.Write(ctx, func(ctx context.Context, c Conn) error {
		_, err := c.Exec(ctx, Statement{SQL: "UPDATE t SET n = ?", Args: []any{1}})
		return err
	})
}

func read(ctx context.Context, d *DB) error {
	_, err := Read(ctx, d, func(ctx context.Context, c Conn) (struct{}, error) {
		st := Statement{SQL: "SELECT n FROM t WHERE n = ?", Args: []any{1}}
		return struct{}{}, c.Query(ctx, st, func(func(...any) error) error { return nil })
	})
	return err
}
