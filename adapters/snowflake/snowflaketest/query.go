package snowflaketest

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// mostWaiters is how many statements may wait for a lock (Snowflake documentation).
const mostWaiters = 20

var (
	errNoSession = &engine.Error{Number: 390104, State: "08001", Message: "Session token was not found."}
	errCanceled  = &engine.Error{Number: 604, State: "57014", Message: "SQL execution canceled"}
)

// execution is the one execution of a statement. Requests with the same id share its reply.
type execution struct {
	done    chan struct{} // closed when reply is set
	reply   any
	aborted bool // the client wants the statement to end
}

// query executes a statement once for each request id.
func (s *Server) query(r *http.Request, request Request) any {
	s.mu.Lock()
	session, ok := s.sessions[request.Token]
	if !ok {
		s.mu.Unlock()
		return refuse(errNoSession)
	}
	e, repeated := s.executions[request.RequestID]
	if !repeated {
		e = &execution{done: make(chan struct{})}
		s.executions[request.RequestID] = e
	}
	s.mu.Unlock()
	if repeated {
		select {
		case <-e.done:
			return e.reply
		case <-s.closed:
		case <-r.Context().Done():
		}
		return refuse(errCanceled)
	}
	defer close(e.done)
	session.busy.Lock()
	defer session.busy.Unlock()
	result, refused := s.execute(r, session, e, request)
	if refused != nil {
		e.reply = refuse(refused)
	} else {
		e.reply = success(result)
	}
	return e.reply
}

// execute executes a statement. It waits for locks, but no longer than the session allows.
func (s *Server) execute(
	r *http.Request, session *session, e *execution, request Request,
) (engine.Result, *engine.Error) {
	start := time.Now()
	for parameter := range timeouts {
		defer time.AfterFunc(session.timeout(parameter), s.wake).Stop()
	}
	defer context.AfterFunc(r.Context(), s.wake)()
	if n := session.number("MULTI_STATEMENT_COUNT", 1); n > 1 {
		return engine.Result{}, wrongStatementCount(n)
	}
	if token, ok := s.postgresToken(request.SQL); ok {
		return token, nil
	}
	if user, ok := currentUser(session, request.SQL); ok {
		return user, nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.statements++
	session.working = true
	waits := false
	defer func() {
		session.working, session.idleSince = false, time.Now()
		if waits {
			s.waiters--
		}
		s.changed.Broadcast()
	}()
	for {
		if s.sessions[session.token] != session { // it ended during the wait
			return engine.Result{}, errNoSession
		}
		result, err := session.Do(request.SQL, request.Binds...)
		switch {
		case err == nil:
			if most := session.number("ROWS_PER_RESULTSET", 0); most > 0 {
				result.Rows = result.Rows[:min(most, len(result.Rows))]
			}
			return result, nil
		case !errors.Is(err, engine.ErrLocked):
			return result, s.refusal(request.SQL, err)
		}
		if refused := s.refuseWait(r, e, waits, session.exceeded(time.Since(start))); refused != nil {
			session.GiveUp()
			return result, refused
		}
		if !waits {
			waits = true
			s.waiters++
		}
		if !s.endVanished() {
			s.changed.Wait()
		}
	}
}

// timeouts are Snowflake's defaults of the session parameters that end a wait for a lock.
var timeouts = map[string]time.Duration{
	"LOCK_TIMEOUT":                 12 * time.Hour,
	"HYBRID_TABLE_LOCK_TIMEOUT":    time.Hour,
	"STATEMENT_TIMEOUT_IN_SECONDS": 48 * time.Hour,
}

func (s *session) timeout(parameter string) time.Duration {
	return time.Duration(s.number(parameter, int(timeouts[parameter]/time.Second))) * time.Second
}

// exceeded returns why a statement that waits for a lock fails after that time, or nil if it goes on. The
// error of a wait for a row of a hybrid table is that of a statement that runs for too long.
func (s *session) exceeded(waited time.Duration) *engine.Error {
	limit, hybrid := s.timeout("STATEMENT_TIMEOUT_IN_SECONDS"), s.WaitsForHybrid()
	if hybrid {
		limit = min(limit, s.timeout("HYBRID_TABLE_LOCK_TIMEOUT"))
	}
	switch {
	case !hybrid && waited >= s.timeout("LOCK_TIMEOUT"):
		return &engine.Error{Number: 625, State: "57014", Message: "lock timeout: the statement was aborted"}
	case waited >= limit:
		message := "Statement reached its statement or warehouse timeout and was canceled."
		return &engine.Error{Number: 630, State: "57014", Message: message}
	}
	return nil
}

// wrongStatementCount is the error for one statement in a session that expects n in each request.
func wrongStatementCount(n int) *engine.Error {
	message := fmt.Sprintf("Actual statement count 1 did not match the desired statement count %d.", n)
	return &engine.Error{Number: 8, State: "0A000", Message: message}
}

// refuseWait returns why a statement may not wait for a lock any longer, or nil if it may. waits tells
// whether the statement is among the waiters already, exceeded that it has waited for too long.
func (s *Server) refuseWait(r *http.Request, e *execution, waits bool, exceeded *engine.Error) *engine.Error {
	switch {
	case e.aborted, r.Context().Err() != nil, s.isClosed():
		return errCanceled
	case !waits && s.waiters >= mostWaiters:
		message := fmt.Sprintf("the number of waiters for this lock exceeds the %d statements limit", mostWaiters)
		return &engine.Error{Number: 625, State: "57014", Message: message}
	}
	return exceeded
}

// endVanished ends sessions that are idle inside a transaction for VanishAfter, and schedules the same
// for those that may become so. It reports whether it ended one.
func (s *Server) endVanished() bool {
	ended := false
	for _, session := range s.sessions {
		if session.working || !session.InTransaction() {
			continue
		}
		idle := time.Since(session.idleSince)
		if idle >= s.VanishAfter {
			session.Close()
			ended = true
			continue
		}
		time.AfterFunc(s.VanishAfter-idle, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !session.working && session.InTransaction() && time.Since(session.idleSince) >= s.VanishAfter {
				session.Close()
				s.changed.Broadcast()
			}
		})
	}
	if ended {
		s.changed.Broadcast()
	}
	return ended
}

