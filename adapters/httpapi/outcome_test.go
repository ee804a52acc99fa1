package httpapi

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// storedItems accepts every new item.
type storedItems struct{ ports.Items }

func (storedItems) Create(_ context.Context, by domain.Actor, in domain.ItemContent) (domain.Item, error) {
	return domain.Item{ID: "0193f2c7-5d1e-7c3a-8f00-9a6b1c2d3e4f", OwnerID: by.ID, ItemContent: in, Version: 1}, nil
}

func TestAChangeThatTookEffectIsAnsweredSoEvenIfNoMemoryForRepliesIsLeft(t *testing.T) {
	s, _ := newServer(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
		return domain.Page[domain.Item]{}, nil
	}})
	require.True(t, s.replies.take("192.0.2.1", maxReplies/4)) // the source of requests in tests
	assert.Equal(t, http.StatusServiceUnavailable, send(s, "GET", "/api/v1/items/", nil).Code)
	s.Items = storedItems{}
	created := send(s, "POST", "/api/v1/items/", strings.NewReader(`{"title":"x"}`))
	assert.Equal(t, http.StatusCreated, created.Code, created.Body)
	assert.NotEmpty(t, created.Header().Get("Content-Length"))
}

// exchange sends a request over a connection of its own, closes its sending half if told so, and returns the reply.
func exchange(t *testing.T, address, request string, halfClose bool) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	if halfClose {
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	}
	reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	return reply
}

func TestAClientThatClosedItsSendingHalfIsNotToldThatAFailedRequestSucceeded(t *testing.T) {
	s, logs := newServer(t, useCases{items: func(ctx context.Context, _ domain.PageRequest) (domain.Page[domain.Item], error) {
		<-ctx.Done()
		return domain.Page[domain.Item]{}, domain.ErrUnavailable
	}})
	server := httptest.NewServer(s)
	defer server.Close()
	reply := exchange(t, server.Listener.Addr().String(),
		"GET /api/v1/items/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\n\r\n", true)
	assert.Equal(t, http.StatusServiceUnavailable, reply.StatusCode)
	require.Eventually(t, func() bool { return logs.FilterMessage("request").Len() == 1 }, 10*time.Second, time.Millisecond)
	line := logs.FilterMessage("request").All()[0].ContextMap()
	assert.EqualValues(t, statusClientLeft, line["status"])
	assert.Equal(t, "client_left", line["code"])
}

func TestABodyThatNobodyReadsHoldsItsConnectionForAShortTimeOnly(t *testing.T) {
	s, _ := newServer(t, useCases{})
	server := httptest.NewUnstartedServer(s)
	server.Config = s.HTTPServer()
	server.Start()
	defer server.Close()
	for _, path := range []string{"/livez", "/", "/nowhere", "/api/v1/health"} {
		begin := time.Now()
		reply := exchange(t, server.Listener.Addr().String(), "GET "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf", false)
		assert.NotEqual(t, http.StatusInternalServerError, reply.StatusCode, path)
		assert.Less(t, time.Since(begin), s.RequestTimeout/2, path)
	}
}
