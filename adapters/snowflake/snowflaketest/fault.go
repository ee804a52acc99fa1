package snowflaketest

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Fault is what happens to a request instead of its answer.
type Fault struct {
	Delay    time.Duration // before anything else; ends early when the client goes
	After    bool          // the request takes effect, and then the fault happens
	Code     string        // answer that it failed, with this code of Snowflake
	Status   int           // answer this HTTP status, with Body
	Body     string
	Hang     bool // never answer
	Drop     bool // reset the connection
	Truncate bool // cut the answer off in its middle
}

func (f *Fault) apply(s *Server, w http.ResponseWriter, r *http.Request, answer func() any) {
	if f.Delay > 0 && !s.wait(r, time.After(f.Delay)) {
		return
	}
	answer = sync.OnceValue(answer)
	if f.After {
		answer()
	}
	switch {
	case f.Code != "":
		writeJSON(w, failure(f.Code, "08001", "as the test wants it"))
	case f.Status != 0:
		w.WriteHeader(f.Status)
		_, _ = w.Write([]byte(f.Body))
	case f.Hang:
		s.wait(r, nil)
	case f.Drop:
		reset(w)
	case f.Truncate:
		whole, _ := json.Marshal(answer())
		w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		_, _ = w.Write(whole[:len(whole)/2])
		_ = http.NewResponseController(w).Flush()
		reset(w)
	default:
		writeJSON(w, answer())
	}
}

// wait reports whether it was c that ended the wait.
func (s *Server) wait(r *http.Request, c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-r.Context().Done():
	case <-s.ended:
	}
	return false
}

func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
