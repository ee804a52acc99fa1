package domain

import (
	"fmt"
	"io"
)

// Optional is a value that may be absent; its zero value is. In a patch, Optional[Optional[T]]
// tells "leave it", "clear it" and "set it" apart. It is comparable when T is.
type Optional[T any] struct {
	value   T
	present bool
}

// Some returns an Optional that holds v.
func Some[T any](v T) Optional[T] { return Optional[T]{value: v, present: true} }

// Get returns the value and whether there is one.
func (o Optional[T]) Get() (T, bool) { return o.value, o.present }

// Or returns the value, or fallback when there is none.
func (o Optional[T]) Or(fallback T) T {
	if o.present {
		return o.value
	}
	return fallback
}

// Format prints the value, as the value itself wants to be printed: fmt would not ask it, and show
// what it hides.
func (o Optional[T]) Format(f fmt.State, verb rune) {
	if !o.present {
		_, _ = io.WriteString(f, "none")
		return
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), o.value)
}