// bind is the value of a placeholder as the driver sends it.
type bind struct {
	Type  string  `json:"type"`
	Value *string `json:"value"`
}

// values returns the binds, whose names are 1, 2, …, in this order. Errors: *engine.Unknown.
func values(binds map[string]bind) ([]any, error) {
	result := make([]any, len(binds))
	for i := range result {
		b := binds[strconv.Itoa(i+1)]
		if b.Value == nil {
			continue
		}
		var err error
		switch b.Type {
		case "TEXT", "ARRAY", "OBJECT": // the latter two as JSON
			result[i] = *b.Value
		case "FIXED":
			result[i], err = strconv.ParseInt(*b.Value, 10, 64)
		case "REAL":
			result[i], err = strconv.ParseFloat(*b.Value, 64)
		case "BOOLEAN":
			result[i], err = strconv.ParseBool(*b.Value)
		case "TIMESTAMP_NTZ":
			result[i], err = parseTimestamp(*b.Value)
		default:
			err = engine.NewUnknown("a placeholder of type " + b.Type)
		}
		if err != nil {
			return nil, err
		}
	}
	return result, nil
}

// parseTimestamp parses nanoseconds since 1970. They exceed 64 bits before 1678 and after 2262.
func parseTimestamp(text string) (time.Time, error) {
	nanoseconds, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return time.Time{}, fmt.Errorf("a timestamp of %q nanoseconds", text)
	}
	seconds, rest := new(big.Int).DivMod(nanoseconds, big.NewInt(1e9), new(big.Int))
	return time.Unix(seconds.Int64(), rest.Int64()).UTC(), nil
}
