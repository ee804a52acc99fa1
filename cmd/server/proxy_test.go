package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// visitor follows addresses as a browser does: relative to the document that has them.
type visitor struct {
	t *testing.T
}

// fetch sends a request and returns the reply with its text.
func (v visitor) fetch(method string, at *url.URL, form url.Values, header ...string) (*http.Response, string) {
	v.t.Helper()
	req, err := http.NewRequest(method, at.String(), strings.NewReader(form.Encode()))
	require.NoError(v.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(v.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(v.t, err)
	return response, string(body)
}

func (v visitor) resolve(base *url.URL, address string) *url.URL {
	v.t.Helper()
	at, err := base.Parse(address)
	require.NoError(v.t, err)
	return at
}

// visit reads a page, and every page and file that it refers to. It adds them to seen.
func (v visitor) visit(at *url.URL, seen map[string]string) {
	v.t.Helper()
	if _, visited := seen[at.Path]; visited {
		return
	}
	response, body := v.fetch("GET", at, nil)
	seen[at.Path] = body
	if !assert.Equal(v.t, http.StatusOK, response.StatusCode, at) || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		return
	}
	for _, address := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(body, -1) {
		v.visit(v.resolve(at, address[1]), seen)
	}
}

func TestTheServiceWorksBelowAPathOfAProxy(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prefix string
		strip  string // what the proxy removes from the paths that it passes on
	}{
		"that it removes": {prefix: "/api/v1", strip: "/echo"},
		"that it keeps":   {prefix: "/echo/api/v1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newService(t, "--api-v1-prefix="+tt.prefix)
			target, err := url.Parse(r.origin)
			require.NoError(t, err)
			service := httputil.NewSingleHostReverseProxy(target)
			service.ModifyResponse = func(r *http.Response) error { // as proxy_redirect of nginx
				if at := r.Header.Get("Location"); at != "" {
					r.Header.Set("Location", tt.strip+at)
				}
				return nil
			}
			proxy := http.NewServeMux()
			proxy.Handle("/echo/", http.StripPrefix(tt.strip, service))
			server := httptest.NewServer(proxy)
			defer server.Close()
			home, err := url.Parse(server.URL + "/echo/")
			require.NoError(t, err)

			v, seen := visitor{t}, map[string]string{}
			v.visit(home, seen)
			for _, path := range []string{"/echo/api/v1/docs", "/echo/api/v1/redoc", "/echo/api/v1/openapi.json", "/echo/static/style.css", "/echo/static/tool.css"} {
				assert.Contains(t, seen, path, "the pages lead there")
			}

			document := v.resolve(home, "api/v1/openapi.json")
			doc, err := openapi3.NewLoader().LoadFromData([]byte(seen[document.Path]))
			require.NoError(t, err)
			api := v.resolve(document, doc.Servers[0].URL)
			require.Equal(t, "/echo/api/v1/", api.Path)
			tokenURL := doc.Components.SecuritySchemes["password"].Value.Flows.Password.TokenURL
			response, body := v.fetch("POST", v.resolve(api, tokenURL), signInForm(adminEmail, adminPassword))
			require.Equal(t, http.StatusOK, response.StatusCode, body)
			token := regexp.MustCompile(`"access_token":"([^"]*)"`).FindStringSubmatch(body)[1]
			authorization := []string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}
			for _, collection := range []string{"items/", "items?x=/"} {
				at := v.resolve(api, collection)
				req, err := http.NewRequest("POST", at.String(), strings.NewReader(`{"title":"Snow shovel"}`))
				require.NoError(t, err)
				for i := 0; i < len(authorization); i += 2 {
					req.Header.Set(authorization[i], authorization[i+1])
				}
				created, err := http.DefaultTransport.RoundTrip(req)
				require.NoError(t, err)
				created.Body.Close()
				require.Equal(t, http.StatusCreated, created.StatusCode)
				read, body := v.fetch("GET", v.resolve(at, created.Header.Get("Location")), nil, authorization...)
				assert.Equal(t, http.StatusOK, read.StatusCode, created.Header.Get("Location"))
				assert.Contains(t, body, "Snow shovel")
			}
		})
	}
}
