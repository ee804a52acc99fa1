package snowflake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
)

// transport is what the driver sends its requests with. Given one, the driver makes no calls of its
// own for the revocation of certificates either, which inside Snowflake nothing would answer.
type transport struct{ next http.RoundTripper }

func newTransport() transport {
	return transport{&http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 3 * time.Second,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Minute,
	}}
}

// longestFarewell bounds requests that nobody waits for: the cancellation of a statement, the end of
// a session. A server that hangs must not keep connections for those.
const longestFarewell = time.Second

const queryPath = "/queries/v1/query-request"

// RoundTrip implements [http.RoundTripper]. A statement whose answer was cut off is sent once more at
// once: its request id tells Snowflake that it is the same, so that it is not executed twice.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPost {
		return t.next.RoundTrip(req) // parts of a large result, which come from elsewhere
	}
	c := callOf(req.Context())
	if c == nil {
		return t.farewell(req)
	}
	resp, err := t.send(req, c)
	if err == nil || req.URL.Path != queryPath || req.GetBody == nil || req.Context().Err() != nil ||
		errors.As(err, new(notSent)) || errors.As(err, new(badStatus)) {
		return resp, err
	}
	c.lost.Store(true)
	again := req.Clone(req.Context())
	if again.Body, err = req.GetBody(); err != nil {
		return nil, err
	}
	// As the driver itself marks a repetition.
	q := again.URL.Query()
	q.Set("retryCount", "1")
	q.Set("retryReason", "0")
	q.Set("clientStartTime", strconv.FormatInt(time.Now().UnixMilli(), 10))
	q.Set("request_guid", sf.NewUUID().String())
	again.URL.RawQuery = q.Encode()
	return t.send(again, c)
}

// send sends req and reads the whole answer. It tells, if that fails, whether anything of this call
// left at all.
func (t transport) send(req *http.Request, c *call) (*http.Response, error) {
	unsent := func(err error) error {
		if c.lost.Load() {
			return err // an earlier request of the call did
		}
		return notSent{err}
	}
	if c.requests.Add(1) > requestsPerCall {
		return nil, unsent(fmt.Errorf("the driver wanted more than %d requests for one call", requestsPerCall))
	}
	var wrote atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	resp, err := t.whole(req.WithContext(ctx))
	switch {
	case err != nil && !wrote.Load():
		return nil, unsent(err)
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusTooManyRequests:
		return nil, unsent(badStatus(resp.StatusCode))
	case resp.StatusCode >= http.StatusInternalServerError:
		return nil, badStatus(resp.StatusCode)
	}
	return resp, nil
}

// whole reads the answer to its end, so that one that breaks off is an error here.
func (t transport) whole(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK && !json.Valid(body) {
		err = errors.New("the answer is not whole")
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (t transport) farewell(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), longestFarewell)
	defer cancel()
	return t.whole(req.WithContext(ctx))
}

// requestsPerCall bounds what one call of the driver may send: one request is usual, and a session
// that expires over and over made it send thousands.
const requestsPerCall = 6

// call is what the requests of one call of the driver know of each other.
type call struct {
	requests atomic.Int32
	lost     atomic.Bool // an answer was, so that a statement may have taken effect
}

type callKey struct{}

// withCall returns a context for one call of the driver.
func withCall(ctx context.Context) context.Context {
	return context.WithValue(ctx, callKey{}, new(call))
}

// callOf returns nil outside of a call: for what the driver sends by itself.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}
