package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/static"
)

const hostile = `"Snow" & <script>alert(1)</script>`

// newPages returns a Server that serves only pages. It has no use cases.
func newPages(t *testing.T, changes ...func(*Options)) *Server {
	o := Options{
		Docs: true,
		Log:  zap.NewNop(), Pages: static.Files,
		Name: hostile, Version: "1.2.3<i>", Storage: "mem&ory", Prefix: "/v9", RequestTimeout: time.Second,
	}
	for _, change := range changes {
		change(&o)
	}
	s, err := New(o)
	require.NoError(t, err)
	s.SetState(Ready)
	return s
}

// wantedAssets are all files that a page can load. An empty policy means the policy of all other replies.
var wantedAssets = map[string]struct{ mediaType, policy string }{
	"/":                             {"text/html; charset=UTF-8", indexPolicy},
	"/static/style.css":             {"text/css; charset=utf-8", ""},
	"/static/index.js":              {"text/javascript; charset=utf-8", ""},
	"/static/tool.css":              {"text/css; charset=utf-8", ""},
	"/static/favicon.svg":           {"image/svg+xml", ""},
	"/v9/openapi.json":              {"application/json", ""},
	"/v9/docs":                      {"text/html; charset=UTF-8", docsPolicy},
	"/v9/docs/docs.js":              {"text/javascript; charset=utf-8", ""},
	"/v9/docs/swagger-ui.css":       {"text/css; charset=utf-8", ""},
	"/v9/docs/swagger-ui-bundle.js": {"text/javascript; charset=utf-8", ""},
	"/v9/redoc":                     {"text/html; charset=UTF-8", redocPolicy},
	"/v9/redoc/redoc.js":            {"text/javascript; charset=utf-8", ""},
	"/v9/redoc/redoc.standalone.js": {"text/javascript; charset=utf-8", ""},
}

func TestEveryPageAndAssetHasItsMediaTypeAndPolicy(t *testing.T) {
	s := newPages(t)
	for target, wanted := range wantedAssets {
		t.Run(target, func(t *testing.T) {
			w := send(s, http.MethodGet, target, nil)
			require.Equal(t, http.StatusOK, w.Code)
			assert.Equal(t, wanted.mediaType, w.Header().Get(echo.HeaderContentType))
			assert.Equal(t, "nosniff", w.Header().Get(echo.HeaderXContentTypeOptions))
			policy := wanted.policy
			if policy == "" {
				policy = "default-src 'none'; frame-ancestors 'none'"
			}
			assert.Equal(t, policy, w.Header().Get(echo.HeaderContentSecurityPolicy))
		})
	}
}

func TestAPageLoadsOnlyOwnFilesAndRunsNoInlineScript(t *testing.T) {
	for _, policy := range []string{indexPolicy, docsPolicy, redocPolicy} {
		allowed := map[string]string{}
		for directive := range strings.SplitSeq(policy, "; ") {
			name, sources, _ := strings.Cut(directive, " ")
			allowed[name] = sources
		}
		for _, none := range []string{"default-src", "frame-ancestors", "base-uri", "form-action"} {
			assert.Equal(t, "'none'", allowed[none], "%s in %s", none, policy)
			delete(allowed, none)
		}
		for name, sources := range allowed {
			switch name {
			case "img-src":
				sources = strings.TrimSuffix(sources, " data:")
			case "style-src":
				sources = strings.TrimSuffix(sources, " 'unsafe-inline'")
			}
			assert.Equal(t, "'self'", sources, "%s in %s", name, policy)
		}
	}
}

func TestHEADDescribesThePageThatGETSends(t *testing.T) {
	s := newPages(t)
	for target := range wantedAssets {
		get, head := send(s, http.MethodGet, target, nil), send(s, http.MethodHead, target, nil)
		get.Header().Del(echo.HeaderXRequestID)
		head.Header().Del(echo.HeaderXRequestID)
		assert.Equal(t, get.Code, head.Code, target)
		assert.Equal(t, get.Header(), head.Header(), target)
	}
}

