package domain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// texts are the kinds of text with their lengths. The same tests apply to all of them.
var texts = []struct {
	name        string
	least, most int
	parse       func(string) (fmt.Stringer, error)
}{
	{"FullName", 0, 255, func(s string) (fmt.Stringer, error) { return domain.ParseFullName(s) }},
	{"Title", 1, 255, func(s string) (fmt.Stringer, error) { return domain.ParseTitle(s) }},
	{"Description", 0, 5000, func(s string) (fmt.Stringer, error) { return domain.ParseDescription(s) }},
}

func TestTextsAreReturnedUnchanged(t *testing.T) {
	for _, text := range texts {
		for _, s := range []string{
			"a", " \t\n spaces \r\n ", `"quotes" 'and' \`, "é e\u0301 שלום", "\ufffd", "\x01\x7f",
			strings.Repeat("a", text.least), strings.Repeat("🦆", text.least),
			strings.Repeat("a", text.most), strings.Repeat("🦆", text.most),
		} {
			got, err := text.parse(s)
			assert.NoError(t, err, text.name)
			assert.Equal(t, s, got.String(), text.name)
		}
	}
}

func TestParsersRefuse(t *testing.T) {
	for _, text := range texts {
		t.Run(text.name+" with one code point too many", func(t *testing.T) {
			lengths := fmt.Sprintf("at most %d", text.most)
			if text.least > 0 {
				lengths = fmt.Sprintf("%d to %d", text.least, text.most)
			}
			want := fmt.Sprintf("must have %s characters, has %d", lengths, text.most+1)
			for _, character := range []string{"a", "🦆"} {
				_, err := text.parse(strings.Repeat(character, text.most+1))
				assert.EqualError(t, err, want)
			}
		})
		t.Run(text.name+" with NUL", func(t *testing.T) {
			_, err := text.parse("a\x00b")
			assert.EqualError(t, err, "must not contain the character NUL")
		})
		t.Run(text.name+" with invalid UTF-8", func(t *testing.T) {
			for _, s := range []string{"a\xff", "\xc0\xaf", "\xed\xa0\x80", "a\xf0\x9f\xa6"} {
				_, err := text.parse(s)
				assert.EqualError(t, err, "must be valid UTF-8")
			}
		})
	}
	t.Run("an empty Title", func(t *testing.T) {
		_, err := domain.ParseTitle("")
		assert.EqualError(t, err, "must have 1 to 255 characters, has 0")
	})
}
