package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// dial opens a connection for requests that an HTTP client would not send.
func (r *testService) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.origin, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(waitLimit)))
	return conn
}

// readResponse reads one response, and reports whether the server then closes the connection.
func readResponse(t *testing.T, conn net.Conn) (status int, closed bool) {
	t.Helper()
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	if !response.Close {
		return response.StatusCode, false
	}
	_, err = in.ReadByte()
	return response.StatusCode, err != nil
}

func TestABodyMayHave64KiB(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	full := `{"title":"x"}` + strings.Repeat(" ", 64<<10-len(`{"title":"x"}`))
	admin.request("POST", "/items/", full).is(http.StatusCreated)
	chunked := func(body string) io.Reader { return io.MultiReader(strings.NewReader(body)) }
	admin.request("POST", "/items/", chunked(full)).is(http.StatusCreated)
	form := signInForm(adminEmail, strings.Repeat("x", 4<<10))
	longPassword := strings.Repeat("x", 4<<10-len(signInForm(adminEmail, "").Encode()))
	r.client(t).request("POST", "/auth/login", signInForm(adminEmail, longPassword)).is(http.StatusUnauthorized)
	for _, reply := range []reply{
		admin.request("POST", "/items/", full+" "),
		admin.request("POST", "/items/", chunked(full+" ")),
		r.client(t).request("POST", "/auth/login", form),
	} {
		reply.refused(http.StatusRequestEntityTooLarge, "too_large")
	}
	assert.Len(t, admin.request("GET", "/items/", nil).rows(), 2)
}

func TestABodyThatIsTooLargeIsRefusedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	head := "POST /api/v1/items/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
		"Authorization: Bearer " + admin.token + "\r\n"

	t.Run("when its length is announced, before any of it", func(t *testing.T) {
		conn := r.dial(t)
		fmt.Fprint(conn, head+"Content-Length: 1000000000000\r\n\r\n")
		status, closed := readResponse(t, conn)
		assert.Equal(t, http.StatusRequestEntityTooLarge, status)
		assert.True(t, closed)
	})
	t.Run("when it never ends, after 64 KiB", func(t *testing.T) {
		conn := r.dial(t)
		fmt.Fprint(conn, head+"Transfer-Encoding: chunked\r\n\r\n")
		chunk := fmt.Sprintf("%x\r\n%s\r\n", 4096, strings.Repeat(" ", 4096))
		for range 16 {
			_, err := fmt.Fprint(conn, chunk)
			require.NoError(t, err)
		}
		fmt.Fprint(conn, chunk[:9]) // one more byte of the body, and then nothing
		status, closed := readResponse(t, conn)
		assert.Equal(t, http.StatusRequestEntityTooLarge, status)
		assert.True(t, closed)
	})
}

func TestARefusalDoesNotWaitForTheRestOfABody(t *testing.T) {
	t.Parallel()
	r := newService(t, "--request-timeout=20s") // longer than the deadline of the test's connections
	for request, want := range map[string]int{
		"POST /api/v1/items/":     http.StatusUnauthorized,
		"POST /nowhere":           http.StatusNotFound,
		"PUT /api/v1/items/":      http.StatusMethodNotAllowed,
		"POST /api/v1/auth/login": http.StatusUnsupportedMediaType,
	} {
		t.Run(request, func(t *testing.T) {
			t.Parallel() // net/http waits half a second before it closes such a connection
			conn := r.dial(t)
			fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nx", request)
			status, _ := readResponse(t, conn)
			assert.Equal(t, want, status)
		})
	}
}

func TestACompressedBodyIsRefused(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	compressed := admin.request("POST", "/items/", fields{"title": "x"}, "Content-Encoding", "gzip")
	compressed.refused(http.StatusUnsupportedMediaType, "unsupported_media_type")
	admin.request("POST", "/items/", fields{"title": "x"}, "Content-Encoding", "identity").is(http.StatusCreated)
}

func TestOptionsOfAsteriskIsNotFound(t *testing.T) {
	t.Parallel()
	conn := newService(t).dial(t)
	fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusNotFound, response.StatusCode)
	assert.NotEmpty(t, response.Header.Get("X-Request-ID"))
}

