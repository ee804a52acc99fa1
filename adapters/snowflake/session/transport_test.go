package session

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// closeRecorder records that it was closed.
type closeRecorder struct {
	io.Reader
	closed bool
}

func (r *closeRecorder) Close() error {
	r.closed = true
	return nil
}

// roundTripFunc implements [http.RoundTripper].
type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestARequestOverTheLimitOfItsCallIsNotSentAndItsBodyIsClosed(t *testing.T) {
	sent := 0
	next := roundTripFunc(func(req *http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, req.Body.Close()
	})
	ctx := withCall(t.Context(), new(call))
	for range requestsPerCall {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://snowflake"+queryPath, strings.NewReader("{}"))
		require.NoError(t, err)
		resp, err := transport{next}.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	body := &closeRecorder{Reader: strings.NewReader("{}")}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://snowflake"+queryPath, body)
	require.NoError(t, err)
	_, err = transport{next}.RoundTrip(req)
	assert.ErrorAs(t, err, new(notSent))
	assert.Equal(t, requestsPerCall, sent)
	assert.True(t, body.closed)
}
