package snowflaketest

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// CallerTokenLife is how long a caller token is valid (Snowflake documentation, "Connect to Snowflake by using caller
// credentials").
const CallerTokenLife = 120 * time.Second

// callerToken is what the gateway of a service issues with a request of a user.
type callerToken struct {
	service string // the token of the service
	user    string
	issued  time.Time
}

// SetServiceToken makes the server refuse every login but one with this OAuth token of a service, or with that token, a
// dot and a caller token of this service. Before the first call, every login succeeds.
func (s *Server) SetServiceToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serviceToken = token
}

// CallerToken returns a new caller token, which the gateway of the service with this token issues for a user. Its form
// is a choice of this package: three parts with dots, as a JWT has.
func (s *Server) CallerToken(service, user string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	token := "caller." + rand.Text() + "." + rand.Text()
	s.callers[token] = callerToken{service, user, s.Now()}
	return token
}

// DropUser makes all caller tokens of a user invalid.
func (s *Server) DropUser(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token, caller := range s.callers {
		if caller.user == user {
			delete(s.callers, token)
		}
	}
}

// loginUser returns the user that CURRENT_USER() names in a session with this login, or why the login is refused. The
// numbers are a choice of this package: Snowflake documents none for caller tokens. s.mu must be held.
func (s *Server) loginUser(b body) (string, *engine.Error) {
	token := b.Data.Token
	if s.serviceToken == "" || token == s.serviceToken {
		return strings.ToUpper(b.Data.LoginName), nil
	}
	refused := &engine.Error{Number: 390303, State: "08001", Message: "Invalid OAuth access token. " + token}
	composite, isComposite := strings.CutPrefix(token, s.serviceToken+".")
	caller, issued := s.callers[composite]
	switch {
	case !isComposite || !issued || caller.service != s.serviceToken:
		return "", refused
	case s.Now().Sub(caller.issued) >= CallerTokenLife:
		refused.Number, refused.Message = 390318, "OAuth access token expired. "+token
		return "", refused
	}
	return caller.user, nil
}

// currentUser answers the statement that asks for the user of a session. ok is false if sql is another statement.
func currentUser(session *session, sql string) (r engine.Result, ok bool) {
	return engine.Result{
		Kind: engine.Select, Columns: []string{"CURRENT_USER()"}, Rows: [][]any{{session.user}},
	}, sql == "SELECT CURRENT_USER()"
}
