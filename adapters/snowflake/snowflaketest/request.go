package snowflaketest

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// Paths of the protocol.
const (
	LoginPath = "/session/v1/login-request"
	RenewPath = "/session/token-request"
	QueryPath = "/queries/v1/query-request"
	AbortPath = "/queries/v1/abort-request"
	ClosePath = "/session"
)

// Request is a request that arrived.
type Request struct {
	Path      string
	SQL       string
	Binds     []any
	Tag       string // QUERY_TAG
	RequestID string
	Token     string // of the session; of a login, the credential that it brought
	Session   int    // number of the session; -1 outside of one
	Header    http.Header
	Body      string // as it came
}

type session struct {
	*engine.Session
	token       string
	lockTimeout time.Duration
	busy        sync.Mutex // a session runs one statement at a time
	working     bool       // it executes a statement, or waits for a lock
	used        time.Time  // when that ended last
}

// answer is what a statement was answered with, for those who ask again.
type answer struct {
	done  chan struct{}
	reply any
	abort bool // the client wants it to end
}

// body is what any request may hold.
type body struct {
	SQLText    string          `json:"sqlText"`
	Bindings   map[string]bind `json:"bindings"`
	Parameters map[string]any  `json:"parameters"`
	RequestID  string          `json:"requestId"`
	Old        string          `json:"oldSessionToken"`
	Data       struct {
		Password          string         `json:"PASSWORD"`
		Token             string         `json:"TOKEN"`
		SessionParameters map[string]any `json:"SESSION_PARAMETERS"`
	} `json:"data"`
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	raw, err := read(r)
	if err != nil {
		return // the client went
	}
	var b body
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &b); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	request := Request{
		Header: r.Header,
		Path:   r.URL.Path, SQL: b.SQLText, Binds: values(b.Bindings), RequestID: r.URL.Query().Get("requestId"),
		Token:   strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Authorization"), `Snowflake Token="`), `"`),
		Session: -1, Body: string(raw),
	}
	request.Tag, _ = b.Parameters["QUERY_TAG"].(string)
	if request.Path == LoginPath {
		request.Token = b.Data.Token + b.Data.Password
	}

	s.mu.Lock()
	if known, ok := s.sessions[request.Token]; ok {
		request.Session = known.Number()
	}
	s.log = append(s.log, request)
	intercept := s.intercept
	s.mu.Unlock()

	var fault *Fault
	if intercept != nil {
		fault = intercept(&request)
	}
	answer := func() any { return s.answer(r, request, b) }
	if fault == nil {
		writeJSON(w, answer())
		return
	}
	fault.apply(s, w, r, answer)
}

func read(r *http.Request) ([]byte, error) {
	content := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		content = unzipped
	}
	return io.ReadAll(content)
}

func writeJSON(w http.ResponseWriter, reply any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply) // the client may be gone
}

func (s *Server) answer(r *http.Request, request Request, b body) any {
	switch request.Path {
	case LoginPath:
		return s.login(b)
	case RenewPath:
		return s.renew(b)
	case QueryPath:
		return s.query(r, request)
	case AbortPath:
		s.abort(b.RequestID)
	case ClosePath:
		s.end(request.Token)
	}
	return map[string]any{"success": true, "data": map[string]any{}}
}

func (s *Server) login(b body) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins++
	one := &session{Session: s.db.Open(), lockTimeout: 12 * time.Hour, used: time.Now()}
	one.token = fmt.Sprintf("token-%d", one.Number())
	for name, value := range b.Data.SessionParameters {
		one.Set(name, fmt.Sprint(value))
		if seconds, err := strconv.Atoi(fmt.Sprint(value)); err == nil && name == "LOCK_TIMEOUT" {
			one.lockTimeout = time.Duration(seconds) * time.Second
		}
	}
	s.sessions[one.token] = one
	return map[string]any{"success": true, "data": map[string]any{
		"token": one.token, "masterToken": "master-" + one.token, "sessionId": one.Number(),
		"validityInSeconds": 3600, "masterValidityInSeconds": 14400, "parameters": []any{}, "sessionInfo": map[string]any{},
	}}
}

func (s *Server) renew(b body) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.sessions[b.Old]
	if !ok {
		return failure("390114", "08001", "Authentication token has expired.")
	}
	delete(s.sessions, one.token)
	one.token += "r"
	s.sessions[one.token] = one
	return map[string]any{"success": true, "data": map[string]any{
		"sessionToken": one.token, "masterToken": "master-" + one.token, "sessionId": one.Number(),
	}}
}

func (s *Server) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.sessions[token]; ok {
		one.Close()
		delete(s.sessions, token)
		s.changed.Broadcast()
	}
}

func (s *Server) abort(requestID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.answers[requestID]; ok {
		a.abort = true
		s.changed.Broadcast()
	}
}
