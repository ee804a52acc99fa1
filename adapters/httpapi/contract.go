package httpapi

import (
	_ "embed"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	json "github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

//go:embed openapi.yaml
var document []byte

// contract is openapi.yaml, prepared for the validation of requests. It checks parameters, and the shape of
// bodies: types, required fields, unknown fields. Only this file uses kin-openapi.
type contract struct {
	json        []byte // the document as the service publishes it
	operations  map[routeKey]*operation
	collections map[string]bool // paths that end in a slash
	open        map[string]bool // routes outside the document: probes and pages
}

// routeKey is a method and a path as Echo's router names it.
type routeKey struct{ method, path string }

type operation struct {
	public     bool // needs no token
	parameters []*openapi3.Parameter
	mediaType  string           // of the body; empty if the operation takes none
	schema     *openapi3.Schema // of the body
}

// loadContract reads the document. It sets the name of the service, and serves its paths below prefix.
func loadContract(prefix, name string) (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	doc.Info.Title = name
	published, err := json.Marshal(doc, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	leaveMeaningToDomain(doc)

	c := &contract{
		json:        published,
		operations:  map[routeKey]*operation{},
		collections: map[string]bool{},
		open:        map[string]bool{},
	}
	params := strings.NewReplacer("{", ":", "}", "")
	for path, item := range doc.Paths.Map() {
		if strings.HasSuffix(path, "/") {
			c.collections[prefix+path] = true
		}
		for method, op := range item.Operations() {
			o := newOperation(item, op)
			c.operations[routeKey{method, prefix + params.Replace(path)}] = o
			if method == http.MethodGet {
				c.operations[routeKey{http.MethodHead, prefix + params.Replace(path)}] = o
			}
		}
	}
	return c, nil
}

func newOperation(item *openapi3.PathItem, op *openapi3.Operation) *operation {
	o := &operation{public: op.Security != nil && len(*op.Security) == 0}
	for _, ref := range append(slices.Clone(item.Parameters), op.Parameters...) {
		o.parameters = append(o.parameters, ref.Value)
	}
	if op.RequestBody != nil {
		for mediaType, media := range op.RequestBody.Value.Content { // one: a test counts them
			o.mediaType, o.schema = mediaType, media.Schema.Value
		}
	}
	return o
}

// domainFormats are the formats of strings that a parser of package domain checks.
var domainFormats = []string{"email", "password", "text"}

// leaveMeaningToDomain removes the rules of these strings from the schemas that validate requests. The
// published document has them, but only the parsers check them.
func leaveMeaningToDomain(doc *openapi3.T) {
	for _, schema := range doc.Components.Schemas {
		if s := schema.Value; slices.Contains(domainFormats, s.Format) {
			s.MinLength, s.MaxLength, s.Pattern, s.Not = 0, nil, "", nil
		}
	}
	// Another grant type has a code of its own, see [Server.Login].
	doc.Components.Schemas["Login"].Value.Properties["grant_type"].Value.Enum = nil
}

// guard authenticates and validates the requests for operations of the document. It passes requests for
// open routes on and refuses all others.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := s.contract.operations[routeKey{c.Request().Method, c.Path()}]
		if op == nil || op.schema == nil {
			limitDrain(c)
		}
		switch {
		case op != nil:
		case s.contract.open[c.Path()], c.Get(echo.ContextKeyHeaderAllow) != nil:
			return next(c) // the second case leads to Echo's 405, or to its reply to OPTIONS
		default:
			return echo.ErrNotFound
		}
		// A reply holds the data of an account, or is true only now.
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		data := dataOf(c)
		var err error
		if data.source, err = s.sourceOf(c.Request()); err != nil {
			return err
		}
		if !op.public {
			if data.actor, err = s.authenticate(c.Request()); err != nil {
				return err
			}
			data.actor.Source = data.source
		}
		faults, err := op.checkParameters(c)
		if err != nil {
			return err
		}
		if op.schema == nil {
			if len(faults) > 0 {
				return invalid(faults...)
			}
			return next(c)
		}
		// The handler adds what is wrong with the meaning of the body, see [body.err].
		data.body, err = s.checkBody(c, op, faults)
		if err != nil {
			return err
		}
		return next(c)
	}
}

