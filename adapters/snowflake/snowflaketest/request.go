package snowflaketest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// Paths of the protocol.
const (
	LoginPath = "/session/v1/login-request"
	QueryPath = "/queries/v1/query-request"

	renewPath = "/session/token-request"
	abortPath = "/queries/v1/abort-request"
	closePath = "/session"
)

// Request is a request that arrived.
type Request struct {
	Path      string
	URL       *url.URL
	SQL       string
	Binds     []any
	Tag       string // QUERY_TAG
	RequestID string
	Token     string // of the session; of a login, the password or token that it sent
	Session   int    // number of the session; -1 outside of a session
	Header    http.Header
	Body      string
}

type session struct {
	*engine.Session
	token     string
	user      string
	busy      sync.Mutex // held while a statement runs: a session runs one at a time
	working   bool       // a statement runs or waits for a lock
	idleSince time.Time  // the end of the last statement
}

// number returns a session parameter, or otherwise if it is not set.
func (s *session) number(parameter string, otherwise int) int {
	if n, err := strconv.Atoi(s.Parameters()[parameter]); err == nil {
		return n
	}
	return otherwise
}

// body holds the fields of all kinds of requests.
type body struct {
	SQLText         string          `json:"sqlText"`
	Bindings        map[string]bind `json:"bindings"`
	Parameters      map[string]any  `json:"parameters"`
	RequestID       string          `json:"requestId"`
	OldSessionToken string          `json:"oldSessionToken"`
	Data            struct {
		LoginName         string         `json:"LOGIN_NAME"`
		Password          string         `json:"PASSWORD"`
		Token             string         `json:"TOKEN"`
		SessionParameters map[string]any `json:"SESSION_PARAMETERS"`
	} `json:"data"`
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has closed the connection
	}
	var b body
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &b); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	request, err := newRequest(r, b, string(raw))

	s.mu.Lock()
	if err != nil {
		refused := s.refusal(b.SQLText, err)
		s.mu.Unlock()
		writeJSON(w, refuse(refused))
		return
	}
	if session, ok := s.sessions[request.Token]; ok {
		request.Session = session.Number()
	}
	s.requests = append(s.requests, request)
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
	if fault.Late > 0 {
		time.AfterFunc(fault.Late, func() { s.executeLate(request) })
	}
	fault.apply(s, w, r, answer)
}

// executeLate executes a statement whose client has gone.
func (s *Server) executeLate(request Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.db.Open().Do(request.SQL, request.Binds...); err != nil {
		s.refusal(request.SQL, err)
	}
	s.changed.Broadcast()
}

func newRequest(r *http.Request, b body, raw string) (Request, error) {
	binds, err := values(b.Bindings)
	request := Request{
		Path:      r.URL.Path,
		URL:       r.URL,
		SQL:       b.SQLText,
		Binds:     binds,
		RequestID: r.URL.Query().Get("requestId"),
		Token:     strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Authorization"), `Snowflake Token="`), `"`),
		Session:   -1,
		Header:    r.Header,
		Body:      raw,
	}
	request.Tag, _ = b.Parameters["QUERY_TAG"].(string)
	if request.Path == LoginPath {
		request.Token = b.Data.Token + b.Data.Password
	}
	return request, err
}

func writeJSON(w http.ResponseWriter, reply any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply) // the client may have closed the connection
}

func (s *Server) answer(r *http.Request, request Request, b body) any {
	switch request.Path {
	case LoginPath:
		return s.login(b)
	case renewPath:
		return s.renew(b)
	case QueryPath:
		return s.query(r, request)
	case abortPath:
		s.abort(b.RequestID)
	case closePath:
		s.endSession(request.Token)
	}
	return map[string]any{"success": true, "data": map[string]any{}}
}

func (s *Server) login(b body) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins++
	user, refused := s.loginUser(b)
	if refused != nil {
		return refuse(refused)
	}
	opened := &session{Session: s.db.Open(), user: user, idleSince: time.Now()}
	opened.token = fmt.Sprintf("token-%d", opened.Number())
	for name, value := range s.account {
		opened.Set(name, value)
	}
	for name, value := range b.Data.SessionParameters {
		opened.Set(name, fmt.Sprint(value))
	}
	var parameters []map[string]string // the driver obeys some of them
	for name, value := range opened.Parameters() {
		parameters = append(parameters, map[string]string{"name": name, "value": value})
	}
	s.sessions[opened.token] = opened
	return map[string]any{"success": true, "data": map[string]any{
		"token":                   opened.token,
		"masterToken":             "master-" + opened.token,
		"sessionId":               opened.Number(),
		"validityInSeconds":       3600,
		"masterValidityInSeconds": 14400,
		"parameters":              parameters,
		"sessionInfo":             map[string]any{},
	}}
}

// renew gives a session a new token.
func (s *Server) renew(b body) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	renewed, ok := s.sessions[b.OldSessionToken]
	if !ok {
		return failure("390114", "08001", "Authentication token has expired.")
	}
	delete(s.sessions, renewed.token)
	renewed.token += "r"
	s.sessions[renewed.token] = renewed
	return map[string]any{"success": true, "data": map[string]any{
		"sessionToken": renewed.token,
		"masterToken":  "master-" + renewed.token,
		"sessionId":    renewed.Number(),
	}}
}

func (s *Server) endSession(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ended, ok := s.sessions[token]; ok {
		ended.Close()
		delete(s.sessions, token)
		s.changed.Broadcast()
	}
}

// abort ends the wait of a statement.
func (s *Server) abort(requestID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.executions[requestID]; ok {
		e.aborted = true
		s.changed.Broadcast()
	}
}