func TestHeadersAndRequestTargetHaveALimitedLength(t *testing.T) {
	t.Parallel()
	r := newService(t)
	c := r.client(t)
	c.request("GET", "/health?"+strings.Repeat("x", 8000), nil).is(http.StatusOK)
	c.request("GET", "/health?"+strings.Repeat("x", 8200), nil).refused(http.StatusRequestURITooLong, "uri_too_long")
	c.request("GET", "/"+strings.Repeat("x/", 5000), nil).refused(http.StatusRequestURITooLong, "uri_too_long")

	for size, want := range map[int]int{15 << 10: http.StatusOK, 17 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		conn := r.dial(t)
		fmt.Fprintf(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Large: %s\r\n\r\n", strings.Repeat("x", size))
		status, _ := readResponse(t, conn)
		assert.Equal(t, want, status)
	}
}

func TestWhatNetHTTPRefusesIsNotAnInternalError(t *testing.T) {
	t.Parallel()
	r := newService(t)
	for _, head := range []string{
		"nonsense", "GET /livez HTTP/9.9", "GET /livez HTTP/1.1",
		"GET /%zz HTTP/1.1\r\nHost: localhost", "GET  /livez HTTP/1.1\r\nHost: localhost",
		"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: y", "GET /livez HTTP/1.1\r\nHost: localhost\r\nA\x00: b",
		"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1",
		"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2",
		"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: rot13",
	} {
		conn := r.dial(t)
		fmt.Fprint(conn, head+"\r\n\r\n")
		status, _ := readResponse(t, conn)
		refusals := []int{http.StatusBadRequest, http.StatusHTTPVersionNotSupported, http.StatusNotImplemented}
		assert.Contains(t, refusals, status, "%q", head)
	}
	r.client(t).request("GET", "/health", nil).is(http.StatusOK)
}

func TestAConnectionThatSendsNothingIsClosed(t *testing.T) {
	t.Parallel()
	r := newService(t, "--request-timeout=200ms")
	for name, head := range map[string]string{
		"not a byte":           "",
		"not all of a request": "GET /livez HTTP/1.1\r\nHost: localhost\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := r.dial(t)
			fmt.Fprint(conn, head)
			_, err := io.ReadAll(conn)
			assert.NoError(t, err, "the server closes the connection long before the deadline of the test")
		})
	}
	server := newService(t).service.http.HTTPServer()
	assert.Equal(t, 5*time.Second, server.ReadHeaderTimeout)
}

func TestABodyThatEndsEarlyIsMalformed(t *testing.T) {
	t.Parallel()
	r := newService(t)
	conn := r.dial(t)
	fmt.Fprintf(conn, "POST /api/v1/items/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
		"Authorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{}", r.admin(t).token)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	status, _ := readResponse(t, conn)
	assert.Equal(t, http.StatusBadRequest, status)
}

func TestARequestEndsWhenItsTimeIsUpOrItsClientLeaves(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	r := newServiceOn(t, faultyStore{memory.New(), func(ctx context.Context, method string) error {
		if method != "Items" {
			return nil
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return domain.ErrUnavailable.WithCause(ctx.Err())
	}}, "--request-timeout=300ms")
	c := r.unknownAccount(t)

	c.request("GET", "/items/", nil).refused(http.StatusServiceUnavailable, "unavailable")
	assert.ErrorIs(t, <-ended, context.DeadlineExceeded)

	conn := r.dial(t)
	fmt.Fprintf(conn, "GET /api/v1/items/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", c.token)
	conn.Close()
	assert.ErrorIs(t, <-ended, context.Canceled)
	left := func() []observer.LoggedEntry { return r.logs.FilterField(zap.String("code", "client_left")).All() }
	require.Eventually(t, func() bool { return len(left()) == 1 }, waitLimit, pollInterval)
	assert.Equal(t, zapcore.InfoLevel, left()[0].Level, "a client that leaves is no fault of the service")
	assert.EqualValues(t, 499, left()[0].ContextMap()["status"])
}

func TestAConnectionEndsAfterAChunkedRequest(t *testing.T) {
	t.Parallel()
	r := newService(t)
	for name, tt := range map[string]struct {
		framing string
		closed  bool
	}{
		"chunked":              {"Transfer-Encoding: chunked\r\n", true},
		"chunked and a length": {"Transfer-Encoding: chunked\r\nContent-Length: 100\r\n", true},
		"a length and chunked": {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", true},
		"a length":             {"Content-Length: 13\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/api/v1/items/", "/nothing"} {
				conn := r.dial(t)
				fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\n%s\r\n",
					path, r.admin(t).token, tt.framing)
				if tt.closed {
					fmt.Fprint(conn, "d\r\n{\"title\":\"x\"}\r\n0\r\n\r\n")
				} else {
					fmt.Fprint(conn, `{"title":"x"}`)
				}
				status, closed := readResponse(t, conn)
				assert.Equal(t, map[string]int{"/api/v1/items/": http.StatusCreated, "/nothing": http.StatusNotFound}[path], status)
				assert.Equal(t, tt.closed, closed, "RFC 9112 §6.1")
			}
		})
	}
}
