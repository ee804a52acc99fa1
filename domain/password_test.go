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
		strings.Repeat("🦆", domain.MinPassword),
		strings.Repeat("🦆", domain.MaxPassword),
		"e\u0301 is not normalised",
	} {
		p, err := domain.ParsePassword(s)
		require.NoError(t, err)
		assert.Equal(t, s, p.Reveal())
	}
}

func TestParsePasswordRefuses(t *testing.T) {
	const tooCommon = "is one of the commonest passwords: choose another"
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
