package httpapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"
	"github.com/mvrilo/go-redoc"
	swagger "github.com/swaggest/swgui/v5/static"
)

// The content security policies of the pages. A page loads files of this service only, and no script
// inside a page runs. ReDoc needs 'unsafe-inline', because it writes styles into its page.
const (
	nothingElse = "; default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	indexPolicy = "script-src 'self'; style-src 'self'; img-src 'self'" + nothingElse
	docsPolicy  = "script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self'" + nothingElse
	redocPolicy = "script-src 'self'; connect-src 'self'; img-src 'self' data:;" +
		" style-src 'self' 'unsafe-inline'" + nothingElse
)

const (
	mimeHTML = echo.MIMETextHTMLCharsetUTF8
	mimeCSS  = "text/css; charset=utf-8"
	mimeJS   = "text/javascript; charset=utf-8"
	mimeSVG  = "image/svg+xml"
)

// asset is a file that every client gets unchanged.
type asset struct {
	path      string
	mediaType string
	content   func() []byte
	gzipped   bool   // whether content is compressed
	policy    string // replaces the Content-Security-Policy of all other replies
}

// registerPages registers the pages, the files that they load, and the API document. No link names a
// host, so the pages work behind a gateway under any host name.
func (s *Server) registerPages(open *openRoutes) error {
	var failed error
	read := func(fsys fs.FS, name string) []byte {
		content, err := fs.ReadFile(fsys, name)
		failed = errors.Join(failed, err)
		return content
	}
	as := func(content []byte) func() []byte { return func() []byte { return content } }
	file := func(fsys fs.FS, name string) func() []byte { return as(read(fsys, name)) }
	// Not html/template: it calls methods by name. The linker would have to keep all methods of all
	// types, which makes the binary 11.7 MB larger.
	fill := strings.NewReplacer(
		"{{name}}", html.EscapeString(s.Name),
		"{{version}}", html.EscapeString(s.Version),
		"{{storage}}", html.EscapeString(s.Storage),
		"{{prefix}}", html.EscapeString(s.Prefix))
	page := func(name string) func() []byte { return as([]byte(fill.Replace(string(read(s.Pages, name))))) }

	docs, reference := s.Prefix+"/docs", s.Prefix+"/redoc"
	for _, a := range []asset{
		{path: "/", mediaType: mimeHTML, content: page("index.html"), policy: indexPolicy},
		{path: "/static/style.css", mediaType: mimeCSS, content: file(s.Pages, "style.css")},
		{path: "/static/index.js", mediaType: mimeJS, content: file(s.Pages, "index.js")},
		{path: "/static/tool.css", mediaType: mimeCSS, content: file(s.Pages, "tool.css")},
		{path: "/static/favicon.svg", mediaType: mimeSVG, content: file(s.Pages, "favicon.svg")},
		{path: s.Prefix + "/openapi.json", mediaType: echo.MIMEApplicationJSON, content: as(s.contract.json)},
		{path: docs, mediaType: mimeHTML, content: page("docs.html"), policy: docsPolicy},
		{path: docs + "/docs.js", mediaType: mimeJS, content: file(s.Pages, "docs.js")},
		{path: docs + "/swagger-ui.css", mediaType: mimeCSS,
			content: file(swagger.FS, "swagger-ui.css.gz"), gzipped: true},
		{path: docs + "/swagger-ui-bundle.js", mediaType: mimeJS,
			content: file(swagger.FS, "swagger-ui-bundle.js.gz"), gzipped: true},
		{path: reference, mediaType: mimeHTML, content: page("redoc.html"), policy: redocPolicy},
		{path: reference + "/redoc.js", mediaType: mimeJS, content: file(s.Pages, "redoc.js")},
		{path: reference + "/redoc.standalone.js", mediaType: mimeJS, content: redocScript, gzipped: true},
	} {
		open.GET(a.path, a.handler())
	}
	return failed
}

// redocScript returns ReDoc's script, compressed. The first call compresses it, which takes about 10 ms
// for this megabyte.
var redocScript = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	// No error is possible: the level is valid, and writing to a buffer never fails.
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = io.WriteString(w, redoc.JavaScript)
	_ = w.Close()
	return b.Bytes()
})

func (a asset) handler() echo.HandlerFunc {
	// The tag is weak, because the compressed and the plain reply share it (RFC 9110 §8.8.1).
	etagOf := sync.OnceValue(func() string { return fmt.Sprintf(`W/"%x"`, sha256.Sum256(a.content())) })
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		h.Set(echo.HeaderCacheControl, "no-cache") // browsers keep it and revalidate it
		etag := etagOf()
		h.Set(headerETag, etag)
		if a.policy != "" {
			h.Set(echo.HeaderContentSecurityPolicy, a.policy)
		}
		if a.gzipped {
			h.Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
		}
		if strings.Contains(r.Header.Get("If-None-Match"), etag) {
			return c.NoContent(http.StatusNotModified)
		}
		content := a.content()
		switch {
		case !a.gzipped:
		case acceptsGzip(r):
			h.Set(echo.HeaderContentEncoding, "gzip")
		default:
			var err error
			if content, err = gunzip(content); err != nil {
				return err
			}
		}
		h.Set(echo.HeaderContentLength, strconv.Itoa(len(content)))
		return c.Blob(http.StatusOK, a.mediaType, content)
	}
}

// acceptsGzip reports whether Accept-Encoding names gzip without a weight. It treats gzip with a weight
// as not accepted, because a plain reply is always correct.
func acceptsGzip(r *http.Request) bool {
	codings := strings.Split(strings.Join(r.Header.Values(echo.HeaderAcceptEncoding), ","), ",")
	return slices.ContainsFunc(codings, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), "gzip") })
}

func gunzip(content []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}
