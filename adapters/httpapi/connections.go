package httpapi

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
)

// maxConnections is the number of open connections of clients. A process often has 1,024 descriptors, and the
// store, the telemetry and files need some of them. A connection with a request takes less than 100 KB.
const maxConnections = 900

// connections limits the open connections. If a client opens one more, the connection is closed that has
// waited longest for a request. So idle connections cannot keep new ones out, probes among them. If all
// connections have a request, the new one is closed. A request that arrives while its connection is being closed
// is lost, as with every idle timeout: clients send it again.
type connections struct {
	most int
	log  *zap.Logger

	mu      sync.Mutex
	open    int
	waiting *list.List // of net.Conn that wait for a request, the longest wait first
	places  map[net.Conn]*list.Element
	closed  int       // since the last log line
	logged  time.Time // the last log line
}

func newConnections(most int, log *zap.Logger) *connections {
	return &connections{most: most, log: log, waiting: list.New(), places: map[net.Conn]*list.Element{}}
}

// track is the hook ConnState of an [http.Server].
func (l *connections) track(conn net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(conn)
	switch state {
	case http.StateNew:
		l.open++
		l.places[conn] = l.waiting.PushBack(conn)
		if l.open > l.most {
			l.closeLongestWait()
		}
	case http.StateIdle:
		l.places[conn] = l.waiting.PushBack(conn)
	case http.StateClosed, http.StateHijacked:
		l.open--
	}
}

// forget removes conn from those that wait.
func (l *connections) forget(conn net.Conn) {
	if place := l.places[conn]; place != nil {
		l.waiting.Remove(place)
		delete(l.places, conn)
	}
}

func (l *connections) closeLongestWait() {
	conn := l.waiting.Front().Value.(net.Conn) // there is one: the new connection waits
	l.forget(conn)
	_ = conn.Close() // net/http notices, and reports StateClosed
	l.closed++
	if time.Since(l.logged) >= time.Minute { // a flood must not flood the log
		l.log.Warn("too many connections: the one that has waited longest is closed for each new one",
			zap.Int("limit", l.most), zap.Int("closed", l.closed))
		l.closed, l.logged = 0, time.Now()
	}
}
