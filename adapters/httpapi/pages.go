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

// What a page may load (CSP): nothing from elsewhere, and no script that is written into it. Only
// ReDoc also writes styles into its page.
const (
	nothingElse = "; default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	indexPolicy = "style-src 'self'; img-src 'self'" + nothingElse
	docsPolicy  = "script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self'" + nothingElse
	redocPolicy = "script-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'" + nothingElse
)

const (
	mimeHTML = echo.MIMETextHTMLCharsetUTF8
	mimeCSS  = "text/css; charset=utf-8"
	mimeJS   = "text/javascript; charset=utf-8"
	mimeSVG  = "image/svg+xml"
)

// asset is an answer that is the same for everybody.
type asset struct {
	path      string
	mediaType string
	content   func() []byte
	gzipped   bool   // content is
	policy    string // in place of the Content-Security-Policy that every reply has
}

// registerPages serves the pages, all that they load, and the document. The names of their files
// are relative to the pages, so that these work behind a gateway under any host name.
func (s *Server) registerPages(open *openRoutes) error {
	var failed error
	read := func(fsys fs.FS, name string) []byte {
		content, err := fs.ReadFile(fsys, name)
		failed = errors.Join(failed, err)
		return content
	}
	as := func(content []byte) func() []byte { return func() []byte { return content } }
	file := func(fsys fs.FS, name string) func() []byte { return as(read(fsys, name)) }
	// Not html/template: it calls methods by name, for which the linker has to keep all methods of
	// all types (11.7 MB).
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
		{path: "/static/tool.css", mediaType: mimeCSS, content: file(s.Pages, "tool.css")},
		{path: "/static/favicon.svg", mediaType: mimeSVG, content: file(s.Pages, "favicon.svg")},
		{path: s.Prefix + "/openapi.json", mediaType: echo.MIMEApplicationJSON, content: as(s.contract.json)},
		{path: docs, mediaType: mimeHTML, content: page("docs.html"), policy: docsPolicy},
		{path: docs + "/docs.js", mediaType: mimeJS, content: file(s.Pages, "docs.js")},
		{path: docs + "/swagger-ui.css", mediaType: mimeCSS, content: file(swagger.FS, "swagger-ui.css.gz"), gzipped: true},
		{path: docs + "/swagger-ui-bundle.js", mediaType: mimeJS, content: file(swagger.FS, "swagger-ui-bundle.js.gz"), gzipped: true},
		{path: reference, mediaType: mimeHTML, content: page("redoc.html"), policy: redocPolicy},
		{path: reference + "/redoc.js", mediaType: mimeJS, content: file(s.Pages, "redoc.js")},
		{path: reference + "/redoc.standalone.js", mediaType: mimeJS, content: redocScript, gzipped: true},
	} {
		open.GET(a.path, a.handler())
	}
	return failed
}

// redocScript is compressed when somebody first asks for it: a megabyte takes about 10 ms.
var redocScript = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	// The level exists and a buffer takes everything: nothing here can fail.
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	_, _ = io.WriteString(w, redoc.JavaScript)
	_ = w.Close()
	return b.Bytes()
})

func (a asset) handler() echo.HandlerFunc {
	// Weak, for it is the same whether the content is sent compressed or not (RFC 9110 §8.8.1).
	etagOf := sync.OnceValue(func() string { return fmt.Sprintf(`W/"%x"`, sha256.Sum256(a.content())) })
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		h.Set(echo.HeaderCacheControl, "no-cache") // keep it, and ask whether it is still this one
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

// acceptsGzip takes a gzip with a weight for a no: to send it plain is always right.
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
