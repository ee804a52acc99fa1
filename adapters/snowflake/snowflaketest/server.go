package snowflaketest

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// Server is a database behind HTTP. Make one with [New].
type Server struct {
	// VanishAfter is how long the locks of a client last that went away inside a transaction.
	// Snowflake documentation: five minutes, when it blocks others.
	VanishAfter time.Duration

	t      testing.TB
	addr   string
	server *http.Server
	ended  chan struct{} // closed by Close
	once   sync.Once

	mu        sync.Mutex // guards all below, the database included
	changed   *sync.Cond // the database changed, or somebody gave up
	db        *engine.DB
	sessions  map[string]*session // by token
	answers   map[string]*answer  // by request id
	log       []Request
	intercept func(*Request) *Fault
	logins    int
	executed  int
	waiters   int
	open      map[net.Conn]bool
}

// New starts a server on a free port of this machine, over plain HTTP. It closes when t ends.
func New(t testing.TB, rules engine.Rules) *Server {
	t.Helper()
	s := &Server{
		t:           t,
		VanishAfter: 5 * time.Minute,
		addr:        "127.0.0.1:0",
		ended:       make(chan struct{}),
		db:          engine.New(rules),
		sessions:    map[string]*session{},
		answers:     map[string]*answer{},
		open:        map[net.Conn]bool{},
	}
	s.changed = sync.NewCond(&s.mu)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// Start makes the server reachable again after Stop, at the same address.
func (s *Server) Start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.addr)
	if err != nil {
		s.t.Fatalf("listen on %s: %v", s.addr, err) // after Stop another process may have taken the port
	}
	s.addr = listener.Addr().String()
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve), ConnState: s.track}
	go func(server *http.Server) { _ = server.Serve(listener) }(s.server)
}

// Stop makes the server unreachable and cuts all connections. The data stays.
func (s *Server) Stop() { _ = s.server.Close() }

// Restart ends all sessions, as a restart of the database does. The data stays.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, one := range s.sessions {
		one.Close()
		delete(s.sessions, token)
	}
	s.changed.Broadcast()
}

// Close ends the server and everything that hangs in it. It may be called again.
func (s *Server) Close() {
	s.once.Do(func() { close(s.ended) })
	s.Stop()
	s.wake()
}

// Host returns where the server listens.
func (s *Server) Host() string {
	host, _, _ := net.SplitHostPort(s.addr)
	return host
}

// Port returns where the server listens.
func (s *Server) Port() int {
	_, port, _ := net.SplitHostPort(s.addr)
	n, _ := strconv.Atoi(port)
	return n
}

// Exec executes a statement in a new session, without the protocol. An error ends the test.
func (s *Server) Exec(sql string, args ...any) engine.Result {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	result, err := s.db.Open().Do(sql, args...)
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	s.changed.Broadcast()
	return result
}

// Snapshot returns a copy of the database as it is, for what does not need a server.
func (s *Server) Snapshot() *engine.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.Clone()
}

// Intercept calls f for each request before it is served, which may break it; nil ends that.
func (s *Server) Intercept(f func(*Request) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Requests returns what arrived since the last Reset, logins and renewals included.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.log...)
}

// Reset forgets the requests and counts anew.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log, s.logins, s.executed = nil, 0, 0
}

// Logins returns how many sessions were opened since the last Reset.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Statements returns how many statements were executed since the last Reset.
func (s *Server) Statements() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.executed
}

// Waiters returns how many statements wait for a lock.
func (s *Server) Waiters() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiters
}

// Connections returns how many TCP connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

func (s *Server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.open[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(s.open, c)
	}
}

func (s *Server) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

func (s *Server) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}