// maxBodies is the number of bodies that are read at the same time. A client can stall one for the whole time of
// a request. A body has at most 64 KiB, so they take at most 32 MiB.
const maxBodies = 512

// checkBody is [operation.checkBody], within the limit on bodies.
func (s *Server) checkBody(c echo.Context, op *operation, faults []FieldError) (*body, error) {
	source := dataOf(c).source
	if !s.bodies.take(source, 1) {
		return nil, domain.ErrBusy
	}
	defer s.bodies.refund(source, 1)
	return op.checkBody(c, faults)
}

var parameterOptions = &openapi3filter.Options{MultiError: true, SkipSettingDefaults: true}

// checkParameters returns the faults of the path, query and header parameters. It returns an error if the
// query cannot be parsed.
func (op *operation) checkParameters(c echo.Context) ([]FieldError, error) {
	r := c.Request()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, malformed("the query cannot be read: an escape is incomplete, or parameters are separated by ;")
	}
	if lines := r.Header.Values(headerIfMatch); len(lines) > 1 {
		r.Header.Set(headerIfMatch, strings.Join(lines, ", ")) // one list (RFC 9110 §5.3)
	}
	input := &openapi3filter.RequestValidationInput{Request: r, QueryParams: query, Options: parameterOptions}
	if names := c.ParamNames(); len(names) > 0 {
		input.PathParams = make(map[string]string, len(names))
		for _, name := range names {
			input.PathParams[name] = c.Param(name)
		}
	}
	var faults []FieldError
	for _, p := range op.parameters {
		if p.In == openapi3.ParameterInQuery && len(query[p.Name]) > 1 {
			faults = append(faults, FieldError{Location: "query." + p.Name, Message: "must be given only once"})
		} else if err := openapi3filter.ValidateParameter(r.Context(), input, p); err != nil {
			faults = append(faults, faultsOf(err, "")...)
		}
	}
	return faults, nil
}

// checkBody reads the body and checks its shape. The faults of the shape follow the given ones. It returns
// an error if the body cannot be read.
func (op *operation) checkBody(c echo.Context, faults []FieldError) (*body, error) {
	value, err := readBody(c, op.mediaType)
	if err != nil {
		return nil, err
	}
	err = op.schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsRequest())
	if err != nil {
		faults = append(faults, faultsOf(err, "body")...)
	}
	fields, _ := value.(map[string]any) // the schema has refused other values
	return &body{fields: fields, faults: faults}, nil
}

// faultsOf flattens the tree of kin-openapi's errors. It never repeats a value, which may be a password.
func faultsOf(err error, location string) []FieldError {
	switch e := err.(type) {
	case openapi3.MultiError:
		var all []FieldError
		for _, one := range e {
			all = append(all, faultsOf(one, location)...)
		}
		return all
	case *openapi3filter.RequestError:
		location = e.Parameter.In + "." + e.Parameter.Name
		switch e.Err.(type) {
		case openapi3.MultiError, *openapi3.SchemaError:
			return faultsOf(e.Err, location)
		}
		types := e.Parameter.Schema.Value.Type.Slice()
		return []FieldError{{location, "must be of type " + strings.Join(types, " or ")}}
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
	case "pattern":
		return fmt.Sprintf("must be like %v", e.Schema.Example)
	case "type":
		return "must be of type " + strings.Join(e.Schema.Type.Slice(), " or ")
	case "minimum":
		return "must be at least " + number(*e.Schema.Min)
	case "maximum":
		return "must be at most " + number(*e.Schema.Max)
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

// number writes a limit without an exponent.
func number(limit float64) string { return strconv.FormatFloat(limit, 'f', -1, 64) }
