package config

import (
	"fmt"
	"io"
)

// Secret is a text that only Reveal returns. Printing or marshalling it gives "[redacted]", or the
// empty text if it is empty. The zero Secret is empty.
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

// Format prints String for every verb. Without it, %d or %#v would print the field.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns String. encoding/json and log/slog use it, too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
