package httpapi

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"
	"github.com/oapi-codegen/nullable"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	headerETag    = "ETag"
	headerIfMatch = "If-Match"
)

// timestamp is a time as the contract writes it: RFC 3339 in UTC, always to the microsecond, so
// that texts sort as times do.
type timestamp time.Time

// AppendText implements [encoding.TextAppender].
func (t timestamp) AppendText(b []byte) ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z"), nil
}

// MarshalText implements [encoding.TextMarshaler].
func (t timestamp) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *timestamp) UnmarshalText(b []byte) error { return (*time.Time)(t).UnmarshalText(b) }

// writers gather a reply into few writes and never hold all of it: a page of a thousand long
// descriptions has up to 30 MB as JSON.
var writers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, 32<<10) }}

func writeJSON(c echo.Context, status int, v any) error {
	w := writers.Get().(*bufio.Writer)
	defer writers.Put(w)
	w.Reset(c.Response())
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c.Response().WriteHeader(status)
	if err := json.MarshalWrite(w, v); err != nil {
		return err
	}
	return w.Flush()
}

// writeEntity writes one entity with its version as ETag.
func writeEntity(c echo.Context, status int, version int64, v any) error {
	c.Response().Header().Set(headerETag, `"`+strconv.FormatInt(version, 10)+`"`)
	return writeJSON(c, status, v)
}

// versionOf returns the version that If-Match asks for (RFC 9110 §13.1.1); none for * or when the
// header is absent. An ETag that is not ours matches no version. Of several, only the newest counts:
// a client that still allows an older one is refused with 412, and nothing is lost.
func versionOf(ifMatch *string) domain.Versions {
	if ifMatch == nil || strings.TrimSpace(*ifMatch) == "*" {
		return domain.Versions{}
	}
	newest := int64(-1)
	for tag := range strings.SplitSeq(*ifMatch, ",") {
		tag = strings.TrimSpace(tag)
		version, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
		if err == nil && tag == fmt.Sprintf(`"%d"`, version) {
			newest = max(newest, version)
		}
	}
	return domain.OnlyVersions(newest)
}

// canonical is an id as the stores know it.
func canonical(id ID) string { return strings.ToLower(id) }

// optional turns a generated pointer into the domain's word for it.
func optional[T any](p *T) domain.Optional[T] {
	if p == nil {
		return domain.Optional[T]{}
	}
	return domain.Some(*p)
}

// checkNullable parses a field that may be absent or null.
func checkNullable[T any](checks *domain.Checks, field string, raw nullable.Nullable[string], parse func(string) (T, error)) domain.Optional[domain.Optional[T]] {
	switch {
	case !raw.IsSpecified():
		return domain.Optional[domain.Optional[T]]{}
	case raw.IsNull():
		return domain.Some(domain.Optional[T]{})
	}
	return domain.Some(domain.Some(domain.Check(checks, field, raw.MustGet(), parse)))
}

// orNull turns optional text into a field of a reply, which is null when it is absent.
func orNull[T fmt.Stringer](o domain.Optional[T]) *string {
	v, ok := o.Get()
	if !ok {
		return nil
	}
	text := v.String()
	return &text
}
