package session

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

// transport sends the driver's requests. Because it is given one, the driver makes no requests of its own
// to check whether certificates are revoked; inside Snowflake nothing would answer these.
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

// cleanupTimeout limits requests that no caller waits for: the cancellation of a statement and the end of
// a session. A server that hangs must not keep connections for these.
const cleanupTimeout = time.Second

const queryPath = "/queries/v1/query-request"

// RoundTrip implements [http.RoundTripper]. It immediately repeats a statement whose reply was lost, once, unless
// the statement must not be repeated. The request id stays the same, so that Snowflake does not execute the
// statement twice.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPost {
		return t.next.RoundTrip(req) // parts of a large result, from cloud storage
	}
	c := callFrom(req.Context())
	if c == nil {
		return t.cleanup(req)
	}
	resp, err := t.send(req, c)
	if err == nil || req.URL.Path != queryPath || errors.As(err, new(notSent)) || errors.As(err, new(badStatus)) {
		return resp, err
	}
	c.replyLost.Store(true)
	if c.once || req.GetBody == nil || req.Context().Err() != nil {
		return nil, err
	}
	repetition, err := repeat(req)
	if err != nil {
		return nil, err
	}
	return t.send(repetition, c)
}

// repeat returns a copy of req, marked as the driver marks a retry.
func repeat(req *http.Request) (*http.Request, error) {
	body, err := req.GetBody()
	if err != nil {
		return nil, err
	}
	repetition := req.Clone(req.Context())
	repetition.Body = body
	q := repetition.URL.Query()
	q.Set("retryCount", "1")
	q.Set("retryReason", "0")
	q.Set("clientStartTime", strconv.FormatInt(time.Now().UnixMilli(), 10))
	q.Set("request_guid", sf.NewUUID().String())
	repetition.URL.RawQuery = q.Encode()
	return repetition, nil
}

// send sends req and reads the whole reply. An error is notSent if no request of the call left this
// process, or if the gateway refused it with 429.
func (t transport) send(req *http.Request, c *call) (*http.Response, error) {
	unsent := func(err error) error {
		if c.replyLost.Load() {
			return err // an earlier request of the call was sent
		}
		return notSent{err}
	}
	if c.requests.Add(1) > requestsPerCall {
		if req.Body != nil {
			_ = req.Body.Close() // as every RoundTripper must
		}
		return nil, unsent(fmt.Errorf("the driver wanted more than %d requests for one call", requestsPerCall))
	}
	var wrote atomic.Bool
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{WroteHeaders: func() { wrote.Store(true) }})
	resp, err := t.readAll(req.WithContext(ctx))
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

// readAll reads the reply to its end, so that a reply that breaks off is an error here.
func (t transport) readAll(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == http.StatusOK && !json.Valid(body) {
		err = errors.New("the reply is incomplete")
	}
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func (t transport) cleanup(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), cleanupTimeout)
	defer cancel()
	return t.readAll(req.WithContext(ctx))
}

// requestsPerCall limits the requests of one call of the driver. One is usual. For a session that expires
// again and again the driver sent thousands.
const requestsPerCall = 6

// call is what the requests of one call of the driver share.
type call struct {
	once      bool // see [Statement]
	requests  atomic.Int32
	replyLost atomic.Bool // so that a statement may have taken effect
}

type callKey struct{}

// withCall returns a context for one call of the driver.
func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// callFrom returns nil outside of a call, for requests that the driver sends on its own.
func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}
