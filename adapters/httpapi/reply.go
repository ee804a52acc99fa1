package httpapi

import (
	"bufio"
	"net/http"
	"strconv"
	"sync"

	json "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// writers buffer replies, so that a reply takes few writes. A reply larger than a buffer is never in memory
// as a whole: a page of a thousand long descriptions has up to 30 MB as JSON.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 32<<10) }}

// uncounted is the size up to which net/http sets Content-Length itself. It sends larger replies in chunks,
// which take more writes.
const uncounted = 2048

// writeJSON writes v as JSON. If it fails before the buffer is full, nothing has been sent.
func writeJSON(c echo.Context, status int, v any) error {
	w := writers.Get().(*bufio.Writer)
	defer writers.Put(w)
	r := c.Response()
	w.Reset(r)
	r.Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	r.Status = status // sent with the first write
	// No reply has duplicate names: searching for them would cost a sixth of the time of a list.
	if err := json.MarshalWrite(w, v, jsontext.AllowDuplicateNames(true)); err != nil {
		return err
	}
	if !r.Committed && w.Buffered() > uncounted {
		r.Header().Set(echo.HeaderContentLength, strconv.Itoa(w.Buffered()))
	}
	return w.Flush()
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

// writePage writes one page of a list.
func writePage[E positioned, N, P any](c echo.Context, list byte, fs fields[E, N, P], page domain.Page[E]) error {
	return writeJSON(c, http.StatusOK, struct {
		Data       rows[E, N, P] `json:"data"`
		Count      *int          `json:"count"`
		NextCursor *string       `json:"next_cursor"`
	}{rows[E, N, P]{fs, page.Rows}, total(page), nextCursor(list, page)})
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
	}
	return enc.WriteToken(jsontext.EndArray)
}