func TestALibraryIsCompressedOnlyForClientsThatAcceptGzip(t *testing.T) {
	s := newPages(t)
	for _, target := range []string{
		"/v9/docs/swagger-ui.css", "/v9/docs/swagger-ui-bundle.js", "/v9/redoc/redoc.standalone.js",
	} {
		t.Run(target, func(t *testing.T) {
			plain := send(s, http.MethodGet, target, nil)
			assert.Empty(t, plain.Header().Get(echo.HeaderContentEncoding))
			for _, accepted := range []string{"gzip", "deflate, GZIP, br", "gzip;q=0.5", "x-gzip", "*", "br, *;q=0.1", "gzip;q=0.5, identity;q=0.1"} {
				w := send(s, http.MethodGet, target, nil, echo.HeaderAcceptEncoding, accepted)
				assert.Equal(t, "gzip", w.Header().Get(echo.HeaderContentEncoding))
				r, err := gzip.NewReader(w.Body)
				require.NoError(t, err)
				unpacked, err := io.ReadAll(r)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(plain.Body.Bytes(), unpacked), "compressed and plain must be the same file")
			}
			for _, refused := range []string{"", "br", "gzip;q=0", "gzip; q=0.0", "identity", "*;q=0", "gzip;q=0, *", "gzip;q=0.5, identity", "gzip;q=x", "gzip;q=NaN"} {
				w := send(s, http.MethodGet, target, nil, echo.HeaderAcceptEncoding, refused)
				assert.Empty(t, w.Header().Get(echo.HeaderContentEncoding), refused)
				assert.Equal(t, echo.HeaderAcceptEncoding, w.Header().Get(echo.HeaderVary), "a cache must keep the two apart")
			}
		})
	}
}

func TestAPageThatABrowserHasCachedIsNotSentAgain(t *testing.T) {
	s := newPages(t)
	for target, wanted := range wantedAssets {
		first := send(s, http.MethodGet, target, nil)
		etag := first.Header().Get(headerETag)
		require.NotEmpty(t, etag, target)
		assert.Equal(t, "no-cache", first.Header().Get(echo.HeaderCacheControl), target)

		for _, match := range []string{etag, `"other", ` + etag} {
			again := send(s, http.MethodGet, target, nil, "If-None-Match", match)
			assert.Equal(t, http.StatusNotModified, again.Code, target)
			assert.Empty(t, again.Body.Bytes(), target)
			if wanted.policy != "" {
				assert.Equal(t, wanted.policy, again.Header().Get(echo.HeaderContentSecurityPolicy), target)
			}
		}
		assert.Equal(t, http.StatusOK, send(s, http.MethodGet, target, nil, "If-None-Match", `W/"other"`).Code, target)
	}
}

func TestPagesEscapeTheNameOfTheService(t *testing.T) {
	s := newPages(t)
	for target, wanted := range wantedAssets {
		if wanted.policy == "" {
			continue
		}
		body := send(s, http.MethodGet, target, nil).Body.String()
		assert.Contains(t, body, "&#34;Snow&#34; &amp; &lt;script&gt;alert(1)&lt;/script&gt;", target)
		assert.NotContains(t, body, hostile, target)
		assert.NotContains(t, body, "{{", target)
	}
	index := send(s, http.MethodGet, "/", nil).Body.String()
	assert.Contains(t, index, "1.2.3&lt;i&gt;")
	assert.Contains(t, index, "mem&amp;ory")
}

func TestPagesOfferToSignInWithSnowflakeIfItIsOn(t *testing.T) {
	for on, hidden := range map[bool]string{true: "", false: "hidden"} {
		s := newPages(t, func(o *Options) { o.SnowflakeSignIn = on })
		assert.Contains(t, send(s, http.MethodGet, "/", nil).Body.String(), `<li class="whole" `+hidden+`>`)
		assert.Contains(t, send(s, http.MethodGet, "/v9/docs", nil).Body.String(), `<div id="snowflake" class="swagger-ui" `+hidden+`>`)
	}
}

var reference = regexp.MustCompile(`(?:href|src)="([^"]*)"`)

func TestEveryLinkOfAPageLeadsSomewhere(t *testing.T) {
	s := newPages(t)
	for target, wanted := range wantedAssets {
		if wanted.policy == "" {
			continue
		}
		references := reference.FindAllStringSubmatch(send(s, http.MethodGet, target, nil).Body.String(), -1)
		require.NotEmpty(t, references, target)
		for _, r := range references {
			to := r[1]
			if !strings.HasPrefix(to, "/") {
				to = path.Join(path.Dir(target), to)
			}
			assert.Equal(t, http.StatusOK, send(s, http.MethodGet, to, nil).Code, "%s refers to %s", target, r[1])
		}
	}
}

func TestThePublishedDocumentNamesTheServiceAndNoPath(t *testing.T) {
	var published struct {
		Info    struct{ Title string }
		Servers []struct{ URL string }
		Paths   map[string]any
	}
	require.NoError(t, json.Unmarshal(send(newPages(t), http.MethodGet, "/v9/openapi.json", nil).Body.Bytes(), &published))
	assert.Equal(t, hostile, published.Info.Title)
	require.Len(t, published.Servers, 1)
	assert.Equal(t, ".", published.Servers[0].URL, "relative to the address of the document")
	assert.Contains(t, published.Paths, "/items/")
}

func TestAServerWithoutItsPagesDoesNotStart(t *testing.T) {
	_, err := New(Options{Docs: true, Log: zap.NewNop(), Pages: fstest.MapFS{}, Prefix: "/v9", RequestTimeout: time.Second})
	assert.ErrorContains(t, err, "index.html")
	assert.ErrorContains(t, err, "redoc.js")
}
