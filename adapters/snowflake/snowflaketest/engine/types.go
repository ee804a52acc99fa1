package engine

import (
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// dataType is the declared type of a column.
type dataType struct {
	name  string // in upper case
	size  int    // length of a VARCHAR (0 for any), precision of a NUMBER or TIMESTAMP_NTZ
	scale int    // of a NUMBER
}

// isKnown reports whether the engine checks values of t. Columns of any other type keep values
// unchanged.
func (t dataType) isKnown() bool {
	return slices.Contains([]string{"VARCHAR", "NUMBER", "BOOLEAN", "TIMESTAMP_NTZ"}, t.name) && t.scale == 0
}

// accepts reports whether v, which is not NULL, is a value of t.
func (t dataType) accepts(v any) bool {
	ok := true
	switch {
	case !t.isKnown():
	case t.name == "VARCHAR":
		_, ok = v.(string)
	case t.name == "NUMBER":
		_, ok = v.(int64)
	case t.name == "BOOLEAN":
		_, ok = v.(bool)
	case t.name == "TIMESTAMP_NTZ":
		_, ok = v.(time.Time)
	}
	return ok
}

// hold returns v, which t accepts, as a column of t keeps it. Errors: a text that is too long.
func (t dataType) hold(v any) (any, error) {
	switch v := v.(type) {
	case string:
		if t.name == "VARCHAR" && t.size > 0 && utf8.RuneCountInString(v) > t.size {
			return nil, &Error{100078, "22000", fmt.Sprintf("String is too long for %s(%d)", t.name, t.size)}
		}
	case time.Time:
		if t.name == "TIMESTAMP_NTZ" {
			unit := time.Second
			for range t.size {
				unit /= 10
			}
			return v.Truncate(unit), nil
		}
	}
	return v, nil
}
