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

// query executes a statement, once for each request id.
func (s *Server) query(r *http.Request, request Request) any {
	s.mu.Lock()
	one, ok := s.sessions[request.Token]
	if !ok {
		s.mu.Unlock()
		return failure("390104", "08001", "Session token was not found.")
	}
	a, again := s.answers[request.RequestID]
	if !again {
		a = &answer{done: make(chan struct{})}
		s.answers[request.RequestID] = a
	}
	s.mu.Unlock()
	if again {
		select {
		case <-a.done:
			return a.reply
		case <-s.ended:
		case <-r.Context().Done():
		}
		return failure("604", "57014", "SQL execution canceled")
	}
	defer close(a.done)
	one.busy.Lock()
	defer one.busy.Unlock()
	result, err := s.execute(r, one, a, request)
	if err != nil {
		a.reply = failure(strconv.Itoa(err.Number), err.State, err.Message)
	} else {
		a.reply = success(result)
	}
	return a.reply
}

// execute executes a statement and waits for its locks, but not longer than the session allows.
func (s *Server) execute(r *http.Request, one *session, a *answer, request Request) (engine.Result, *engine.Error) {
	deadline := time.Now().Add(one.lockTimeout)
	wake := time.AfterFunc(one.lockTimeout, s.wake)
	defer wake.Stop()
	defer context.AfterFunc(r.Context(), s.wake)()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.executed++
	waits := false
	one.working = true
	defer func() {
		one.working, one.used = false, time.Now()
		if waits {
			s.waiters--
		}
		s.changed.Broadcast()
	}()
	for {
		if s.sessions[one.token] != one { // it ended while the statement waited
			return engine.Result{}, &engine.Error{Number: 390104, State: "08001", Message: "Session token was not found."}
		}
		result, err := one.Do(request.SQL, request.Binds...)
		var refusal *engine.Error
		switch {
		case err == nil:
			return result, nil
		case errors.As(err, &refusal):
			return result, refusal
		}
		switch {
		case a.abort, r.Context().Err() != nil:
			refusal = &engine.Error{Number: 604, State: "57014", Message: "SQL execution canceled"}
		case !waits && s.waiters >= mostWaiters:
			refusal = &engine.Error{Number: 625, State: "57014", Message: fmt.Sprintf("the number of waiters for this lock exceeds the %d statements limit", mostWaiters)}
		case !time.Now().Before(deadline):
			refusal = &engine.Error{Number: 625, State: "57014", Message: "lock timeout: the statement was aborted"}
		case s.hasEnded():
			refusal = &engine.Error{Number: 604, State: "57014", Message: "the server ended"}
		}
		if refusal != nil {
			one.GiveUp()
			return result, refusal
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

// endVanished sees to it that a client that went away inside a transaction does not block others for
// longer than VanishAfter. It reports whether it has just ended one.
func (s *Server) endVanished() bool {
	ended := false
	for _, one := range s.sessions {
		if one.working || !one.InTransaction() {
			continue
		}
		idle := time.Since(one.used)
		if idle >= s.VanishAfter {
			one.Close()
			s.changed.Broadcast()
			ended = true
			continue
		}
		time.AfterFunc(s.VanishAfter-idle, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !one.working && one.InTransaction() && time.Since(one.used) >= s.VanishAfter {
				one.Close()
				s.changed.Broadcast()
			}
		})
	}
	return ended
}

// bind is a value of a placeholder, as the driver sends it.
type bind struct {
	Type  string  `json:"type"`
	Value *string `json:"value"`
}

// values returns the binds, whose names are 1, 2, …, in their order.
func values(binds map[string]bind) []any {
	result := make([]any, len(binds))
	for i := range result {
		b := binds[strconv.Itoa(i+1)]
		if b.Value == nil {
			continue
		}
		switch b.Type {
		case "FIXED":
			n, _ := strconv.ParseInt(*b.Value, 10, 64)
			result[i] = n
		case "BOOLEAN":
			result[i] = *b.Value == "true"
		case "TIMESTAMP_NTZ":
			nanoseconds, _ := new(big.Int).SetString(*b.Value, 10) // of any year
			seconds, rest := new(big.Int).DivMod(nanoseconds, big.NewInt(1e9), new(big.Int))
			result[i] = time.Unix(seconds.Int64(), rest.Int64()).UTC()
		default:
			result[i] = *b.Value
		}
	}
	return result
}

// Statement types, as in the driver's connection_util.go.
var statementTypes = map[engine.Kind]int64{
	engine.Other: 0x4000, engine.Select: 0x1000, engine.Insert: 0x3100, engine.Update: 0x3200, engine.Delete: 0x3300,
}

func success(r engine.Result) any {
	columns, rows := r.Columns, r.Rows
	switch r.Kind {
	case engine.Insert:
		columns, rows = []string{"number of rows inserted"}, [][]any{{r.Affected}}
	case engine.Update:
		columns, rows = []string{"number of rows updated", "number of multi-joined rows updated"}, [][]any{{r.Affected, int64(0)}}
	case engine.Delete:
		columns, rows = []string{"number of rows deleted"}, [][]any{{r.Affected}}
	case engine.Other:
		columns, rows = []string{"status"}, [][]any{{"Statement executed successfully."}}
	}
	types, set := encode(columns, rows)
	return map[string]any{"success": true, "data": map[string]any{
		"parameters": []any{}, "rowtype": types, "rowset": set, "total": len(rows), "returned": len(rows),
		"queryId": "01000000-0000-0000-0000-000000000000", "queryResultFormat": "json", "statementTypeId": statementTypes[r.Kind],
		"sqlState": "00000",
	}}
}

func failure(code, state, message string) any {
	return map[string]any{"success": false, "code": code, "message": message, "data": map[string]any{
		"sqlState": state, "errorCode": code, "queryId": "01000000-0000-0000-0000-000000000000",
	}}
}

// encode writes rows as the driver reads them. The type of a column is that of its first value.
func encode(columns []string, rows [][]any) ([]map[string]any, [][]*string) {
	types := make([]map[string]any, len(columns))
	for i, name := range columns {
		kind, scale := "text", 0
		for _, row := range rows {
			switch row[i].(type) {
			case nil:
				continue
			case int64:
				kind = "fixed"
			case bool:
				kind = "boolean"
			case time.Time:
				kind, scale = "timestamp_ntz", 6
			}
			break
		}
		types[i] = map[string]any{"name": name, "type": kind, "nullable": true, "precision": 38, "scale": scale, "length": 16777216}
	}
	set := make([][]*string, len(rows))
	for i, row := range rows {
		set[i] = make([]*string, len(row))
		for j, v := range row {
			set[i][j] = text(v)
		}
	}
	return types, set
}

func text(v any) *string {
	var s string
	switch v := v.(type) {
	case nil:
		return nil
	case bool:
		s = "0"
		if v {
			s = "1"
		}
	case time.Time:
		s = fmt.Sprintf("%d.%06d", v.Unix(), v.Nanosecond()/1000)
	default:
		s = fmt.Sprint(v)
	}
	return &s
}
