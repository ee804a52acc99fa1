package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// limitedServer is a server with at most three connections.
type limitedServer struct {
	*httptest.Server
	t    *testing.T
	logs *observer.ObservedLogs
	idle chan struct{} // a connection has become idle
}

func newLimitedServer(t *testing.T, handler http.HandlerFunc) *limitedServer {
	core, logs := observer.New(zap.InfoLevel)
	s := &limitedServer{httptest.NewUnstartedServer(handler), t, logs, make(chan struct{}, 100)}
	limit := newConnections(3, zap.New(core))
	s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		limit.track(conn, state)
		if state == http.StateIdle {
			s.idle <- struct{}{}
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *limitedServer) dial() net.Conn {
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

// roundTrip sends a request and reports whether it got a reply. Then it waits until the connection is idle.
func (s *limitedServer) roundTrip(conn net.Conn) bool {
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, response.Body)
	<-s.idle
	return err == nil
}

func TestANewConnectionTakesThePlaceOfTheOneThatHasWaitedLongest(t *testing.T) {
	s := newLimitedServer(t, func(http.ResponseWriter, *http.Request) {})
	first, second, silent := s.dial(), s.dial(), s.dial()
	require.True(t, s.roundTrip(first))
	require.True(t, s.roundTrip(second))
	for range 20 { // a probe, say
		assert.True(t, s.roundTrip(s.dial()))
	}
	for _, conn := range []net.Conn{first, second, silent} {
		_, err := io.Copy(io.Discard, conn)
		assert.NoError(t, err, "the server has closed it")
	}
	assert.Equal(t, 1, s.logs.Len(), "one line a minute")
}

func TestAConnectionWithARequestIsNeverClosedForANewOne(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	s := newLimitedServer(t, func(http.ResponseWriter, *http.Request) {
		started <- struct{}{}
		<-release
	})
	var busy sync.WaitGroup
	for range 3 {
		conn := s.dial()
		busy.Go(func() { assert.True(t, s.roundTrip(conn)) })
		<-started
	}
	assert.False(t, s.roundTrip(s.dial()), "there is no place")
	close(release)
	busy.Wait()
}

func TestThereIsAPlaceAgainAfterAConnectionIsClosed(t *testing.T) {
	l := newConnections(1, zap.NewNop())
	for range 3 {
		conn, other := net.Pipe()
		l.track(conn, http.StateNew)
		l.track(conn, http.StateActive)
		l.track(conn, http.StateIdle)
		conn.Close()
		l.track(conn, http.StateClosed)
		other.Close()
	}
	assert.Zero(t, l.open)
	assert.Zero(t, l.waiting.Len())
	assert.Empty(t, l.places)
	assert.Zero(t, l.closed)
}

// stalledBody is a body that does not arrive before release is closed.
type stalledBody struct{ release <-chan struct{} }

func (b stalledBody) Read([]byte) (int, error) {
	<-b.release
	return 0, io.EOF
}

func TestTheBodiesThatAreBeingReadAreBoundedInAllAndForEachSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newServer(t, useCases{})
		s.SourceHeader = "X-Source"
		release := make(chan struct{})
		var stalled sync.WaitGroup
		post := func(source string, body io.Reader) *httptest.ResponseRecorder {
			return send(s, "POST", "/api/v1/items/", body, "X-Source", source)
		}
		stall := func(source string) {
			for range 200 {
				stalled.Go(func() { post(source, stalledBody{release}) })
			}
			synctest.Wait()
		}
		full := func(source string) bool {
			w := post(source, http.NoBody)
			if w.Code == http.StatusServiceUnavailable {
				assert.Equal(t, "busy", problem(t, w).Code)
				assert.NotEmpty(t, w.Header().Get("Retry-After"))
			}
			return w.Code == http.StatusServiceUnavailable
		}
		stall("ann")
		assert.True(t, full("ann"))
		assert.False(t, full("bob"))
		for _, source := range []string{"bob", "cem", "dan"} {
			stall(source)
		}
		assert.True(t, full("eve"))
		close(release)
		stalled.Wait()
		assert.False(t, full("ann"))
		assert.Zero(t, s.bodies.held)
	})
}
