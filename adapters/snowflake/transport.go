package snowflake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// transport is what the driver sends its requests with. Given one, the driver makes no calls of its
// own for the revocation of certificates either, which inside Snowflake nothing would answer.
type transport struct{ next http.RoundTripper }

func newTransport() transport {
	return transport{&http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   3 * time.Second,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       30 * time.Minute,
		ForceAttemptHTTP2:     false, // one session, one connection
		ExpectContinueTimeout: time.Second,
	}}
}

// longestFarewell bounds requests that nobody waits for: the cancellation of a statement, the end of
// a session. A server that hangs must not keep connections for those.
const longestFarewell = time.Second

const queryPath = "/queries/v1/query-request"

// RoundTrip implements [http.RoundTripper]. A statement that was cut off is sent once more at once:
// its request id tells Snowflake that it is the same, so that it is not executed twice.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	budget, ok := req.Context().Value(budgetKey{}).(*atomic.Int32)
	if !ok {
		return t.farewell(req)
	}
	resp, err := t.send(req, budget)
	if err == nil || req.URL.Path != queryPath || req.GetBody == nil || req.Context().Err() != nil ||
		errors.As(err, new(notSent)) || errors.As(err, new(badStatus)) {
		return resp, err
	}
	again := req.Clone(req.Context())
	if again.Body, err = req.GetBody(); err != nil {
		return nil, err
	}
	return t.send(again, budget)
}

// send sends req and tells, if it fails, whether that was before anything left.
func (t transport) send(req *http.Request, budget *atomic.Int32) (*http.Response, error) {
	if budget.Add(-1) < 0 {
		return nil, notSent{fmt.Errorf("the driver wanted more than %d requests for one call", requestsPerCall)}
	}
	var wrote atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	resp, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		if !wrote.Load() {
			err = notSent{err}
		}
		return nil, err
	}
	if s := resp.StatusCode; s >= http.StatusInternalServerError || s == http.StatusTooManyRequests {
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
		_ = resp.Body.Close()
		if s == http.StatusTooManyRequests {
			return nil, notSent{badStatus(s)}
		}
		return nil, badStatus(s)
	}
	return resp, nil
}

func (t transport) farewell(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), longestFarewell)
	defer cancel()
	resp, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(strings.NewReader(string(body)))
	return resp, nil
}

// requestsPerCall bounds what one call of the driver may send: one request is usual, and a session
// that expires over and over made it send thousands.
const requestsPerCall = 6

type budgetKey struct{}

func withBudget(ctx context.Context) context.Context {
	budget := new(atomic.Int32)
	budget.Store(requestsPerCall)
	return context.WithValue(ctx, budgetKey{}, budget)
}
