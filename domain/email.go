package domain

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Email is a plain address, local@host, in lower case and ASCII, without quotes, comments or a display
// name. Each account has a different one.
type Email struct{ s string }

// Limits in bytes, from RFC 5321 §4.5.3.1. Its path of 256 bytes includes the brackets around the address.
const (
	maxEmail     = 254
	maxLocalPart = 64
)

// The part before the @ is a dot-atom (RFC 5322 §3.2.3). The part after it is labels (RFC 1123 §2.1).
const (
	atom  = "[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
	label = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
)

var emailSyntax = regexp.MustCompile(fmt.Sprintf(`^%[1]s(\.%[1]s)*@%[2]s(\.%[2]s)*$`, atom, label))

// ParseEmail returns s in lower case. Its errors are written for the client.
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
