package httpapi

import (
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"
)

// Limits of a request, in bytes.
const (
	maxBody    = 64 << 10
	maxHeaders = 16 << 10
	maxTarget  = 8 << 10
)

const bodyKey = "validated body"

// readBody reads and decodes the request's body, which must be of a media type that content names,
// and returns it as JSON values together with its schema.
func readBody(c echo.Context, content openapi3.Content) (any, *openapi3.Schema, error) {
	r := c.Request()
	mediaType, params, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType))
	media := content[mediaType]
	if charset := params["charset"]; err != nil || media == nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		wanted := strings.Join(slices.Sorted(maps.Keys(content)), " or ")
		return nil, nil, failure(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must be "+wanted+" in UTF-8")
	}
	if coding := r.Header.Get(echo.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, nil, failure(http.StatusUnsupportedMediaType, "unsupported_media_type", "the body must not be compressed")
	}
	if r.ContentLength > maxBody {
		return nil, nil, errTooLarge
	}
	raw, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxBody))
	if err != nil {
		return nil, nil, bodyError(err)
	}
	decode := decodeJSON
	if mediaType == echo.MIMEApplicationForm {
		decode = decodeForm
	}
	value, err := decode(raw)
	return value, media.Schema.Value, err
}

var errTooLarge = failure(http.StatusRequestEntityTooLarge, "too_large", "the body has more than 64 KiB")

func bodyError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return failure(http.StatusRequestTimeout, "timeout", "the body did not arrive in time")
	}
	return malformed("the body ended early")
}

// decodeJSON is strict where encoding/json is not (RFC 7493): one document, no duplicate names,
// valid UTF-8, no lone surrogates.
func decodeJSON(raw []byte) (any, error) {
	if len(raw) == 0 {
		return nil, malformed("the body is empty")
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, malformed("the body must be one JSON document in valid UTF-8, without duplicate names or numbers too large to read")
	}
	return v, nil
}

// decodeForm reads a form in which each field stands once. A field without a value is taken as
// left out (RFC 6749 §3.2).
func decodeForm(raw []byte) (any, error) {
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, malformed("the body is not a urlencoded form")
	}
	fields := make(map[string]any, len(form))
	for name, values := range form {
		if len(values) > 1 || !utf8.ValidString(name) || !utf8.ValidString(values[0]) {
			return nil, malformed("each form field must be given only once, in valid UTF-8")
		}
		if values[0] != "" {
			fields[name] = values[0]
		}
	}
	return fields, nil
}

// bodyOf returns the body as its generated type. It is made from the value that was validated,
// never from the raw bytes: two readers of the same bytes could disagree.
func bodyOf[T any](c echo.Context) (T, error) {
	var body T
	raw, err := json.Marshal(c.Get(bodyKey))
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	return body, err
}
