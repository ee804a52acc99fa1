package domain

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Lengths of a new password in Unicode code points. As NIST SP 800-63B §5.1.1.2 advises, no kinds of
// characters are required. Passwords are compared exactly as sent, without normalisation.
const (
	MinPassword = 8
	MaxPassword = 128
)

// Password is a password that the rules allow for an account. It prints as a placeholder.
type Password struct{ s string }

// ParsePassword returns s as a password. It refuses a password that is too short, too long, or in the list
// of common passwords in any letter case. Its errors never repeat the password.
func ParsePassword(s string) (Password, error) {
	if err := checkText(s, MinPassword, MaxPassword); err != nil {
		return Password{}, err
	}
	if commonPasswords()[strings.ToLower(s)] {
		return Password{}, errors.New("is one of the commonest passwords: choose another")
	}
	return Password{s}, nil
}

// Reveal returns the password itself, for the hasher.
func (p Password) Reveal() string { return p.s }

// Format prints a placeholder for every verb, so that no log shows the password.
func (Password) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[password]") }

//go:embed common_passwords.txt
var commonPasswordList string

var commonPasswords = sync.OnceValue(func() map[string]bool {
	set := make(map[string]bool, 8192)
	for line := range strings.Lines(commonPasswordList) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "# ") {
			set[line] = true
		}
	}
	return set
})
