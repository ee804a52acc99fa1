package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// newListServer returns a Server whose list of items has limit rows, each with that description.
func newListServer(t testing.TB, description string) *Server {
	item := domaintest.Item(domaintest.User(), func(i *domain.Item) { i.Description = domaintest.Description(description) })
	s, _ := newServer(t, useCases{items: func(_ context.Context, p domain.PageRequest) (domain.Page[domain.Item], error) {
		return domain.Page[domain.Item]{Rows: slices.Repeat([]domain.Item{item}, p.Limit)}, nil
	}})
	return s
}

// Six bytes in JSON for each character: the longest description that there is.
var longest = strings.Repeat("\x01", domain.MaxDescription)

func TestAPageOver8MiBNamesALimitThatFits(t *testing.T) {
	s := newListServer(t, longest)
	w := send(s, "GET", "/api/v1/items/?limit=1000", nil)
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	p := problem(t, w)
	assert.Equal(t, "page_too_large", p.Code)
	limit := regexp.MustCompile(`limit=(\d+)`).FindStringSubmatch(p.Detail)[1]
	w = send(s, "GET", "/api/v1/items/?limit="+limit, nil)
	require.Equal(t, http.StatusOK, w.Code)
	assert.LessOrEqual(t, w.Body.Len(), 8<<20)
	assert.Equal(t, strconv.Itoa(w.Body.Len()), w.Header().Get("Content-Length"))
	n, err := strconv.Atoi(limit)
	require.NoError(t, err)
	assert.Equal(t, http.StatusUnprocessableEntity, send(s, "GET", "/api/v1/items/?limit="+strconv.Itoa(n+1), nil).Code, "no smaller than necessary")
	assert.Zero(t, s.replies.held)
}

// slowClient is a client that reads at a limited rate. It has its write deadline as a connection has.
type slowClient struct {
	*httptest.ResponseRecorder
	rate     int // bytes a second
	deadline time.Time
}

func (c *slowClient) SetWriteDeadline(deadline time.Time) error {
	c.deadline = deadline
	return nil
}

func (c *slowClient) Write(p []byte) (int, error) {
	took := time.Duration(len(p)) * time.Second / time.Duration(c.rate)
	if !c.deadline.IsZero() && time.Now().Add(took).After(c.deadline) {
		time.Sleep(time.Until(c.deadline))
		return len(p) / 2, os.ErrDeadlineExceeded
	}
	time.Sleep(took)
	return c.ResponseRecorder.Write(p)
}

func get(target string, headers ...string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	r.Header.Set("Authorization", "Bearer good")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestAClientThatKeepsReadingGetsAllOfALongReply(t *testing.T) {
	for rate, whole := range map[int]bool{400 << 10: true, 65 << 10: true, 20 << 10: false, 1 << 10: false} {
		synctest.Test(t, func(t *testing.T) {
			s := newListServer(t, longest)
			start := time.Now()
			client := &slowClient{ResponseRecorder: httptest.NewRecorder(), rate: rate}
			s.ServeHTTP(client, get("/api/v1/items/?limit=263")) // the largest page
			size := client.Header().Get("Content-Length")
			assert.Equal(t, whole, size == strconv.Itoa(client.Body.Len()), "%d bytes a second: %d of %s", rate, client.Body.Len(), size)
			assert.Less(t, time.Since(start), 5*time.Minute)
			assert.Zero(t, s.replies.held)
		})
	}
}

func TestAReplyThatIsCutIsLoggedAsWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, logs := newServer(t, useCases{items: func(context.Context, domain.PageRequest) (domain.Page[domain.Item], error) {
			item := domaintest.Item(domaintest.User(), func(i *domain.Item) { i.Description = domaintest.Description(longest) })
			return domain.Page[domain.Item]{Rows: slices.Repeat([]domain.Item{item}, 100)}, nil
		}})
		s.ServeHTTP(&slowClient{ResponseRecorder: httptest.NewRecorder(), rate: 4 << 10}, get("/api/v1/items/"))
		require.Equal(t, 1, logs.Len())
		line := logs.All()[0]
		assert.Equal(t, zapcore.InfoLevel, line.Level)
		assert.Equal(t, "reply_cut", line.ContextMap()["code"])
		assert.Regexp(t, `the reply was cut after \d+ of \d+ bytes: .*timeout`, line.ContextMap()["error"])
	})
}

// stalledClient takes nothing until it is released.
type stalledClient struct {
	*httptest.ResponseRecorder
	released <-chan struct{}
}

func (c stalledClient) Write(p []byte) (int, error) {
	<-c.released
	return c.ResponseRecorder.Write(p)
}

func TestTheMemoryOfRepliesIsBoundedInAllAndForEachSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newListServer(t, longest)
		s.SourceHeader = "X-Source"
		release := make(chan struct{})
		var stalled sync.WaitGroup
		answers := func(source string) int { // of a client that reads
			w := httptest.NewRecorder()
			s.ServeHTTP(w, get("/api/v1/items/?limit=250", "X-Source", source))
			if w.Code == http.StatusServiceUnavailable {
				assert.Equal(t, "busy", problem(t, w).Code)
				assert.NotEmpty(t, w.Header().Get("Retry-After"))
			}
			return w.Code
		}
		stall := func(source string, n int) {
			for range n {
				stalled.Go(func() {
					s.ServeHTTP(stalledClient{httptest.NewRecorder(), release}, get("/api/v1/items/?limit=250", "X-Source", source))
				})
			}
			synctest.Wait()
		}
		stall("ann", 20)
		assert.LessOrEqual(t, s.replies.held, 16<<20, "a quarter")
		assert.Equal(t, http.StatusServiceUnavailable, answers("ann"))
		assert.Equal(t, http.StatusOK, answers("bob"))
		for source := range strings.SplitSeq("bob cem dan eve", " ") {
			stall(source, 20)
		}
		assert.LessOrEqual(t, s.replies.held, 64<<20)
		assert.Equal(t, http.StatusServiceUnavailable, answers("fay"))
		assert.Equal(t, http.StatusOK, send(s, "GET", "/livez", nil).Code, "a probe needs no memory of replies")
		close(release)
		stalled.Wait()
		assert.Equal(t, http.StatusOK, answers("ann"))
		assert.Zero(t, s.replies.held)
		assert.Empty(t, s.replies.bySource)
	})
}

