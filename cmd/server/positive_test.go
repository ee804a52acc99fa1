package main

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// valid draws a value that a schema of the document allows. It knows the keywords that the document uses for
// values of requests.
func valid(t *rapid.T, schema *openapi3.Schema) any {
	switch {
	case schema.Nullable && rapid.Bool().Draw(t, "null"):
		return nil
	case len(schema.Enum) > 0:
		return rapid.SampledFrom(schema.Enum).Draw(t, "enum")
	case schema.Type.Is("boolean"):
		return rapid.Bool().Draw(t, "boolean")
	case schema.Format == "date-time":
		hours := rapid.IntRange(1, 365*24).Draw(t, "hours from now")
		return now().Add(time.Duration(hours) * time.Hour).Format(time.RFC3339)
	case schema.Type.Is("object") && schema.Not != nil:
		plain := *schema
		plain.Not = nil
		object := rapid.Custom(func(t *rapid.T) fields { return valid(t, &plain).(fields) })
		return object.Filter(func(o fields) bool { return schema.VisitJSON(o) == nil }).Draw(t, "object")
	case schema.Type.Is("object"):
		object := fields{}
		for _, name := range slices.Sorted(maps.Keys(schema.Properties)) { // the same order when rapid tries again
			required := false
			for _, r := range schema.Required {
				required = required || r == name
			}
			if required || rapid.Bool().Draw(t, "with "+name) {
				object[name] = valid(t, schema.Properties[name].Value)
			}
		}
		return object
	}
	most := 50 // the fields of a form have no limit of their own, but together they have 4 KiB, with 12 bytes for an emoji
	if schema.MaxLength != nil {
		most = int(*schema.MaxLength)
	}
	allowed := regexp.MustCompile(schema.Pattern) // an empty one allows every text
	long := func(runes *rapid.Generator[rune]) *rapid.Generator[string] {
		// rapid likes short texts, so these are as long as the schema allows.
		return rapid.Map(runes, func(r rune) string { return strings.Repeat(string(r), most) })
	}
	texts := rapid.OneOf(rapid.String(), long(rapid.Rune()), long(rapid.SampledFrom([]rune("\x00\x01x😀"))), rapid.SampledFrom(hostile))
	if schema.Format == "email" {
		texts = rapid.StringMatching(strings.ReplaceAll(schema.Pattern, "[A-Za-z0-9-]{0,61}", "[A-Za-z0-9-]{59,61}"))
	}
	return texts.Filter(func(s string) bool {
		n := utf8.RuneCountInString(s)
		return utf8.ValidString(s) && n >= int(schema.MinLength) && n <= most && allowed.MatchString(s) &&
			(schema.Not == nil || !regexp.MustCompile(schema.Not.Value.Pattern).MatchString(s))
	}).Draw(t, "text")
}

// The document states each rule that a schema can state, so that clients can check their input and tools find
// no contradiction.
func TestWhatTheDocumentAllowsIsAccepted(t *testing.T) {
	t.Parallel()
	r := newService(t)
	admin := r.admin(t)
	_, id := admin.newAccount("ann@example.com")
	item := admin.newItem("x")
	paths := map[string]string{
		"login": "/auth/login", "updateMe": "/users/me", "createUser": "/users/", "updateUser": "/users/" + id,
		"createItem": "/items/", "updateItem": item, "changePassword": "/users/me/password",
		"refresh": "/auth/refresh", "logout": "/auth/logout", "createClient": "/users/me/clients",
	}
	for _, o := range operations() {
		if o.RequestBody == nil {
			continue
		}
		t.Run(o.OperationID, func(t *testing.T) {
			require.Contains(t, paths, o.OperationID)
			by := admin.in(t)
			rapid.Check(t, func(rt *rapid.T) {
				body := valid(rt, o.RequestBody.Value.Content[o.mediaType()].Schema.Value).(fields)
				reply := by.request(o.method, paths[o.OperationID], asSent(o, body))
				if o.OperationID == "updateMe" && reply.status == http.StatusOK {
					by.request(o.method, "/users/me", fields{"email": adminEmail}).is(http.StatusOK)
				}
				if strings.Contains(string(reply.body), ": choose another") {
					return // no schema can describe predictable passwords
				}
				if reply.status == http.StatusBadRequest {
					require.Equal(rt, "invalid_grant", reply.text("code"))
					return
				}
				accepted := []int{200, 201, 204, 401, 403, 409, 429, 503}
				require.Contains(rt, accepted, reply.status, "%s", reply.body)
			})
		})
	}
}

// asSent returns a body as the operation takes it.
func asSent(o operation, body fields) any {
	if o.mediaType() == "application/json" {
		return body
	}
	form := url.Values{}
	for name, value := range body {
		form.Set(name, value.(string))
	}
	return form
}
