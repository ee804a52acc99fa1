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
	mediaType string
	encodings func() (encodings, error)
	policy    string // replaces the Content-Security-Policy of all other replies
}

// encodings are the two forms of an asset. They are made once, at the first request, so that no request costs
// more than the bytes that it sends.
type encodings struct {
	plain   []byte
	gzipped []byte // nil if the asset is too small
	etag    string // weak, because both forms share it (RFC 9110 §8.8.1)
}

// plainAsset returns the encodings of a file.
func plainAsset(content []byte) func() (encodings, error) {
	return sync.OnceValues(func() (encodings, error) {
		e := encodings{plain: content, etag: weakTag(content)}
		if len(content) < compressible {
			return e, nil
		}
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write(content)
		err = errors.Join(err, w.Close())
		e.gzipped = b.Bytes()
		return e, err
	})
}

// gzippedAsset returns the encodings of a file that is embedded in compressed form.
func gzippedAsset(content []byte) func() (encodings, error) {
	return sync.OnceValues(func() (encodings, error) {
		r, err := gzip.NewReader(bytes.NewReader(content))
		if err != nil {
			return encodings{}, err
		}
		plain, err := io.ReadAll(r)
		return encodings{plain, content, weakTag(content)}, err
	})
}

func weakTag(content []byte) string { return fmt.Sprintf(`W/"%x"`, sha256.Sum256(content)) }

// registerPages registers the pages, the files that they load, and the API document. Every address in them is
// relative, so they work behind a gateway under any host name and path.
func (s *Server) registerPages(open *openRoutes) error {
	var failed error
	read := func(fsys fs.FS, name string) []byte {
		content, err := fs.ReadFile(fsys, name)
		failed = errors.Join(failed, err)
		return content
	}
	file := func(name string) func() (encodings, error) { return plainAsset(read(s.Pages, name)) }
	page := func(name, folder string) func() (encodings, error) {
		return plainAsset([]byte(s.fill(string(read(s.Pages, name)), folder)))
	}
	library := func(name string) func() (encodings, error) { return gzippedAsset(read(swagger.FS, name)) }

	add := func(path, mediaType string, e func() (encodings, error), policy string) {
		open.GET(path, asset{mediaType, e, policy}.handler())
	}
	folders := s.folders()
	for _, folder := range folders {
		add(folder+"/", mimeHTML, page("index.html", folder), indexPolicy)
		add(folder+"/static/style.css", mimeCSS, file("style.css"), "")
		add(folder+"/static/index.js", mimeJS, file("index.js"), "")
		add(folder+"/static/tool.css", mimeCSS, file("tool.css"), "")
		add(folder+"/static/favicon.svg", mimeSVG, file("favicon.svg"), "")
	}
	nearest := folders[len(folders)-1]
	docs, reference := s.Prefix+"/docs", s.Prefix+"/redoc"
	add(s.Prefix+"/openapi.json", echo.MIMEApplicationJSON, plainAsset(s.contract.json), "")
	add(docs, mimeHTML, page("docs.html", nearest), docsPolicy)
	add(docs+"/docs.js", mimeJS, file("docs.js"), "")
	add(docs+"/swagger-ui.css", mimeCSS, library("swagger-ui.css.gz"), "")
	add(docs+"/swagger-ui-bundle.js", mimeJS, library("swagger-ui-bundle.js.gz"), "")
	add(reference, mimeHTML, page("redoc.html", nearest), redocPolicy)
	add(reference+"/redoc.js", mimeJS, file("redoc.js"), "")
	add(reference+"/redoc.standalone.js", mimeJS, redocScript, "")
	return failed
}

// redocScript returns the encodings of ReDoc's script, which all servers of a process share.
var redocScript = sync.OnceValues(func() (encodings, error) {
	return plainAsset([]byte(redoc.JavaScript))()
})

// folders returns where the start page, its files and the probes are: at the root, and if the prefix is a folder
// and /api/v1, in that folder. A gateway that serves the API there without changing paths then serves them too.
func (s *Server) folders() []string {
	if folder, found := strings.CutSuffix(s.Prefix, "/api/v1"); found && folder != "" {
		return []string{"", folder}
	}
	return []string{""}
}

// fill replaces the placeholders of a page. folder is where the files are that the page loads.
//
// It is not html/template, which calls methods by name: the linker would have to keep all methods of all types,
// which makes the binary 11.7 MB larger.
func (s *Server) fill(page, folder string) string {
	prefix := strings.TrimPrefix(s.Prefix, folder)
	snowflake := "hidden"
	if s.SnowflakeSignIn {
		snowflake = ""
	}
	return strings.NewReplacer(
		"{{name}}", html.EscapeString(s.Name),
		"{{version}}", html.EscapeString(s.Version),
		"{{storage}}", html.EscapeString(s.Storage),
		"{{prefix}}", html.EscapeString(prefix), // as seen from the start page in the folder
		"{{snowflake}}", snowflake, // the attribute of what offers to sign in with Snowflake
		"{{root}}", strings.Repeat("../", strings.Count(prefix, "/")), // the folder, as seen from /docs and /redoc
	).Replace(page)
}

func (a asset) handler() echo.HandlerFunc {
	return func(c echo.Context) error {
		e, err := a.encodings()
		if err != nil {
			return err
		}
		r, h := c.Request(), c.Response().Header()
		h.Set(echo.HeaderCacheControl, "no-cache") // browsers keep it and revalidate it
		h.Set(headerETag, e.etag)
		if a.policy != "" {
			h.Set(echo.HeaderContentSecurityPolicy, a.policy)
		}
		if e.gzipped != nil {
			h.Add(echo.HeaderVary, echo.HeaderAcceptEncoding)
		}
		if strings.Contains(r.Header.Get("If-None-Match"), e.etag) {
			return c.NoContent(http.StatusNotModified)
		}
		content := e.plain
		if e.gzipped != nil && acceptsGzip(r) {
			content = e.gzipped
			h.Set(echo.HeaderContentEncoding, "gzip")
		}
		return sendBody(c, http.StatusOK, a.mediaType, len(content), slices.Chunk(content, pieceSize))
	}
}

// acceptsGzip reports whether the client prefers gzip to no compression (RFC 9110 §12.5.3).
func acceptsGzip(r *http.Request) bool {
	weights := map[string]float64{}
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values(echo.HeaderAcceptEncoding), ","), ",") {
		name, parameter, weighted := strings.Cut(coding, ";")
		weight := 1.0
		if weighted {
			q := strings.TrimSpace(parameter)
			parsed, err := strconv.ParseFloat(strings.TrimPrefix(strings.ToLower(q), "q="), 64)
			if err != nil {
				continue
			}
			weight = parsed
		}
		weights[strings.ToLower(strings.TrimSpace(name))] = weight
	}
	if w, named := weights["x-gzip"]; named {
		weights["gzip"] = max(weights["gzip"], w)
	}
	gzip, named := weights["gzip"]
	if !named {
		gzip = weights["*"]
	}
	return gzip > 0 && gzip >= weights["identity"]
}
