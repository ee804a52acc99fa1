package httpapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Limits of a request, in bytes.
const (
	maxBody    = 64 << 10
	maxForm    = 4 << 10 // anyone can send one, without signing in
	maxHeaders = 16 << 10
	maxTarget  = 8 << 10
)

// body is the body of a request after its one decoding. Its shape has been checked against the document.
// Handlers parse its fields with package domain and then call err.
type body struct {
	fields map[string]any // nil if the body is not an object
	faults []FieldError   // of the parameters, of the shape, and of the meaning of fields
}

// err returns one 422 that names every fault, or nil.
func (b *body) err() error {
	if len(b.faults) == 0 {
		return nil
	}
	return invalid(b.faults...)
}

// require is err, but first it notes as faults which of these fields are absent.
func (b *body) require(names ...string) error {
	for _, name := range names {
		if v, present := b.field(name); !present {
			v.fault(errMissing)
		}
	}
	return b.err()
}

// errMissing is the fault of a field that is required and absent.
var errMissing = errors.New("is missing")

// field returns the field of that name, and false if it is absent.
func (b *body) field(name string) (value, bool) {
	raw, present := b.fields[name]
	return value{name, raw, b}, present
}

// text returns a string that has no rules of its own, and "" if the field is absent.
func (b *body) text(name string) string {
	s, _ := b.fields[name].(string)
	return s
}

// value is a field of a body.
type value struct {
	name string
	raw  any // nil if the field is null
	body *body
}

// parse returns what parser makes of a string. The body notes an error of parser as a fault. A value that is
// no string is the zero T: the check of the shape has noted it.
func parse[T any](v value, parser func(string) (T, error)) T {
	s, ok := v.raw.(string)
	if !ok {
		var zero T
		return zero
	}
	parsed, err := parser(s)
	if err != nil {
		v.fault(err)
	}
	return parsed
}

// fault notes an error unless the body has a fault at this field: the meaning of an unknown field says nothing.
func (v value) fault(err error) {
	f := FieldError{"body." + v.name, err.Error()}
	if !slices.ContainsFunc(v.body.faults, func(g FieldError) bool { return g.Location == f.Location }) {
		v.body.faults = append(v.body.faults, f)
	}
}

// parseOrNull is parse for a field that may be null.
func parseOrNull[T any](v value, parser func(string) (T, error)) domain.Optional[T] {
	if v.raw == nil {
		return domain.Optional[T]{}
	}
	return domain.Some(parse(v, parser))
}

func (v value) bool() bool {
	b, _ := v.raw.(bool)
	return b
}

// readBody reads and decodes the request's body, which must have the given media type. An object becomes a
// map[string]any.
func readBody(c echo.Context, mediaType string) (any, error) {
	r := c.Request()
	got, params, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	if err != nil || got != mediaType || !isUTF8(params["charset"]) {
		return nil, unsupportedMediaType("the body must be " + mediaType + " in UTF-8")
	}
	coding := r.Header.Get(echo.HeaderContentEncoding)
	if coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, unsupportedMediaType("the body must not be compressed")
	}
	var limit int64 = maxBody
	if mediaType == echo.MIMEApplicationForm {
		limit = maxForm
	}
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, limit))
	if err != nil {
		return nil, bodyError(err)
	}
	if mediaType == echo.MIMEApplicationForm {
		return decodeForm(raw)
	}
	return decodeJSON(raw)
}

// isUTF8 reports whether charset is absent or UTF-8. Clients also write utf8 and utf_8.
func isUTF8(charset string) bool {
	return charset == "" || strings.EqualFold(strings.NewReplacer("-", "", "_", "").Replace(charset), "utf8")
}

func unsupportedMediaType(detail string) error {
	return failure(http.StatusUnsupportedMediaType, "unsupported_media_type", detail)
}

func tooLarge(limit int64) error {
	return failure(http.StatusRequestEntityTooLarge,
		"too_large", fmt.Sprintf("the body has more than %d KiB", limit>>10))
}

// bodyError translates an error from reading a body.
func bodyError(err error) error {
	var exceeded *http.MaxBytesError
	switch {
	case errors.As(err, &exceeded):
		return tooLarge(exceeded.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failure(http.StatusRequestTimeout, "timeout", "the body did not arrive in time")
	}
	return malformed("the body ended early")
}

// decodeJSON decodes one document. It refuses what encoding/json accepts and RFC 7493 forbids: duplicate
// names, invalid UTF-8 and lone surrogates.
func decodeJSON(raw []byte) (any, error) {
	if len(raw) == 0 {
		return nil, malformed("the body is empty")
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, malformed("the body must be one JSON document in valid UTF-8, " +
			"without duplicate names or numbers too large to read")
	}
	return v, nil
}

// decodeForm decodes a form. It refuses a repeated field. It omits a field without a value. The reader of the
// form ignores fields that it does not know (RFC 6749 §3.2).
func decodeForm(raw []byte) (any, error) {
	errNoForm := malformed("the body is not a urlencoded form")
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, errNoForm
	}
	fields := make(map[string]any, len(form))
	for name, values := range form {
		// Such a name is the beginning of a JSON or XML document that was sent as a form.
		if strings.ContainsAny(name, `{"<`) {
			return nil, errNoForm
		}
		if len(values) > 1 || !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, malformed("each form field must be given only once, in valid UTF-8")
		}
		if values[0] != "" {
			fields[name] = values[0]
		}
	}
	return fields, nil
}

// maxDrain limits how long a body that no handler reads may take.
const maxDrain = 500 * time.Millisecond

// limitDrain prepares the reply to a request whose body no handler reads. net/http reads the rest of the body
// before it sends the reply: otherwise the client would see a reset connection instead of the reply. A client
// that does not send it must not hold its connection for long.
func limitDrain(c echo.Context) {
	if c.Request().ContentLength != 0 {
		// Only the response writer of a test returns an error here.
		_ = http.NewResponseController(c.Response()).SetReadDeadline(time.Now().Add(maxDrain))
	}
}
