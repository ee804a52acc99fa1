package main

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// openPaths are paths outside the document.
var openPaths = []string{
	"/", "/livez", "/readyz", "/static/style.css", "/static/favicon.svg",
	"/api/v1/openapi.json", "/api/v1/docs", "/api/v1/docs/swagger-ui-bundle.js", "/api/v1/redoc", "/api/v1/redoc/redoc.standalone.js",
}

func TestAReplyToHEADIsThatToGETWithoutTheBody(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	paths := slices.Clone(openPaths)
	for _, path := range []string{"/users/me", "/users/", "/users/" + admin.request("GET", "/users/me", nil).text("id"), "/users/me/sessions", "/users/me/clients/", "/items/", "/items", admin.newItem("x"), "/health", "/nothing", "/items/nonsense"} {
		paths = append(paths, "/api/v1"+path)
	}
	for _, path := range paths {
		get, head := admin.requestAt("GET", path, nil), admin.requestAt("HEAD", path, nil)
		assert.Equal(t, get.status, head.status, path)
		assert.Empty(t, head.body, path)
		for _, header := range []string{"Content-Type", "ETag", "Cache-Control"} {
			assert.Equal(t, get.header.Get(header), head.header.Get(header), "%s %s", path, header)
		}
	}
}

func TestAPathListsItsMethodsForOPTIONSAndWith405(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	id := newID()
	for path, methods := range map[string]string{
		"/api/v1/auth/login":        "OPTIONS POST",
		"/api/v1/users/me":          "DELETE GET HEAD OPTIONS PATCH",
		"/api/v1/auth/refresh":      "OPTIONS POST",
		"/api/v1/auth/logout":       "OPTIONS POST",
		"/api/v1/auth/logout-all":   "OPTIONS POST",
		"/api/v1/auth/snowflake":    "OPTIONS POST",
		"/api/v1/users/me/password": "OPTIONS PATCH",
		"/api/v1/users/me/sessions": "GET HEAD OPTIONS", // although DELETE /users/{id}/sessions exists
		"/api/v1/users/me/clients":  "GET HEAD OPTIONS POST",
		"/api/v1/users/me/clients/": "GET HEAD OPTIONS POST",
		"/api/v1/users/":            "GET HEAD OPTIONS POST",
		"/api/v1/users":             "GET HEAD OPTIONS POST",
		"/api/v1/users/" + id:       "DELETE GET HEAD OPTIONS PATCH",

		"/api/v1/users/" + id + "/sessions": "DELETE OPTIONS",
		"/api/v1/users/me/sessions/" + id:   "DELETE OPTIONS",
		"/api/v1/users/me/clients/" + id:    "DELETE OPTIONS",
		"/api/v1/items/":                    "GET HEAD OPTIONS POST",
		"/api/v1/items":                     "GET HEAD OPTIONS POST",
		"/api/v1/items/" + id:               "DELETE GET HEAD OPTIONS PATCH",
		"/api/v1/health":                    "GET HEAD OPTIONS",
		"/api/v1/openapi.json":              "GET HEAD OPTIONS",
		"/livez":                            "GET HEAD OPTIONS",
		"/":                                 "GET HEAD OPTIONS",
	} {
		for _, c := range []client{admin, r.client(t)} { // a token is not needed
			r := c.requestAt("OPTIONS", path, nil).is(http.StatusNoContent)
			assert.Equal(t, methods, allowed(r), path)
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "NONSENSE"} {
				if slices.Contains(strings.Fields(methods), method) {
					continue
				}
				r := c.requestAt(method, path, nil).is(http.StatusMethodNotAllowed)
				assert.Equal(t, methods, allowed(r), "%s %s", method, path)
				if method != http.MethodHead {
					r.refused(http.StatusMethodNotAllowed, "method_not_allowed")
				}
			}
		}
	}
}

// allowed returns the methods of the header Allow in alphabetical order.
func allowed(r reply) string {
	methods := strings.Split(r.header.Get("Allow"), ", ")
	slices.Sort(methods)
	return strings.Join(methods, " ")
}

