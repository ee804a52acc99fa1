package httpapi

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// field maps one JSON field of an entity E to package domain: replies show E, POST fills N, PATCH fills P.
type field[E, N, P any] struct {
	name   string
	show   func(*E) jsontext.Token // nil if no reply shows the field
	create func(*N, value)         // nil if clients cannot set the field
	change func(*P, value)         // nil if clients cannot change the field
}

// fields are the fields of an entity in the order of its replies. Which of them a request may hold is
// decided by the document.
type fields[E, N, P any] []field[E, N, P]

// readNew fills n from the body of a POST. It returns one 422 that names every fault of the request.
func (fs fields[E, N, P]) readNew(b *body, n *N) error {
	for _, f := range fs {
		if v, present := b.field(f.name); present && f.create != nil {
			f.create(n, v)
		}
	}
	return b.err()
}

// readPatch fills p from the body of a PATCH. It returns one 422 that names every fault of the request.
func (fs fields[E, N, P]) readPatch(b *body, p *P) error {
	for _, f := range fs {
		if v, present := b.field(f.name); present && f.change != nil {
			f.change(p, v)
		}
	}
	return b.err()
}

// writeTo writes e as a JSON object.
func (fs fields[E, N, P]) writeTo(enc *jsontext.Encoder, e *E) error {
	if err := enc.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for _, f := range fs {
		if f.show == nil {
			continue
		}
		if err := enc.WriteToken(jsontext.String(f.name)); err != nil {
			return err
		}
		if err := enc.WriteToken(f.show(e)); err != nil {
			return err
		}
	}
	return enc.WriteToken(jsontext.EndObject)
}

// textOrNull is null if o is absent.
func textOrNull[T fmt.Stringer](o domain.Optional[T]) jsontext.Token {
	v, ok := o.Get()
	if !ok {
		return jsontext.Null
	}
	return jsontext.String(v.String())
}

// timestamp is timestampText as JSON.
func timestamp(t time.Time) jsontext.Token { return jsontext.String(timestampText(t)) }

// timestampOrNull is null if o is absent.
func timestampOrNull(o domain.Optional[time.Time]) jsontext.Token {
	t, ok := o.Get()
	if !ok {
		return jsontext.Null
	}
	return timestamp(t)
}

// parseTime returns a time in RFC 3339 as UTC, in whole microseconds as every store keeps it. It refuses the zero
// time, which stands for an absent one.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	t = t.UTC().Truncate(time.Microsecond)
	if err != nil || t.IsZero() {
		return time.Time{}, errors.New("must be a time like 2026-11-24T09:30:00Z")
	}
	return t, nil
}

// timestampText is t in RFC 3339, in UTC and always to the microsecond, so that texts sort as times do.
func timestampText(t time.Time) string {
	t = t.UTC()
	text := t.AppendFormat(make([]byte, 0, len("2006-01-02T15:04:05.000000Z")), time.RFC3339) // the fastest layout
	micros := len(text) - len("Z")
	text = strconv.AppendInt(text[:micros], int64(1_000_000+t.Nanosecond()/1000), 10)
	text[micros] = '.' // in place of the 1, which has kept leading zeros
	return string(append(text, 'Z'))
}

// canonical returns an id in lower case, as the stores know it.
func canonical(id ID) string { return strings.ToLower(id) }