func TestManyClientsThatReadListsConcurrentlyNoticeNoLimit(t *testing.T) {
	s := newListServer(t, "The red one.")
	var clients sync.WaitGroup
	for range 32 {
		clients.Go(func() {
			for range 20 {
				assert.Equal(t, http.StatusOK, send(s, "GET", "/api/v1/items/?limit=100", nil).Code)
			}
		})
	}
	clients.Wait()
}

func TestAListIsCompressedForClientsThatAcceptGzip(t *testing.T) {
	s := newListServer(t, "The red one.")
	plain := send(s, "GET", "/api/v1/items/?limit=500", nil)
	packed := send(s, "GET", "/api/v1/items/?limit=500", nil, "Accept-Encoding", "gzip")
	assert.Empty(t, plain.Header().Get("Content-Encoding"))
	assert.Equal(t, "gzip", packed.Header().Get("Content-Encoding"))
	assert.Equal(t, strconv.Itoa(packed.Body.Len()), packed.Header().Get("Content-Length"))
	assert.Less(t, packed.Body.Len(), plain.Body.Len()/5)
	r, err := gzip.NewReader(packed.Body)
	require.NoError(t, err)
	unpacked, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, plain.Body.String(), string(unpacked))
	for _, w := range []*httptest.ResponseRecorder{plain, packed} {
		assert.Equal(t, "Accept-Encoding", w.Header().Get("Vary"))
	}
	head := send(s, "HEAD", "/api/v1/items/?limit=500", nil, "Accept-Encoding", "gzip")
	assert.Empty(t, head.Body.Bytes())
	assert.Equal(t, packed.Header().Get("Content-Length"), head.Header().Get("Content-Length"))
	small := send(s, "GET", "/api/v1/items/?limit=1", nil, "Accept-Encoding", "gzip")
	assert.Empty(t, small.Header().Get("Content-Encoding"), "below 1 KiB")
	assert.Zero(t, s.replies.held)
}

func TestOneEntityIsNeverCompressed(t *testing.T) {
	s, _ := newServer(t, useCases{})
	w := httptest.NewRecorder()
	c := s.echo.NewContext(get("/", "Accept-Encoding", "gzip"), w)
	require.NoError(t, writeJSON(c, http.StatusCreated, strings.Repeat("x", 3000)))
	assert.Equal(t, http.StatusCreated, w.Code)
	assert.Empty(t, w.Header().Get("Content-Encoding"))
	assert.Equal(t, "3002", w.Header().Get("Content-Length"))
}

func TestAReplyThatCannotBeWrittenIsAnErrorBeforeItsFirstByte(t *testing.T) {
	s, _ := newServer(t, useCases{})
	w := httptest.NewRecorder()
	c := s.echo.NewContext(get("/"), w)
	assert.Error(t, writeJSON(c, http.StatusOK, func() {}))
	assert.False(t, c.Response().Committed)
	assert.Empty(t, w.Body)
	assert.Zero(t, s.replies.held)
}

func TestABufferReturnsWhatWasWritten(t *testing.T) {
	for _, size := range []int{0, 1, pieceSize - 1, pieceSize, pieceSize + 1, 3*pieceSize + 7} {
		b := &buffer{quota: newQuota(maxReplies)}
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7)
		}
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 10_007)
			_, err := b.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		assert.Equal(t, size, b.size)
		got := slices.Collect(func(yield func([]byte) bool) {
			for piece := range b.drain() {
				yield(slices.Clone(piece))
			}
		})
		assert.True(t, bytes.Equal(want, bytes.Join(got, nil)))
		assert.Zero(t, b.quota.held)
	}
}

// discard counts the bytes of a reply and keeps none.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(p []byte) (int, error) {
	d.n += len(p)
	return len(p), nil
}

func TestNoRequestForAnAssetCompressesOrDecompresses(t *testing.T) {
	s := newPages(t)
	const target, requests = "/v9/docs/swagger-ui-bundle.js", 20 // more than a megabyte
	for _, accepted := range []string{"gzip", "identity", "gzip;q=0.9", ""} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			request := func() int {
				r := httptest.NewRequest(method, target, nil)
				r.Header.Set("Accept-Encoding", accepted)
				w := &discard{header: http.Header{}}
				s.ServeHTTP(w, r)
				return w.n
			}
			sent := request() // prepares the asset
			assert.Equal(t, method == http.MethodHead, sent == 0, method)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range requests {
				request()
			}
			runtime.ReadMemStats(&after)
			assert.Less(t, (after.TotalAlloc-before.TotalAlloc)/requests, uint64(64<<10), "%s with %q", method, accepted)
		}
	}
}