func TestAPathOutsideTheDocumentIsNotFound(t *testing.T) {
	t.Parallel()
	r := newService(t)
	id := newID()
	for _, c := range []client{r.admin(t), r.client(t)} {
		for _, path := range []string{
			"/nothing", "/api", "/api/v1", "/api/v1/", "/api/v2/items/", "/api/v1/nothing", "/api/v1//items/", "/api/v1/items//",
			"/api/v1/users/me/", "/api/v1/users/me/password/", "/api/v1/users/me/passwords", "/api/v1/users/" + id + "/password",
			"/api/v1/items/" + id + "/", "/api/v1/items/" + id + "/" + id, "/api/v1/health/", "/API/V1/HEALTH", "/livez/", "/static/", "/static/../go.mod",
			"/debug/pprof/", "/metrics",
		} {
			for _, method := range []string{"GET", "POST", "PATCH", "OPTIONS"} {
				c.requestAt(method, path, nil).refused(http.StatusNotFound, "no_such_path")
			}
		}
	}
}

func TestAnEncodedSlashIsNeverASeparator(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	item := strings.TrimPrefix(admin.newItem("x"), "/items/")
	for _, path := range []string{
		"/api/v1/users%2Fme", "/api/v1/users%2fme", "/api/v1%2Fusers/me", "/api%2Fv1/users/me", "/%2Fapi/v1/users/me", "/api/v1/%2Fusers/me",
		"/api/v1/users/me%2Fpassword", "/api/v1/users%2F", "/api/v1/items%2F", "/api/v1/items%2f?limit=1", "/api/v1/users/%6De%2F",
		"/api/v1/items%2F" + item, "/api/v1/items/%2F" + item, "/api/v1/items/" + item + "%2F", "/api/v1/items/" + item[:8] + "%2F" + item[8:],
		"/api/v1/items/..%2f" + item, "/api/v1/items/x%2F..%2F" + item, "/api/v1/health%2F", "/api/v1/auth%2Flogin",
		"/%2F", "/%2Flivez", "/livez%2F", "/static%2Fstyle.css", "/static/..%2fstyle.css", "/api/v1%2Fdocs", "/api/v1/docs%2Fdocs.js", "/api/v1/openapi.json%2F",
	} {
		for _, c := range []client{admin, r.client(t)} {
			for _, method := range []string{"GET", "POST", "PATCH", "DELETE", "OPTIONS"} {
				c.requestAt(method, path, nil).refused(http.StatusNotFound, "no_such_path")
			}
		}
	}
	// A slash that is encoded twice is a percent sign and two characters.
	admin.request("GET", "/users%252Fme", nil).refused(http.StatusNotFound, "no_such_path")
	admin.request("GET", "/items/"+item[:8]+"%252F"+item[8:], nil).faulted("path.id")
	admin.request("GET", "/items/?x=%2F", nil).is(http.StatusOK)
}

func TestAnEscapeThatIsNotASlashMeansItsCharacter(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	me := admin.request("GET", "/users/me", nil).is(http.StatusOK)
	for _, path := range []string{"/users/%6De", "/users/%6d%65", "/%75sers/me", "/us%65rs/me?x=%2F"} {
		assert.Equal(t, string(me.body), string(admin.request("GET", path, nil).is(http.StatusOK).body), path)
	}
	admin.requestAt("GET", "/%61pi/v1/items", nil).is(http.StatusOK)
	admin.requestAt("GET", "/st%61tic/style%2Ecss", nil).is(http.StatusOK)
	admin.requestAt("GET", "/live%7a", nil).is(http.StatusOK)
}

func TestACollectionWorksWithoutItsSlash(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	admin.request("POST", "/items", fields{"title": "one"}).is(http.StatusCreated)
	admin.request("POST", "/items/", fields{"title": "two"}).is(http.StatusCreated)
	admin.request("POST", "/users", fields{"email": "ann@example.com", "password": goodPassword}).is(http.StatusCreated)
	for _, path := range []string{"/items?limit=1", "/items/?limit=1", "/users?limit=1", "/users/?limit=1"} {
		page := admin.request("GET", path, nil).is(http.StatusOK)
		assert.Len(t, page.rows(), 1, path)
		assert.Equal(t, 2.0, page.field("count"), path)
	}
}

