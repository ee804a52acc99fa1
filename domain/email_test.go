package domain_test

import (
	"net/mail"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestParseEmailReturnsPlainAddressesInLowerCase(t *testing.T) {
	local64 := strings.Repeat("l", 64)
	label63 := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"name@example.com":                 "name@example.com",
		"Name.Surname+Tag@Sub.EXAMPLE.com": "name.surname+tag@sub.example.com",
		"admin@localhost":                  "admin@localhost",
		"a@b":                              "a@b",
		"!#$%&'*+/=?^_`{|}~-@example.com":  "!#$%&'*+/=?^_`{|}~-@example.com",
		"-@example.com":                    "-@example.com",
		"a@xn--bcher-kva.example":          "a@xn--bcher-kva.example",
		"a@a-b--c.example":                 "a@a-b--c.example",
		"a@1and1.4you":                     "a@1and1.4you",
		local64 + "@example.com":           local64 + "@example.com",
		"a@" + label63 + ".com":            "a@" + label63 + ".com",
		addressOfLength(254):               addressOfLength(254),
	} {
		got, err := domain.ParseEmail(in)
		require.NoError(t, err, in)
		assert.Equal(t, want, got.String())
	}
}

func TestParseEmailRefuses(t *testing.T) {
	const (
		notPlain  = "must be a plain address like name@example.com"
		notASCII  = "must be ASCII: write an international domain in punycode (xn--…)"
		tooLong   = "must have at most 254 characters"
		longLocal = "must have at most 64 characters before the @"
	)
	for name, c := range map[string]struct{ in, message string }{
		"an empty address":                     {"", notPlain},
		"an address without @":                 {"example.com", notPlain},
		"an address without a local part":      {"@example.com", notPlain},
		"an address without a host":            {"name@", notPlain},
		"two @":                                {"a@b@example.com", notPlain},
		"a display name":                       {"Name <name@example.com>", notPlain},
		"quotes":                               {`"name"@example.com`, notPlain},
		"a comment":                            {"name(comment)@example.com", notPlain},
		"a literal host":                       {"name@[127.0.0.1]", notPlain},
		"a leading space":                      {" name@example.com", notPlain},
		"a trailing newline":                   {"name@example.com\n", notPlain},
		"a control character":                  {"na\x00me@example.com", notPlain},
		"a backslash":                          {`na\me@example.com`, notPlain},
		"a local part that begins with a dot":  {".name@example.com", notPlain},
		"a local part that ends with a dot":    {"name.@example.com", notPlain},
		"two dots in the local part":           {"na..me@example.com", notPlain},
		"a host that begins with a dot":        {"name@.example.com", notPlain},
		"a host that ends with a dot":          {"name@example.com.", notPlain},
		"two dots in the host":                 {"name@example..com", notPlain},
		"a label that begins with a hyphen":    {"name@-example.com", notPlain},
		"a label that ends with a hyphen":      {"name@example-.com", notPlain},
		"a last label that begins with hyphen": {"name@example.-com", notPlain},
		"a last label that ends with a hyphen": {"name@example.com-", notPlain},
		"a label that is only a hyphen":        {"name@-", notPlain},
		"an underscore in the host":            {"name@ex_ample.com", notPlain},
		"a label of 64 characters":             {"name@" + strings.Repeat("a", 64) + ".com", notPlain},
		"a local part of 65 characters":        {strings.Repeat("l", 65) + "@example.com", longLocal},
		"255 characters":                       {addressOfLength(255), tooLong},
		"a host that is not ASCII":             {"name@bücher.example", notASCII},
		"a local part that is not ASCII":       {"nämé@example.com", notASCII},
		"a letter whose lower case is ASCII":   {"name@\u212Aelvin.example", notASCII},
		"invalid UTF-8":                        {"name\xff@example.com", notASCII},
		"a lone continuation byte":             {"name\x80@example.com", notASCII},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := domain.ParseEmail(c.in)
			assert.EqualError(t, err, c.message)
			assert.Zero(t, got)
		})
	}
}

// addressOfLength returns an address of n ≥ 128 characters with labels of at most 63.
func addressOfLength(n int) string {
	host := strings.Repeat(strings.Repeat("a", 62)+".", 4)
	return "name@" + host[:n-6] + "z"
}

func FuzzParseEmail(f *testing.F) {
	for _, seed := range []string{
		"name@example.com", "A.B+c@X-y.Z", `"q"@h`, "a@b\n", "é@x", "a@\u212A", "@", "", addressOfLength(254),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := domain.ParseEmail(s)
		if err != nil {
			assert.Zero(t, e)
			return
		}
		assert.LessOrEqual(t, len(e.String()), 254)
		assert.Equal(t, strings.ToLower(s), e.String(), "only the letter case may change")
		for _, spelling := range []string{e.String(), strings.ToUpper(s)} {
			again, err := domain.ParseEmail(spelling)
			assert.NoError(t, err)
			assert.Equal(t, e, again, "letter case does not distinguish accounts")
		}
		standard, err := mail.ParseAddress(s)
		require.NoError(t, err, "a plain address is also an address of RFC 5322")
		assert.Equal(t, s, standard.Address)
	})
}
