package httpapi

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var position = domain.Position{
	CreatedAt: time.Date(2026, 3, 29, 1, 59, 59, 999_999_000, time.UTC), ID: "0193f2c7-5d1e-7c3a-8f00-9a6b1c2d3e4f",
}

func TestDecodingACursorReturnsItsPosition(t *testing.T) {
	for _, at := range []time.Time{position.CreatedAt, time.UnixMicro(0), time.UnixMicro(-1), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), {}} {
		for _, list := range []byte{userCursor, itemCursor} {
			want := domain.Position{CreatedAt: at.UTC(), ID: uuid.NewString()}
			got, ok := decodeCursor(list, encodeCursor(list, want))
			require.True(t, ok)
			assert.Equal(t, want.ID, got.ID)
			assert.True(t, want.CreatedAt.Equal(got.CreatedAt), "%v %v", want.CreatedAt, got.CreatedAt)
			assert.Equal(t, time.UTC, got.CreatedAt.Location())
		}
	}
}

func TestACursorWithATimeThatNoRowHasIsRefused(t *testing.T) {
	for _, micros := range []int64{
		math.MinInt64, time.Date(-4800, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), time.Time{}.UnixMicro() - 1,
		time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro(), math.MaxInt64,
	} {
		_, ok := decodeCursor(itemCursor, encodeCursor(itemCursor, domain.Position{CreatedAt: time.UnixMicro(micros), ID: position.ID}))
		assert.False(t, ok, micros)
	}
}

func FuzzDecodeCursor(f *testing.F) {
	f.Add(encodeCursor(itemCursor, position))
	f.Add(encodeCursor(userCursor, position))
	f.Add(encodeCursor(itemCursor, position) + "\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, cursor string) {
		if p, ok := decodeCursor(itemCursor, cursor); ok {
			assert.Equal(t, cursor, encodeCursor(itemCursor, p), "a position has one cursor")
			_, ok = decodeCursor(userCursor, cursor)
			assert.False(t, ok, "a cursor belongs to one list")
		}
	})
}

func FuzzListQuery(f *testing.F) {
	for _, query := range []string{"", "skip=1&limit=2&count=false", "cursor=" + encodeCursor(itemCursor, position), "skip=-1", "limit=1001", "count=T", "%zz", "a;b", "limit=1&limit=2", "skip=%2B1", "skip=1_0", "count=%00"} {
		f.Add(query)
	}
	s, _ := newServer(f, useCases{items: func(_ context.Context, page domain.PageRequest) (domain.Page[domain.Item], error) {
		_, continued := page.After.Get()
		if page.Skip < 0 || page.Limit < 1 || page.Limit > 1000 || continued && page.Skip > 0 {
			panic("the use case got parameters that the document excludes")
		}
		return domain.Page[domain.Item]{}, nil
	}})
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/items/", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", "Bearer good")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		assert.Contains(t, []int{http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity}, w.Code, w.Body)
	})
}
