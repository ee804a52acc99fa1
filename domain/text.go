package domain

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Lengths in Unicode code points.
const (
	MaxFullName    = 255
	MaxTitle       = 255
	MaxDescription = 5000

	MaxSnowflakeUser = 255 // Snowflake documentation, "Identifier requirements"
	MaxClientName    = 255
)

// FullName is the name of a person, at most [MaxFullName] code points. It may be empty.
type FullName struct{ s string }

// ParseFullName returns s unchanged.
func ParseFullName(s string) (FullName, error) {
	return FullName{s}, checkText(s, 0, MaxFullName)
}

func (n FullName) String() string { return n.s }

// Title is the name of an item, 1 to [MaxTitle] code points.
type Title struct{ s string }

// ParseTitle returns s unchanged.
func ParseTitle(s string) (Title, error) {
	return Title{s}, checkText(s, 1, MaxTitle)
}

func (t Title) String() string { return t.s }

// Description is a longer text about an item, at most [MaxDescription] code points. It may be empty.
type Description struct{ s string }

// ParseDescription returns s unchanged.
func ParseDescription(s string) (Description, error) {
	return Description{s}, checkText(s, 0, MaxDescription)
}

func (d Description) String() string { return d.s }

// SnowflakeUser is the name of a user in Snowflake, 1 to [MaxSnowflakeUser] code points, as CURRENT_USER() returns
// it. Names that were created without quotes are in upper case.
type SnowflakeUser struct{ s string }

// ParseSnowflakeUser returns s unchanged.
func ParseSnowflakeUser(s string) (SnowflakeUser, error) {
	return SnowflakeUser{s}, checkText(s, 1, MaxSnowflakeUser)
}

func (u SnowflakeUser) String() string { return u.s }

// ClientName says what a [Client] is for, 1 to [MaxClientName] code points.
type ClientName struct{ s string }

// ParseClientName returns s unchanged.
func ParseClientName(s string) (ClientName, error) {
	return ClientName{s}, checkText(s, 1, MaxClientName)
}

func (n ClientName) String() string { return n.s }

// checkText returns an error if s has a wrong length, or characters that a store could not return unchanged.
func checkText(s string, least, most int) error {
	switch n := utf8.RuneCountInString(s); {
	case !utf8.ValidString(s):
		return errors.New("must be valid UTF-8")
	case strings.ContainsRune(s, 0):
		return errors.New("must not contain the character NUL")
	case n < least || n > most:
		if least == 0 {
			return fmt.Errorf("must have at most %d characters, has %d", most, n)
		}
		return fmt.Errorf("must have %d to %d characters, has %d", least, most, n)
	}
	return nil
}