func TestAValidRequestIDFromTheClientIsKept(t *testing.T) {
	t.Parallel()
	c := newService(t).client(t)
	for _, id := range []string{"a", "A-Z.a_z-09", strings.Repeat("x", 128)} {
		r := c.request("GET", "/health", nil, "X-Request-ID", id)
		assert.Equal(t, id, r.header.Get("X-Request-ID"))
	}
	made := map[string]bool{}
	for _, id := range []string{"", "two words", "a/b", "é", "a,b", "<script>", strings.Repeat("x", 129)} {
		fresh := c.request("GET", "/health", nil, "X-Request-ID", id).header.Get("X-Request-ID")
		assert.NotEqual(t, id, fresh)
		assert.False(t, made[fresh], "request ids are unique")
		made[fresh] = true
	}
}

func TestEveryKindOfReplyHasTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	r := newService(t, "--cors-origins=https://app.example.com")
	admin := r.admin(t)
	for _, reply := range []reply{
		admin.request("GET", "/items/", nil).is(200),
		admin.request("POST", "/items/", fields{"title": "x"}).is(201),
		admin.request("OPTIONS", "/items/", nil).is(204),
		admin.request("OPTIONS", "/items/", nil, "Origin", "https://app.example.com", "Access-Control-Request-Method", "POST").is(204),
		admin.request("GET", "/items/?%zz", nil).is(400),
		r.client(t).request("GET", "/items/", nil).is(401),
		admin.request("GET", "/nothing", nil).is(404),
		admin.request("PUT", "/items/", nil).is(405),
		admin.request("POST", "/items/", strings.Repeat(" ", 64<<10+1)).is(413),
		admin.request("GET", "/"+strings.Repeat("x", 9000), nil).is(414),
		admin.requestAt("GET", "/livez", nil).is(200),
	} {
		// checkReply checks the other headers, for the replies of all tests.
		assert.Equal(t, "default-src 'none'; frame-ancestors 'none'", reply.header.Get("Content-Security-Policy"), reply.call)
		assert.Empty(t, reply.header.Get("Server"), reply.call)
	}
	for _, path := range openPaths {
		r.client(t).requestAt("GET", path, nil).is(http.StatusOK)
	}
}

func TestANewEntityIsAtItsLocation(t *testing.T) {
	t.Parallel()
	admin := newService(t, "--api-v1-prefix=/api/v1").admin(t)
	for path, body := range map[string]fields{
		"/users/": {"email": "ann@example.com", "password": goodPassword},
		"/items":  {"title": "Snow shovel", "description": "red"},
	} {
		created := admin.request("POST", path, body).is(http.StatusCreated)
		assert.Regexp(t, `^/api/v1/(users|items)/`+regexp.QuoteMeta(created.text("id"))+"$", created.header.Get("Location"))
		read := admin.requestAt("GET", created.header.Get("Location"), nil).is(http.StatusOK)
		assert.JSONEq(t, string(created.body), string(read.body))
		assert.Equal(t, created.header.Get("ETag"), read.header.Get("ETag"))
	}
}

func TestAnIDIsAUUIDInAnyLetterCase(t *testing.T) {
	t.Parallel()
	admin := newService(t).admin(t)
	item := admin.newItem("x")
	assert.Regexp(t, `^/items/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, item)
	upper := "/items/" + strings.ToUpper(strings.TrimPrefix(item, "/items/"))
	assert.Equal(t, item, "/items/"+admin.request("GET", upper, nil).is(http.StatusOK).text("id"))
	admin.request("PATCH", upper, fields{"title": "y"}).is(http.StatusOK)
	admin.request("DELETE", upper, nil).is(http.StatusNoContent)

	encoded := strings.ReplaceAll(admin.newItem("z"), "-", "%2D")
	admin.request("GET", encoded, nil).is(http.StatusOK)

	id := newID()
	for _, bad := range []string{"x", "1", id + "0", id[1:], "{" + id + "}", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""), strings.Repeat("9", 3000), "%00", "%F0%9F%98%80"} {
		for _, collection := range []string{"/users/", "/items/"} {
			for _, method := range []string{"GET", "DELETE"} {
				admin.request(method, collection+bad, nil).faulted("path.id")
			}
			admin.request("PATCH", collection+bad, fields{"nonsense": 1}).faulted("path.id", "body.nonsense")
		}
	}
}
