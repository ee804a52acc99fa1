package httpapi

import (
	"testing"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"net/http/httptest"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestIfMatchAsksForTheNewestVersionThatItLists(t *testing.T) {
	none := domain.OnlyVersions(-1) // which no entity has
	for header, want := range map[string]domain.Versions{
		`*`:                          {},
		" * ":                        {},
		`"1"`:                        domain.OnlyVersions(1),
		` "17" `:                     domain.OnlyVersions(17),
		`"1","3", "2"`:               domain.OnlyVersions(3),
		`W/"5", "2"`:                 domain.OnlyVersions(2),
		`"x", "2"`:                   domain.OnlyVersions(2),
		`"9223372036854775807"`:      domain.OnlyVersions(9223372036854775807),
		``:                           none,
		`,`:                          none,
		`1`:                          none,
		`"1`:                         none,
		`""1""`:                      none,
		`"01"`:                       none,
		`"+1"`:                       none,
		`"-0"`:                       none,
		`" 1"`:                       none,
		`"*"`:                        none,
		`*, "1x"`:                    none,
		`W/"1"`:                      none,
		`"9223372036854775808"`:      none,
		"\"1\"\x00":                  none,
		`"0x1"`:                      none,
		`"1_0"`:                      none,
		`"\u0031"`:                   none,
		`"１"`:                        none,
		`"1" "2"`:                    none,
		`"123e4567-e89b-12d3-a456-"`: none,
	} {
		assert.Equal(t, want, versionOf(&header), header)
	}
	assert.Equal(t, domain.Versions{}, versionOf(nil))
}

func TestATimeIsWrittenInUTCAlwaysToTheMicrosecond(t *testing.T) {
	for want, at := range map[string]time.Time{
		`"2026-11-24T09:30:00.000000Z"`: time.Date(2026, 11, 24, 10, 30, 0, 0, time.FixedZone("", 3600)),
		`"2026-01-02T03:04:05.678901Z"`: time.Date(2026, 1, 2, 3, 4, 5, 678_901_999, time.UTC),
	} {
		text, err := json.Marshal(timestamp(at))
		require.NoError(t, err)
		assert.Equal(t, want, string(text))
		var back timestamp
		require.NoError(t, json.Unmarshal(text, &back))
		assert.True(t, time.Time(back).Equal(at.Truncate(time.Microsecond)))
	}
}

// largestWrite counts what is written to it.
type largestWrite struct {
	*httptest.ResponseRecorder
	largest, total int
}

func (w *largestWrite) Write(b []byte) (int, error) {
	w.largest, w.total = max(w.largest, len(b)), w.total+len(b)
	return len(b), nil
}

func TestALongReplyIsNeverHeldWhole(t *testing.T) {
	control := strings.Repeat("\x01", domain.MaxDescription) // six bytes each in JSON
	page := ItemPage{Data: make([]Item, 1000)}
	for i := range page.Data {
		page.Data[i].Description = &control
	}
	w := &largestWrite{ResponseRecorder: httptest.NewRecorder()}
	require.NoError(t, writeJSON(echo.New().NewContext(httptest.NewRequest("GET", "/", nil), w), 200, page))
	assert.Greater(t, w.total, 30_000_000)
	assert.Less(t, w.largest, 200_000)
}
