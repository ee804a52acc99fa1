package httpapi

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestATimestampIsInUTCAndAlwaysToTheMicrosecond(t *testing.T) {
	for want, at := range map[string]time.Time{
		"2026-11-24T09:30:00.000000Z": time.Date(2026, 11, 24, 10, 30, 0, 0, time.FixedZone("", 3600)),
		"2026-01-02T03:04:05.678901Z": time.Date(2026, 1, 2, 3, 4, 5, 678_901_999, time.UTC),
	} {
		assert.Equal(t, want, timestamp(at).String())
	}
}

// largestWrite counts the bytes that are written to it.
type largestWrite struct {
	*httptest.ResponseRecorder
	largest, total int
}

func (w *largestWrite) Write(b []byte) (int, error) {
	w.largest, w.total = max(w.largest, len(b)), w.total+len(b)
	return len(b), nil
}

func TestALongReplyIsNeverInMemoryAsAWhole(t *testing.T) {
	control := strings.Repeat("\x01", domain.MaxDescription) // six bytes each in JSON
	item := domaintest.Item(domaintest.User(), func(i *domain.Item) { i.Description = domaintest.Description(control) })
	page := domain.Page[domain.Item]{Rows: slices.Repeat([]domain.Item{item}, 1000)}
	w := &largestWrite{ResponseRecorder: httptest.NewRecorder()}
	c := echo.New().NewContext(httptest.NewRequest("GET", "/", nil), w)
	require.NoError(t, writePage(c, itemCursor, itemFields, page))
	assert.Greater(t, w.total, 30_000_000)
	assert.Less(t, w.largest, 200_000)
	assert.Empty(t, w.Header().Get("Content-Length"))
}

func TestAReplyThatFitsInOneBufferHasItsLength(t *testing.T) {
	w := httptest.NewRecorder()
	c := echo.New().NewContext(httptest.NewRequest("GET", "/", nil), w)
	require.NoError(t, writeJSON(c, http.StatusCreated, strings.Repeat("x", 3000)))
	assert.Equal(t, http.StatusCreated, w.Code)
	assert.Equal(t, "3002", w.Header().Get("Content-Length"))
}

func TestAReplyThatCannotBeWrittenIsAnErrorBeforeItsFirstByte(t *testing.T) {
	w := httptest.NewRecorder()
	c := echo.New().NewContext(httptest.NewRequest("GET", "/", nil), w)
	assert.Error(t, writeJSON(c, http.StatusOK, func() {}))
	assert.False(t, c.Response().Committed)
	assert.Empty(t, w.Body)
}
