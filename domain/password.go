package domain

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Lengths of a new password in Unicode code points. There is no composition rule and no
// normalisation (NIST SP 800-63B §5.1.1.2): a password is compared exactly as sent.
const (
	MinPassword = 8
	MaxPassword = 128
)

// Password is one that an account may be given. It prints as a placeholder; Reveal is for the
// hasher.
type Password struct{ s string }

// ParsePassword refuses what is too short, too long or among the commonest, in any letter case.
// Its errors never repeat the password.
func ParsePassword(s string) (Password, error) {
	if err := checkText(s, MinPassword, MaxPassword); err != nil {
		return Password{}, err
	}
	if commonPasswords()[strings.ToLower(s)] {
		return Password{}, errors.New("is one of the commonest passwords: choose another")
	}
	return Password{s}, nil
}

// Reveal returns the password itself.
func (p Password) Reveal() string { return p.s }

// Format keeps every verb from showing it.
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
