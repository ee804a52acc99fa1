package snowflaketest

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// Server is a fake of Snowflake. Create one with [New]. Its methods may be called concurrently, except
// Start.
type Server struct {
	// VanishAfter is how long a transaction blocks other sessions after its client sent the last
	// statement. Snowflake documentation: five minutes. Set it while no statement waits.
	VanishAfter time.Duration

	// PostgresToken returns the token of a role on an instance of Snowflake Postgres. It must be safe for concurrent
	// use. nil: the function that hands out tokens is unknown.
	PostgresToken func(instance, role string) string

	// Now is the clock by which caller tokens expire. Set it while no login is running.
	Now func() time.Time

	t      testing.TB
	addr   string
	server *http.Server
	closed chan struct{}
	close  sync.Once

	mu         sync.Mutex // guards everything below, including the database
	changed    *sync.Cond // the database changed, or a wait has to end
	db         *engine.DB
	account    map[string]string   // parameters that the account sets
	sessions   map[string]*session // by token
	executions map[string]*execution
	requests   []Request
	intercept  func(*Request) *Fault
	logins     int
	statements int
	waiters    int

	serviceToken string                 // empty: every login succeeds
	callers      map[string]callerToken // by token
}

// New starts a server on a free port of the loopback interface, over plain HTTP. It closes when t
// ends. A statement that the engine does not know is answered with an error and fails t. A test that
// sends such a statement on purpose passes a testing.TB of its own, which records the failure.
func New(t testing.TB, rules engine.Rules) *Server {
	t.Helper()
	s := &Server{
		VanishAfter: 5 * time.Minute,
		t:           t,
		addr:        "127.0.0.1:0",
		closed:      make(chan struct{}),
		db:          engine.New(rules),
		account:     rules.Account,
		sessions:    map[string]*session{},
		executions:  map[string]*execution{},
		Now:         time.Now,
		callers:     map[string]callerToken{},
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
	s.server = &http.Server{Handler: http.HandlerFunc(s.serve)}
	go func(server *http.Server) { _ = server.Serve(listener) }(s.server)
}

// Stop makes the server unreachable and closes all connections. Data and sessions stay.
func (s *Server) Stop() { _ = s.server.Close() }

// Restart ends all sessions, as a restart of the database does. The data stays.
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, session := range s.sessions {
		session.Close()
		delete(s.sessions, token)
	}
	s.changed.Broadcast()
}

// Close stops the server and ends all requests that hang in it. Further calls have no effect.
func (s *Server) Close() {
	s.close.Do(func() { close(s.closed) })
	s.Stop()
	s.wake()
}

// Host returns the address to connect to.
func (s *Server) Host() string {
	host, _, _ := net.SplitHostPort(s.addr)
	return host
}

// Port returns the TCP port to connect to.
func (s *Server) Port() int {
	_, port, _ := net.SplitHostPort(s.addr)
	n, _ := strconv.Atoi(port)
	return n
}

// Exec executes a statement in a new session, without the protocol. An error ends the test, so call
// Exec from the goroutine of the test. Where an error is expected, execute the statement on a
// [Server.Snapshot] instead.
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

// Snapshot returns a copy of the database.
func (s *Server) Snapshot() *engine.DB {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db.Clone()
}

// Intercept makes the server call f before it handles a request. The request suffers the fault that f
// returns, or none if that is nil. A nil f ends the interception.
func (s *Server) Intercept(f func(*Request) *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Requests returns the requests that arrived since the last Reset, including logins and renewals.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Reset forgets the requests and sets the counts of logins and statements to 0.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.logins, s.statements = nil, 0, 0
}

// Logins returns the number of sessions opened since the last Reset.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Statements returns the number of statements executed since the last Reset.
func (s *Server) Statements() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.statements
}

// Waiters returns the number of statements that wait for a lock.
func (s *Server) Waiters() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiters
}

// refusal returns what Snowflake would answer for err. If the engine does not know the statement, that
// also fails the test, unless the server is closed: then the test may have ended. s.mu must be held.
func (s *Server) refusal(sql string, err error) *engine.Error {
	var refused *engine.Error
	if errors.As(err, &refused) {
		return refused
	}
	if !s.isClosed() {
		s.t.Errorf("%s: %v", sql, err)
	}
	return &engine.Error{Number: 1003, State: "42000", Message: err.Error()}
}

func (s *Server) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

func (s *Server) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}
