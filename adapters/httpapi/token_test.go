package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func FuzzClientCredentials(f *testing.F) {
	const id = "0193F2C7-5d1e-7c3a-8f00-9a6b1c2d3e4f"
	for _, c := range [][3]string{
		{"", id, "secret"}, {"Basic Og==", "", ""}, {"Basic YTpi", "a", ""}, {"basic JXp6OmI=", "", ""}, {"Basic \xff", "", "\x00"},
		{"Basic", "{" + id + "}", "x"}, {"Bearer x", "urn:uuid:" + id, "x"}, {"", strings.ReplaceAll(id, "-", ""), "x"}, {"", "\x00", "\xff"},
	} {
		f.Add(c[0], c[1], c[2])
	}
	f.Fuzz(func(t *testing.T, authorization, id, secret string) {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Authorization", authorization)
		form := &body{fields: map[string]any{"client_id": id, "client_secret": secret}}
		gotID, gotSecret, err := clientCredentials(r, form)
		if err != nil {
			assert.Contains(t, []int{http.StatusBadRequest, http.StatusUnauthorized}, problemOf(err).Status)
			return
		}
		assert.NotEmpty(t, gotID)
		assert.NotEmpty(t, gotSecret)
		assert.True(t, usesBasic(r) || gotID == id && gotSecret == secret)
		known := clientID(gotID)
		assert.Regexp(t, `^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`, known)
		assert.True(t, known == strings.ToLower(gotID) || known == uuid.Nil.String())
	})
}

func FuzzParseTime(f *testing.F) {
	for _, text := range []string{
		"2026-11-24T09:30:00Z", "2026-11-24T09:30:00.123456789+05:30", "2026-02-30T00:00:00Z", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := parseTime(text)
		if err != nil {
			assert.Zero(t, parsed)
			return
		}
		assert.Equal(t, time.UTC, parsed.Location())
		if year := parsed.Year(); year < 0 || year > 9999 {
			return // the zone has moved it out of what RFC 3339 can write
		}
		again, err := parseTime(timestampText(parsed))
		require.NoError(t, err)
		assert.Equal(t, parsed, again)
	})
}
