package domain

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Email is an address in lower case: a plain local@host in ASCII, without quotes, comments or
// display name. Accounts are told apart by it.
type Email struct{ s string }

// RFC 5321 §4.5.3.1: 64 octets before the @; 254 in all is what fits into a path of 256.
const (
	maxEmail     = 254
	maxLocalPart = 64
)

// A dot-atom (RFC 5322 §3.2.3) before the @, labels (RFC 1123 §2.1) behind it.
const (
	atom  = "[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
	label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)

var emailSyntax = regexp.MustCompile(fmt.Sprintf(`^%[1]s(\.%[1]s)*@%[2]s(\.%[2]s)*$`, atom, label))

// ParseEmail checks s and returns it in lower case.
func ParseEmail(s string) (Email, error) {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return Email{}, errors.New("must be ASCII: write an international domain in punycode (xn--…)")
		}
	}
	if len(s) > maxEmail {
		return Email{}, errors.New("must have at most 254 characters")
	}
	s = strings.ToLower(s)
	if !emailSyntax.MatchString(s) {
		return Email{}, errors.New("must be a plain address like name@example.com")
	}
	if strings.IndexByte(s, '@') > maxLocalPart {
		return Email{}, errors.New("must have at most 64 characters before the @")
	}
	return Email{s}, nil
}

func (e Email) String() string { return e.s }
