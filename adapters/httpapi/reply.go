package httpapi

import (
	"fmt"
	"net/http"
	"slices"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// maxPage is the largest page in bytes. A slow client holds it in memory.
const maxPage = 8 << 20

// unchecked omits the search for duplicate names, which no reply has: it would cost a sixth of the time of a list.
var unchecked = jsontext.AllowDuplicateNames(true)

// writeJSON writes a small v as JSON: one entity has at most 33 KB. It needs no place in the memory of replies,
// because a change that took effect must be answered so, even if none is left.
func writeJSON(c echo.Context, status int, v any) error {
	raw, err := json.Marshal(v, unchecked)
	if err != nil {
		return err
	}
	return sendBody(c, status, echo.MIMEApplicationJSON, len(raw), slices.Values([][]byte{raw}))
}

// writeEntity writes one entity, with its version as ETag.
func writeEntity[E, N, P any](c echo.Context, status int, fs fields[E, N, P], version int64, e E) error {
	c.Response().Header().Set(headerETag, etag(version))
	return writeJSON(c, status, object[E, N, P]{fs, &e})
}

// object is an entity as JSON.
type object[E, N, P any] struct {
	fields fields[E, N, P]
	entity *E
}

// MarshalJSONTo implements [json.MarshalerTo].
func (o object[E, N, P]) MarshalJSONTo(enc *jsontext.Encoder) error {
	return o.fields.writeTo(enc, o.entity)
}

// writePage writes one page of a list, compressed if the client accepts that. Single entities are never
// compressed: their strong ETags would name two different texts (RFC 9110 §8.8.1).
func writePage[E positioned, N, P any](
	s *Server, c echo.Context, list byte, fs fields[E, N, P], page domain.Page[E],
) error {
	b := s.newBuffer(c)
	defer b.free()
	if err := json.MarshalWrite(b, struct {
		Data       rows[E, N, P] `json:"data"`
		Count      *int          `json:"count"`
		NextCursor *string       `json:"next_cursor"`
	}{rows[E, N, P]{fs, page.Rows}, total(page), nextCursor(list, page)}, unchecked); err != nil {
		return err
	}
	h := c.Response().Header()
	h.Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
	if b.size >= compressible && acceptsGzip(c.Request()) {
		if err := b.compress(); err != nil {
			return err
		}
		h.Set(echo.HeaderContentEncoding, "gzip")
	}
	return b.send(c, http.StatusOK, echo.MIMEApplicationJSON)
}

// rows are the entities of a page as JSON.
type rows[E, N, P any] struct {
	fields   fields[E, N, P]
	entities []E
}

// MarshalJSONTo implements [json.MarshalerTo].
func (r rows[E, N, P]) MarshalJSONTo(enc *jsontext.Encoder) error {
	if err := enc.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for i := range r.entities {
		if err := r.fields.writeTo(enc, &r.entities[i]); err != nil {
			return err
		}
		const end = 256 // enough for count and next_cursor
		if enc.OutputOffset() > maxPage-end {
			return pageTooLarge(i)
		}
	}
	return enc.WriteToken(jsontext.EndArray)
}

// pageTooLarge returns the error for a page of which the first n rows fit. The client does not get a shorter
// page instead: one that adds limit to skip would lose rows.
func pageTooLarge(n int) error {
	return &httpError{
		status: http.StatusUnprocessableEntity, code: "page_too_large",
		detail: fmt.Sprintf("this page has more than 8 MiB: limit=%d fits", n),
		fields: []FieldError{{"query.limit", fmt.Sprintf("must be at most %d for this page", n)}},
	}
}
