package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestIfMatchAllowsEveryVersionThatItsTagsName(t *testing.T) {
	every, none, only := domain.Versions{}, domain.OnlyVersions(), domain.OnlyVersions
	for header, want := range map[string]domain.Versions{
		`*`:                      every,
		" * ":                    every,
		`"1"`:                    only(1),
		` "17" `:                 only(17),
		`"1","3", "2"`:           only(1, 3, 2),
		"\"1\"\t , \"2\"":        only(1, 2),
		`"2", "2"`:               only(2, 2),
		`, "1",, "2" ,`:          only(1, 2),
		`W/"1"`:                  only(1),
		`W/"5", "2"`:             only(5, 2),
		`"x", "2"`:               only(2),
		`"9223372036854775807"`:  only(9223372036854775807),
		`"1,2", "3"`:             only(3),
		`"3", W/"x,y"`:           only(3),
		"\"\xe9\", \"é\", \"3\"": only(3), // obs-text
		`"not ours", "3"`:        only(3),
	} {
		got, err := versionsOf(&header)
		require.NoError(t, err)
		assert.Equal(t, want, got, header)
	}
	for _, foreign := range []string{
		`"01"`, `"+1"`, `"-0"`, `"1x"`, `""`, `"*"`, `W/""`, `"9223372036854775808"`, `"0x1"`, `"1_0"`, `"\u0031"`, `"１"`,
		`" 1"`, `"1 "`, "\"1\t\"", "\"1\x00\"", "\"1\x7f\"", `"W/"`, `"1,2"`, `"123e4567-e89b-12d3-a456-"`,
	} {
		got, err := versionsOf(&foreign)
		require.NoError(t, err)
		assert.Equal(t, none, got, "%s is a tag, but none of ours", foreign)
	}
	for _, malformed := range []string{
		`1`, `"1`, `1"`, `""1""`, "\"1\"\x00", `"1" "2"`, `"1";"2"`, `"1"x`, `"2", 3`, `*, "1"`, `"1", *`,
		`w/"1"`, `W/ "1"`, `W"1"`, `W/1`, `W/W/"1"`, `/"1"`, `"`, `W/`,
	} {
		got, err := versionsOf(&malformed)
		require.NoError(t, err)
		assert.Equal(t, none, got, "%s is no list of tags", malformed)
	}
	for _, empty := range []string{"", " ", ",", " , ,"} {
		got, err := versionsOf(&empty)
		require.NoError(t, err)
		assert.Equal(t, none, got, "%q has no tag", empty)
	}
	got, err := versionsOf(nil)
	require.NoError(t, err)
	assert.Equal(t, every, got, "without the header")
}

func TestIfMatchListsAtMostSixteenTags(t *testing.T) {
	for _, tag := range []string{`"1"`, `W/"1"`, `"x"`} {
		sixteen := strings.TrimSuffix(strings.Repeat(tag+", ", 16), ", ")
		_, err := versionsOf(&sixteen)
		require.NoError(t, err)
		seventeen := sixteen + `, "2"`
		_, err = versionsOf(&seventeen)
		p := problemOf(err)
		assert.Equal(t, http.StatusBadRequest, p.Status)
		assert.Equal(t, "malformed", p.Code)
		assert.Contains(t, p.Detail, "16")
	}
}

func FuzzIfMatch(f *testing.F) {
	for _, text := range []string{`"1", W/"2"`, `*`, `"1,2"`, `W/`, `,`, `"`, strings.Repeat(`"1",`, 17)} {
		f.Add(text, int64(2))
	}
	f.Fuzz(func(t *testing.T, header string, version int64) {
		allowed, err := versionsOf(&header)
		if err != nil {
			assert.Equal(t, http.StatusBadRequest, problemOf(err).Status)
			return
		}
		if allowed.Allow(version) && strings.Trim(header, " \t") != "*" {
			assert.Contains(t, header, fmt.Sprintf(`"%d"`, version))
		}
	})
}
