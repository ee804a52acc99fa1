package domain_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestParsePasswordReturnsThePasswordUnchanged(t *testing.T) {
	for _, s := range []string{
		"correct horse battery",
		" \tspaces are kept ",
		strings.Repeat("x", 4) + "1fY!",
		"🦆🦢🐓🦅🦉🐧🦜🦚",
		strings.Repeat("🦆🦢🐓🦅🦉🐧🦜🦚", domain.MaxPassword/8),
		"e\u0301 is not normalised",
		"aabbccde",              // five characters
		"abcdefghabcdefgh",      // a part that is a password
		"abcdeabcd",             // not even twice
		"winter without a year", // and the reverse:
		"20 horses of 1984",
		"winter2026 in our garden", // enough remains
	} {
		p, err := domain.ParsePassword(s)
		require.NoError(t, err)
		assert.Equal(t, s, p.Reveal())
	}
}

func TestParsePasswordRefuses(t *testing.T) {
	const (
		tooCommon = "is one of the commonest passwords: choose another"
		repeats   = "repeats a few characters: choose another"
		seasonal  = "is little more than a season or a month with a year: choose another"
	)
	for name, c := range map[string]struct{ in, message string }{
		"an empty password":             {"", "must have 8 to 128 characters, has 0"},
		"7 characters":                  {"x1fY!zq", "must have 8 to 128 characters, has 7"},
		"7 characters of 28 bytes":      {strings.Repeat("🦆", 7), "must have 8 to 128 characters, has 7"},
		"129 characters":                {strings.Repeat("ab", 64) + "c", "must have 8 to 128 characters, has 129"},
		"NUL":                           {"correct\x00horse", "must not contain the character NUL"},
		"invalid UTF-8":                 {"correct\xffhorse", "must be valid UTF-8"},
		"a common password":             {"password1", tooCommon},
		"a common password in capitals": {"PassWord1", tooCommon},
		"a common password in Cyrillic": {"ПЇЅПЇЅПЇЅПЇЅПЇЅПЇЅ", tooCommon},
		"a placeholder of a template":   {"ChangeThis", tooCommon},
		"blanks":                        {"        ", repeats},
		"one character":                 {strings.Repeat("🦆", 128), repeats},
		"four characters":               {"aabbccdd", repeats},
		"a repeated part":               {"Ab3!xAB3!x", repeats},
		"a repeated part of seven":      {"abcdefgabcdefg", repeats},
		"a part that is cut off":        {"abcdeabcdeab", repeats},
		"a season with a year":          {"Winter2026!", seasonal},
		"a month with a year":           {"september-1999", seasonal},
		"a short month and year":        {"!!Sep'26!!", seasonal},
		"a year with a month":           {"2026 january", seasonal},
		"a season, and a common word":   {"summer2024password", seasonal},
		"nothing but seasons":           {"spring2024autumn2025", seasonal},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := domain.ParsePassword(c.in)
			require.EqualError(t, err, c.message)
			assert.Zero(t, p)
			if c.in != "" {
				assert.NotContains(t, err.Error(), c.in, "the error must not repeat the password")
			}
		})
	}
}

func TestParsePasswordRefusesEveryLineOfTheListExceptComments(t *testing.T) {
	list, err := os.ReadFile("common_passwords.txt")
	require.NoError(t, err)
	for line := range strings.Lines(string(list)) {
		line = strings.TrimSuffix(line, "\n")
		_, err := domain.ParsePassword(line)
		if strings.HasPrefix(line, "# ") {
			require.NoError(t, err, line)
		} else {
			require.Error(t, err, line)
		}
	}
}

func TestCheckContextRefusesPasswordsOfWordsThatAnAttackerKnows(t *testing.T) {
	const service = "Echo in Snowflake"
	for name, c := range map[string]struct {
		email, password string
		refused         bool
	}{
		"the e-mail":                         {"ann@example.com", "ann@example.com", true},
		"the e-mail in capitals":             {"ann@example.com", "ANN@EXAMPLE.COM", true},
		"the e-mail and a little":            {"ann@example.com", "ann@example.com-2!", true},
		"the e-mail and a common password":   {"ann@example.com", "annpassword1", true},
		"the e-mail and a repetition":        {"ann@example.com", "ann@example.com!!!!!!!!", true},
		"a short name":                       {"ann@example.com", "ann12345", true},
		"a word that contains another":       {"ann.annabel@example.com", "annabel12345", true},
		"the name of the service":            {"ann@example.com", "Echo in Snowflake", true},
		"the name of the service, as a word": {"ann@example.com", "EchoInSnowflake!", true},
		"a word of the name":                 {"ann@example.com", "snowflake2026", true},

		"none of these words":           {"ann@example.com", "correct horse", false},
		"one of them, and enough":       {"ann@example.com", "correct horse of ann", false},
		"a word of two letters":         {"bo@example.com", "bookish7", false},
		"a word of the name, in a text": {"ann@example.com", "a snowflake never falls", false},
	} {
		t.Run(name, func(t *testing.T) {
			email, err := domain.ParseEmail(c.email)
			require.NoError(t, err)
			p, err := domain.ParsePassword(c.password)
			require.NoError(t, err)
			err = p.CheckContext(email, service)
			if !c.refused {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err,
				"is little more than the e-mail address or the name of this service: choose another")
		})
	}
}

func TestPasswordsAreNeverPrinted(t *testing.T) {
	p, err := domain.ParsePassword("correct horse battery")
	require.NoError(t, err)
	for _, value := range []any{
		p, &p, domain.NewUser{Password: p}, []domain.Password{p}, domain.Some(p),
		domain.UserPatch{Password: domain.Some(p)},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			printed := fmt.Sprintf(verb, value)
			assert.NotContains(t, printed, "horse", "%s of %T", verb, value)
			assert.NotContains(t, printed, fmt.Sprintf("%x", "horse"), "%s of %T", verb, value)
		}
	}
	assert.Equal(t, "[password]", fmt.Sprint(p))
}

func TestAPasswordForAnAccountMustNotBeItsEMail(t *testing.T) {
	email, err := domain.ParseEmail("annabel.lee@example.com")
	require.NoError(t, err)
	_, err = domain.ParsePasswordFor("annabel.lee@example.com", email, "service")
	assert.Error(t, err)
	p, err := domain.ParsePasswordFor("correct horse battery staple", email, "service")
	require.NoError(t, err)
	assert.Equal(t, "correct horse battery staple", p.Reveal())
	_, err = domain.ParsePasswordFor("short", email, "service")
	assert.Error(t, err)
}
