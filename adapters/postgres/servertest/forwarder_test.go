//go:build unix

package servertest

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
)

// forwarder stands between the store and a server. It can lose replies and connections, and counts round trips.
type forwarder struct {
	lose   atomic.Int32 // how many of the next replies are lost, each with its connection
	silent atomic.Int64 // connections with a lower number carry nothing any more, and stay open
	count  atomic.Int64 // of connections
	done   <-chan struct{}

	trips      atomic.Int32 // how often a client sent after the server had sent
	serverSent atomic.Bool
}

// during returns how many round trips do makes.
func (f *forwarder) during(do func()) int {
	f.trips.Store(0)
	f.serverSent.Store(true)
	do()
	return int(f.trips.Load())
}

// silence lets the connections that there are carry nothing any more, as when the server's machine is lost.
func (f *forwarder) silence() { f.silent.Store(f.count.Load() + 1) }

// forward starts a forwarder and returns it with the options to connect through it.
func forward(t *testing.T, o session.Options) (*forwarder, session.Options) {
	t.Helper()
	name := fmt.Sprintf(".s.PGSQL.%d", o.Port)
	target := filepath.Join(o.Host, name)
	o.Host = shortFolder(t)
	listener, err := net.Listen("unix", filepath.Join(o.Host, name))
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	f := &forwarder{done: t.Context().Done()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go f.serve(client, target)
		}
	}()
	return f, o
}

func (f *forwarder) serve(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("unix", target)
	if err != nil {
		return
	}
	defer server.Close()
	number := f.count.Add(1)
	go func() {
		f.copy(server, client, number, false)
		_ = server.Close()
	}()
	f.copy(client, server, number, true)
}

// copy copies until one of both ends, or a reply is lost.
func (f *forwarder) copy(to io.Writer, from io.Reader, number int64, fromServer bool) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if number < f.silent.Load() {
			<-f.done
			return
		}
		if err != nil || fromServer && f.loses() {
			return
		}
		if f.serverSent.Swap(fromServer) && !fromServer {
			f.trips.Add(1)
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (f *forwarder) loses() bool {
	if f.lose.Add(-1) >= 0 {
		return true
	}
	f.lose.Store(0)
	return false
}
