package httpapi

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// names returns the names of the fields that a reply shows, a POST sets and a PATCH changes.
func (fs fields[E, N, P]) names() (shown, created, changed []string) {
	for _, f := range fs {
		if f.show != nil {
			shown = append(shown, f.name)
		}
		if f.create != nil {
			created = append(created, f.name)
		}
		if f.change != nil {
			changed = append(changed, f.name)
		}
	}
	return shown, created, changed
}

func TestTheFieldsOfAnEntityAreThoseOfTheDocument(t *testing.T) {
	s, _ := newServer(t, useCases{})
	var doc struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	require.NoError(t, json.Unmarshal(s.contract.json, &doc, json.MatchCaseInsensitiveNames(true)))
	check := func(fields []string, schema string) {
		t.Helper()
		assert.ElementsMatch(t, slices.Collect(maps.Keys(doc.Components.Schemas[schema].Properties)), fields, schema)
	}
	shown, created, changed := itemFields.names()
	check(shown, "Item")
	check(created, "NewItem")
	check(changed, "ItemPatch")
	shown, _, _ = sessionFields.names()
	check(shown, "Session")
	shown, created, _ = clientFields.names()
	check(shown, "OAuthClient")
	check(created, "NewOAuthClient")
	shown, created, changed = userFields.names()
	check(shown, "User")
	check(created, "NewUser")
	check(changed, "UserPatch")
}

func TestReadingABody(t *testing.T) {
	read := func(fields map[string]any) (domain.ItemContent, domain.ItemPatch, *body) {
		var n domain.ItemContent
		var p domain.ItemPatch
		created, changed := &body{fields: fields}, &body{fields: fields}
		assert.Equal(t, itemFields.readNew(created, &n), itemFields.readPatch(changed, &p))
		assert.Equal(t, created.faults, changed.faults)
		return n, p, changed
	}
	t.Run("sets the present fields", func(t *testing.T) {
		n, p, b := read(map[string]any{"title": "a title", "description": ""})
		require.NoError(t, b.err())
		assert.Equal(t, domain.ItemContent{Title: domaintest.Title("a title"), Description: domaintest.Description("")}, n)
		assert.Equal(t, domain.ItemPatch{
			Title: domain.Some(n.Title), Description: domain.Some(n.Description),
		}, p)
	})
	t.Run("leaves absent fields alone", func(t *testing.T) {
		n, p, b := read(map[string]any{})
		require.NoError(t, b.err())
		assert.Zero(t, n)
		assert.Zero(t, p)
	})
	t.Run("clears a field that is null", func(t *testing.T) {
		n, p, b := read(map[string]any{"description": nil})
		require.NoError(t, b.err())
		assert.Zero(t, n)
		assert.Equal(t, domain.ItemPatch{Description: domain.Some(domain.Optional[domain.Description]{})}, p)
	})
	t.Run("names every faulty field in the order of the table", func(t *testing.T) {
		_, _, b := read(map[string]any{"description": "\x00", "title": ""})
		assert.Equal(t, []FieldError{
			{"body.title", "must have 1 to 255 characters, has 0"},
			{"body.description", "must not contain the character NUL"},
		}, b.faults)
		assert.Equal(t, http.StatusUnprocessableEntity, problemOf(b.err()).Status)
	})
	t.Run("adds no fault to a field of the wrong type", func(t *testing.T) {
		_, _, b := read(map[string]any{"title": 7.0, "description": true})
		assert.Empty(t, b.faults, "the check of the shape names them")
	})
}

func TestEachBodyHasOneMediaType(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]any
	}
	s, _ := newServer(t, useCases{})
	require.NoError(t, json.Unmarshal(s.contract.json, &doc, json.MatchCaseInsensitiveNames(true)))
	for path, methods := range doc.Paths {
		for method, operation := range methods {
			if o, ok := operation.(map[string]any); ok && o["requestBody"] != nil {
				assert.Len(t, o["requestBody"].(map[string]any)["content"], 1, "%s %s", method, path)
			}
		}
	}
}

// Every handler of a body passes it to a parser of package domain: here nothing but a rule of the domain is
// broken, and the use cases panic.
func TestEveryHandlerRefusesAFieldThatOnlyADomainParserRefuses(t *testing.T) {
	const refused = "has a NUL \x00" // a string, and long enough for a password
	s, _ := newServer(t, useCases{})
	tested := 0
	for route, op := range s.contract.operations {
		if op.schema == nil {
			continue
		}
		for name, property := range op.schema.Properties {
			if !slices.Contains(domainFormats, property.Value.Format) {
				continue
			}
			tested++
			t.Run(fmt.Sprintf("%s %s refuses %s", route.method, route.path, name), func(t *testing.T) {
				body := map[string]any{name: refused}
				for _, required := range op.schema.Required {
					if required != name {
						body[required] = op.schema.Properties[required].Value.Example
					}
					if body[required] == nil {
						body[required] = "any string"
					}
				}
				raw, err := json.Marshal(body)
				require.NoError(t, err)
				path := strings.Replace(route.path, ":id", "0193f2c7-5d1e-7c3a-8f00-9a6b1c2d3e4f", 1)
				w := send(s, route.method, path, strings.NewReader(string(raw)))
				require.Equal(t, http.StatusUnprocessableEntity, w.Code, w.Body)
				faults := *problem(t, w).Errors
				require.Len(t, faults, 1)
				assert.Equal(t, "body."+name, faults[0].Location)
			})
		}
	}
	assert.Equal(t, 17, tested)
}

func TestEveryHandlerRefusesAnUnknownField(t *testing.T) {
	s, _ := newServer(t, useCases{})
	for route, op := range s.contract.operations {
		if op.mediaType != echo.MIMEApplicationJSON {
			continue // a form is ignored where it is unknown (RFC 6749 §3.2)
		}
		t.Run(route.method+" "+route.path, func(t *testing.T) {
			path := strings.Replace(route.path, ":id", "0193f2c7-5d1e-7c3a-8f00-9a6b1c2d3e4f", 1)
			w := send(s, route.method, path, strings.NewReader(`{"unknown":1}`))
			require.Equal(t, http.StatusUnprocessableEntity, w.Code, w.Body)
			assert.Contains(t, *problem(t, w).Errors, FieldError{"body.unknown", "is not a known field"})
		})
	}
}

func TestAReplyListsTwentyFaultsAndTheNumberOfTheOthers(t *testing.T) {
	s, _ := newServer(t, useCases{})
	request := func(unknown int) Problem {
		body := `{"title":"x"`
		for n := range unknown {
			body += fmt.Sprintf(`,"unknown %d":0`, n)
		}
		w := send(s, "POST", "/api/v1/items/", strings.NewReader(body+"}"))
		require.Equal(t, http.StatusUnprocessableEntity, w.Code)
		return problem(t, w)
	}
	assert.Len(t, *request(20).Errors, 20)
	assert.NotContains(t, request(20).Detail, "more")
	assert.Len(t, *request(23).Errors, 20)
	assert.Contains(t, request(23).Detail, "3 more")
}

func TestTheFaultsOfParametersShapeAndMeaningAreInOneReply(t *testing.T) {
	s, _ := newServer(t, useCases{})
	w := send(s, "PATCH", "/api/v1/users/nonsense", strings.NewReader(`{"email":"not plain","is_active":"yes","role":1,"password":"short"}`))
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	var locations []string
	for _, fault := range *problem(t, w).Errors {
		locations = append(locations, fault.Location)
	}
	assert.Equal(t, []string{"path.id", "body.is_active", "body.role", "body.email", "body.password"}, locations)
}
