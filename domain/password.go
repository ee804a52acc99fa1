package domain

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
)

// Lengths of a new password in Unicode code points. As NIST SP 800-63B §5.1.1.2 advises, no kinds of
// characters are required. Passwords are compared exactly as sent, without normalisation.
const (
	MinPassword = 8
	MaxPassword = 128
)

// Password is a password that the rules allow for an account. It prints as a placeholder.
type Password struct{ s string }

// ParsePassword returns s as a password. It refuses a password that is too short, too long, or predictable: in
// the list of common passwords, a repetition, or a season or month with a year, each in any letter case. Its
// errors never repeat the password. [Password.CheckContext] refuses more, for one account.
func ParsePassword(s string) (Password, error) {
	if err := checkText(s, MinPassword, MaxPassword); err != nil {
		return Password{}, err
	}
	lower := strings.ToLower(s)
	switch {
	case commonPasswords()[lower]:
		return Password{}, errors.New("is one of the commonest passwords: choose another")
	case isRepetition([]rune(lower)):
		return Password{}, errors.New("repeats a few characters: choose another")
	case isLittleMore(lower, seasonWithYear.ReplaceAllString(lower, "")):
		return Password{}, errors.New("is little more than a season or a month with a year: choose another")
	}
	return Password{s}, nil
}

// ParsePasswordFor returns s as a password that the account with that e-mail may have. It refuses what
// [ParsePassword] and [Password.CheckContext] refuse.
func ParsePasswordFor(s string, email Email, service string) (Password, error) {
	p, err := ParsePassword(s)
	if err == nil {
		err = p.CheckContext(email, service)
	}
	return p, err
}

// CheckContext returns an error if p is little more than words of the account's e-mail or of the name of the
// service (NIST SP 800-63B §5.1.1.2).
func (p Password) CheckContext(email Email, service string) error {
	lower := strings.ToLower(p.s)
	words := strings.FieldsFunc(strings.ToLower(email.String()+" "+service), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) }) // a word may be part of another
	rest := lower
	for _, w := range words {
		if len(w) >= 3 {
			rest = strings.ReplaceAll(rest, w, "")
		}
	}
	if isLittleMore(lower, rest) {
		return errors.New("is little more than the e-mail address or the name of this service: choose another")
	}
	return nil
}

// isLittleMore reports whether something predictable was removed from a password, and rest, which remains, is
// no password.
func isLittleMore(password, rest string) bool {
	if rest == password {
		return false
	}
	_, err := ParsePassword(rest)
	return err != nil
}

// isRepetition reports whether a password has fewer than five different characters, or repeats a part that is
// itself too short for a password.
func isRepetition(s []rune) bool {
	different := map[rune]bool{}
	for _, r := range s {
		different[r] = true
	}
	if len(different) < 5 {
		return true
	}
	for part := 1; part < MinPassword && 2*part <= len(s); part++ {
		if slices.Equal(s[part:], s[:len(s)-part]) {
			return true
		}
	}
	return false
}

// seasonWithYear matches in lower case, in English. A year has two or four digits.
var seasonWithYear = func() *regexp.Regexp {
	const (
		season = `(spring|summer|autumn|fall|winter|january|february|march|april|may|june|july|august|` +
			`september|october|november|december|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)`
		gap  = `[^\pL\pN]*`
		year = `(19|20)?[0-9][0-9]`
	)
	return regexp.MustCompile(season + gap + year + `|` + year + gap + season)
}()

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
