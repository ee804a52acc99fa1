package httpapi

import (
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

//go:embed openapi.yaml
var document []byte

// contract is the document, ready to validate requests against. This file is the only one that
// knows how kin-openapi is used.
type contract struct {
	json        []byte // as it is published
	operations  map[routeKey]*operation
	collections map[string]bool // paths that end in a slash
	open        map[string]bool // routes beside the document: probes and pages
	options     openapi3filter.Options
	schema      []openapi3.SchemaValidationOption
}

// routeKey is a method and a path as Echo's router names it.
type routeKey struct{ method, path string }

type operation struct {
	route  routers.Route
	public bool // needs no token
}

// loadContract reads the document and moves it to where and what the service is called.
func loadContract(prefix, name string) (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	doc.Info.Title = name
	doc.Servers[0].URL = prefix
	doc.Components.SecuritySchemes["password"].Value.Flows.Password.TokenURL = prefix + "/auth/login"
	published, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}

	c := &contract{json: published, operations: map[routeKey]*operation{}, collections: map[string]bool{}, open: map[string]bool{}}
	// Shape is the schema's, meaning is the domain's; as formats, the domain's rules take part in
	// the same validation, and the client learns of all faults at once.
	c.schema = []openapi3.SchemaValidationOption{
		openapi3.MultiErrors(), openapi3.VisitAsRequest(), openapi3.EnableFormatValidation(),
		openapi3.WithStringFormatValidators(map[string]openapi3.StringFormatValidator{
			"email":    meaning(domain.ParseEmail),
			"password": meaning(domain.ParsePassword),
			"text":     meaning(domain.ParseDescription),
		}),
	}
	c.options = openapi3filter.Options{MultiError: true, ExcludeRequestBody: true, SkipSettingDefaults: true}
	params := strings.NewReplacer("{", ":", "}", "")
	for path, item := range doc.Paths.Map() {
		if strings.HasSuffix(path, "/") {
			c.collections[prefix+path] = true
		}
		for method, op := range item.Operations() {
			o := &operation{
				route:  routers.Route{Spec: doc, Server: doc.Servers[0], Path: path, PathItem: item, Method: method, Operation: op},
				public: op.Security != nil && len(*op.Security) == 0,
			}
			// The guard has authenticated before kin-openapi comes to read anything.
			op.Security = openapi3.NewSecurityRequirements()
			c.operations[routeKey{method, prefix + params.Replace(path)}] = o
			if method == http.MethodGet {
				c.operations[routeKey{http.MethodHead, prefix + params.Replace(path)}] = o
			}
		}
	}
	return c, nil
}

// meaning makes a format of a domain constructor.
func meaning[T any](parse func(string) (T, error)) openapi3.StringFormatValidator {
	return openapi3.NewCallbackValidator(func(s string) error {
		_, err := parse(s)
		return err
	})
}

// guard authenticates and then validates what is in the document, lets pass what is in the list
// beside it, and refuses everything else.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := s.contract.operations[routeKey{c.Request().Method, c.Path()}]
		switch {
		case op != nil:
		case s.contract.open[c.Path()], c.Get(echo.ContextKeyHeaderAllow) != nil:
			return next(c) // in the second case to Echo's 405, or to its answer to OPTIONS
		default:
			return echo.ErrNotFound
		}
		// Whatever an operation answers is about somebody, or about this moment.
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		if !op.public {
			actor, err := s.authenticate(c.Request())
			if err != nil {
				return err
			}
			recordOf(c.Request().Context()).accountID = actor.ID
			c.Set(actorKey, actor)
		}
		if err := s.contract.validate(c, op); err != nil {
			return err
		}
		return next(c)
	}
}

// validate checks parameters and body, and keeps the body for bodyOf.
func (ct *contract) validate(c echo.Context, op *operation) error {
	r := c.Request()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return malformed("the query cannot be read: an escape is incomplete, or parameters are separated by ;")
	}
	if lines := r.Header.Values(headerIfMatch); len(lines) > 1 {
		r.Header.Set(headerIfMatch, strings.Join(lines, ", ")) // one list (RFC 9110 §5.3)
	}
	var path map[string]string
	if names := c.ParamNames(); len(names) > 0 {
		path = make(map[string]string, len(names))
		for _, name := range names {
			path[name] = c.Param(name)
		}
	}
	var faults []FieldError
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: path, QueryParams: query, Route: &op.route, Options: &ct.options}
	if err := openapi3filter.ValidateRequest(r.Context(), input); err != nil {
		faults = faultsOf(err, "")
	}
	for _, p := range op.route.Operation.Parameters {
		if name := p.Value.Name; p.Value.In == openapi3.ParameterInQuery && len(query[name]) > 1 {
			faults = append(faults, FieldError{Location: "query." + name, Message: "must be given only once"})
		}
	}
	if body := op.route.Operation.RequestBody; body != nil {
		value, schema, err := readBody(c, body.Value.Content)
		if err != nil {
			return err
		}
		if err := schema.VisitJSON(value, ct.schema...); err != nil {
			faults = append(faults, faultsOf(err, "body")...)
		}
		c.Set(bodyKey, value)
	}
	if len(faults) > 0 {
		return invalid(faults...)
	}
	return nil
}

// faultsOf flattens kin-openapi's tree of errors. It never repeats a value: it may be a password.
func faultsOf(err error, location string) []FieldError {
	switch e := err.(type) {
	case openapi3.MultiError:
		var all []FieldError
		for _, one := range e {
			all = append(all, faultsOf(one, location)...)
		}
		// A length is the schema's and the domain's: the domain, which comes last, says it better.
		slices.Reverse(all)
		all = slices.CompactFunc(all, func(a, b FieldError) bool { return a.Location == b.Location })
		slices.Reverse(all)
		return all
	case *openapi3filter.RequestError:
		location = e.Parameter.In + "." + e.Parameter.Name
		switch e.Err.(type) {
		case openapi3.MultiError, *openapi3.SchemaError:
			return faultsOf(e.Err, location)
		}
		return []FieldError{{location, "must be of type " + strings.Join(e.Parameter.Schema.Value.Type.Slice(), " or ")}}
	case *openapi3.SchemaError:
		location = strings.Join(append([]string{location}, e.JSONPointer()...), ".")
		if quoted, unknown := strings.CutPrefix(e.Reason, "property "); unknown && e.SchemaField == "properties" {
			if name, err := strconv.QuotedPrefix(quoted); err == nil {
				name, _ = strconv.Unquote(name)
				return []FieldError{{location + "." + name, "is not a known field"}}
			}
		}
		return []FieldError{{location, messageOf(e)}}
	}
	return []FieldError{{location, err.Error()}}
}

func messageOf(e *openapi3.SchemaError) string {
	switch e.SchemaField {
	case "format": // the domain's own words, without what is put before them
		if cause := errors.Unwrap(e.Origin); cause != nil {
			return cause.Error()
		}
	case "pattern":
		return fmt.Sprintf("must be like %v", e.Schema.Example)
	case "type":
		return "must be of type " + strings.Join(e.Schema.Type.Slice(), " or ")
	case "minimum":
		return fmt.Sprintf("must be at least %v", *e.Schema.Min)
	case "maximum":
		return fmt.Sprintf("must be at most %v", *e.Schema.Max)
	case "minLength":
		return fmt.Sprintf("must have at least %d characters", e.Schema.MinLength)
	case "maxLength":
		return fmt.Sprintf("must have at most %d characters", *e.Schema.MaxLength)
	case "required":
		return "is missing"
	case "nullable":
		return "must not be null"
	}
	return e.Reason
}
