package config

import (
	"fmt"
	"io"
)

// Secret is a text that shows itself only to whoever calls Reveal. Printed or marshalled it is
// "[redacted]", or empty when it is empty. The zero Secret is the empty one.
type Secret struct{ s string }

// NewSecret returns s as a Secret.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal returns the text itself.
func (s Secret) Reveal() string { return s.s }

func (s Secret) String() string {
	if s.s == "" {
		return ""
	}
	return "[redacted]"
}

// Format prints String for every verb: without it %d or %#v would reach into the struct.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText is also what encoding/json and log/slog use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
