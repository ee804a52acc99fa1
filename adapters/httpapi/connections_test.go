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

// limitedServer serves handler with at most three connections. It returns how to open one, and the log.
func limitedServer(t *testing.T, handler http.HandlerFunc) (dial func() net.Conn, logs *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = newConnections(3, zap.New(core)).track
	server.Start()
	t.Cleanup(server.Close)
	return func() net.Conn {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		return conn
	}, logs
}

// roundTrip sends a request and reports whether it got a reply.
func roundTrip(conn net.Conn) bool {
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil
}

func TestANewConnectionTakesThePlaceOfTheOneThatHasWaitedLongest(t *testing.T) {
	dial, logs := limitedServer(t, func(http.ResponseWriter, *http.Request) {})
	first, second, silent := dial(), dial(), dial()
	require.True(t, roundTrip(first))
	require.True(t, roundTrip(second))
	require.True(t, roundTrip(first), "first has waited less long than second now")
	for range 20 { // a probe, say
		assert.True(t, roundTrip(dial()))
	}
	for _, conn := range []net.Conn{first, second, silent} {
		_, err := io.Copy(io.Discard, conn)
		assert.NoError(t, err, "the server has closed it")
	}
	assert.Equal(t, 1, logs.Len(), "one line a minute")
}

func TestAConnectionWithARequestIsNeverClosedForANewOne(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	dial, _ := limitedServer(t, func(http.ResponseWriter, *http.Request) {
		started <- struct{}{}
		<-release
	})
	var busy sync.WaitGroup
	for range 3 {
		conn := dial()
		busy.Go(func() { assert.True(t, roundTrip(conn)) })
		<-started
	}
	assert.False(t, roundTrip(dial()), "there is no place")
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
