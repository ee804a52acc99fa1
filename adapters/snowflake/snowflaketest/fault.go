package snowflaketest

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Fault is what happens to a request instead of its answer. At most one of Code, Status, Hang, Drop and
// Truncate is set.
type Fault struct {
	Delay    time.Duration // wait first, or until the client closes the connection
	After    bool          // the request takes effect before the fault
	Code     string        // answer that the request failed, with this number of Snowflake
	Status   int           // answer with this HTTP status and Body
	Body     string
	Hang     bool // never answer
	Drop     bool // reset the connection
	Truncate bool // the request takes effect; reset the connection after half of the answer
	// Late is how long after the request its statement takes effect, outside a transaction and even if the
	// session has ended. 0: not in this way.
	Late time.Duration
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
		writeJSON(w, failure(f.Code, "08001", "the test injected this failure"))
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

// wait waits for c and returns true, or returns false if the client or the server closes first.
func (s *Server) wait(r *http.Request, c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-r.Context().Done():
	case <-s.closed:
	}
	return false
}

// reset closes the connection with a TCP reset.
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
