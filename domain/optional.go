package domain

import (
	"fmt"
	"io"
)

// Optional is a value that may be absent. The zero Optional is absent. In a patch, Optional[Optional[T]]
// distinguishes three cases: leave the field, clear it, set it. An Optional is comparable if T is.
type Optional[T any] struct {
	value   T
	present bool
}

// Some returns an Optional that holds v.
func Some[T any](v T) Optional[T] { return Optional[T]{value: v, present: true} }

// Get returns the value and whether it is present.
func (o Optional[T]) Get() (value T, present bool) { return o.value, o.present }

// Or returns the value, or fallback if it is absent.
func (o Optional[T]) Or(fallback T) T {
	if o.present {
		return o.value
	}
	return fallback
}

// Format prints the value by its own Format or String method. Without this method, fmt would print the
// unexported field value as it is, and a [Password] would show.
func (o Optional[T]) Format(f fmt.State, verb rune) {
	if !o.present {
		_, _ = io.WriteString(f, "none")
		return
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), o.value)
}
