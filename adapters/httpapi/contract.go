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
	json       []byte // the document as the service publishes it
	operations map[routeKey]*operation
	lists      map[string]string // paths of lists, by the same path with or without a slash at its end
	allow      map[string]string // header Allow of each path without parameters
	open       map[string]bool   // routes outside the document: probes and pages
}

// routeKey is a method and a path as Echo's router names it.
type routeKey struct{ method, path string }

type operation struct {
	public       bool // needs no token
	superusers   bool // is for superusers only
	creates      bool // the body describes a new entity
	fresh        freshness
	parameters   []*openapi3.Parameter
	mediaType    string           // of the body; empty if the operation takes none
	schema       *openapi3.Schema // of the body
	bodyOptional bool
}

// freshness says when an operation needs a fresh sign-in. It is the extension x-fresh-sign-in of the document.
type freshness struct {
	always bool
	fields []string // of the body; each of them needs one
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
		json:       published,
		operations: map[routeKey]*operation{},
		lists:      map[string]string{},
		allow:      map[string]string{},
		open:       map[string]bool{},
	}
	params := strings.NewReplacer("{", ":", "}", "")
	for path, item := range doc.Paths.Map() {
		if list, ok := strings.CutSuffix(path, "{id}"); ok {
			c.addList(doc, prefix, strings.TrimSuffix(list, "/"))
		}
		if !strings.Contains(path, "{") {
			c.allow[prefix+path] = allowOf(item)
		}
		for method, op := range item.Operations() {
			o, err := newOperation(item, method, op)
			if err != nil {
				return nil, fmt.Errorf("openapi.yaml: %w", err)
			}
			c.operations[routeKey{method, prefix + params.Replace(path)}] = o
			if method == http.MethodGet {
				c.operations[routeKey{http.MethodHead, prefix + params.Replace(path)}] = o
			}
		}
	}
	return c, nil
}

// addList adds the two spellings of the list at path, which has no slash at its end.
func (c *contract) addList(doc *openapi3.T, prefix, path string) {
	canonical, other := prefix+path, prefix+path+"/"
	if doc.Paths.Value(path+"/") != nil {
		canonical, other = other, canonical
	}
	c.lists[other] = canonical
}

// allowOf returns the header Allow of a path, as Echo writes it for others.
func allowOf(item *openapi3.PathItem) string {
	methods := []string{http.MethodOptions}
	for method := range item.Operations() {
		methods = append(methods, method)
		if method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

func newOperation(item *openapi3.PathItem, method string, op *openapi3.Operation) (*operation, error) {
	o := &operation{
		public:     isPublic(op),
		superusers: slices.Contains(op.Tags, "users"),
		creates:    method == http.MethodPost,
	}
	for _, ref := range append(slices.Clone(item.Parameters), op.Parameters...) {
		o.parameters = append(o.parameters, ref.Value)
	}
	if op.RequestBody != nil {
		for mediaType, media := range op.RequestBody.Value.Content { // one: a test counts them
			o.mediaType, o.schema = mediaType, media.Schema.Value
		}
		o.bodyOptional = !op.RequestBody.Value.Required
	}
	var err error
	o.fresh, err = newFreshness(op)
	return o, err
}

// isPublic reports whether an operation of the document needs no token.
func isPublic(op *openapi3.Operation) bool {
	if op.Security == nil {
		return false // the document as a whole requires a token
	}
	return len(*op.Security) == 0 ||
		slices.ContainsFunc(*op.Security, func(r openapi3.SecurityRequirement) bool { return len(r) == 0 })
}

func newFreshness(op *openapi3.Operation) (f freshness, err error) {
	switch x := op.Extensions["x-fresh-sign-in"].(type) {
	case nil:
		return f, nil
	case bool:
		return freshness{always: x}, nil
	case []any:
		for _, name := range x {
			f.fields = append(f.fields, fmt.Sprint(name))
		}
		return f, nil
	}
	return f, fmt.Errorf("x-fresh-sign-in of %s is neither true nor a list of fields", op.OperationID)
}

// needsFreshSignIn reports whether the actor needs a fresh sign-in for the operation, because of the fields of the body
// if b is not nil, and else for any body. Only superusers need one for what is for superusers only.
func (op *operation) needsFreshSignIn(by domain.Actor, b *body) bool {
	switch {
	case op.superusers && !by.Superuser:
		return false
	case b == nil:
		return op.fresh.always
	}
	return slices.ContainsFunc(op.fresh.fields, func(name string) bool {
		v, present := b.fields[name]
		if op.creates {
			return v != nil && v != op.schema.Properties[name].Value.Default
		}
		return present
	})
}

// domainFormats are the formats of strings that a parser checks: one of package domain, and for times parseTime.
var domainFormats = []string{"email", "password", "text", "date-time"}

// leaveMeaningToDomain removes the rules of these strings from the schemas that validate requests. The
// published document has them, but only the parsers check them.
func leaveMeaningToDomain(doc *openapi3.T) {
	for _, schema := range doc.Components.Schemas {
		if s := schema.Value; slices.Contains(domainFormats, s.Format) {
			s.MinLength, s.MaxLength, s.Pattern, s.Not = 0, nil, "", nil
		}
	}
	// Another grant type has a code of its own, and a missing field is named, see [Server.Login].
	login := doc.Components.Schemas["Login"].Value
	login.Properties["grant_type"].Value.Enum, login.Not = nil, nil
}

// guard authenticates and validates the requests for operations of the document. It passes requests for
// open routes on and refuses all others.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		op := s.contract.operations[routeKey{c.Request().Method, c.Path()}]
		if op == nil || op.schema == nil {
			limitDrain(c)
		}
		switch allow := s.contract.allow[c.Request().URL.Path]; {
		case op != nil && allow != "" && c.Path() != c.Request().URL.Path:
			// Echo took a route with a parameter, because it has the method: DELETE /users/{id}/sessions.
			c.Response().Header().Set(echo.HeaderAllow, allow)
			return echo.ErrMethodNotAllowed
		case op != nil:
		case s.contract.open[c.Path()], c.Get(echo.ContextKeyHeaderAllow) != nil:
			return next(c) // the second case leads to Echo's 405, or to its reply to OPTIONS
		default:
			return echo.ErrNotFound
		}
		// A reply holds the data of an account, or is true only now.
		c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
		if err := s.admit(c, op); err != nil {
			return err
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
		data := dataOf(c)
		// The handler adds what is wrong with the meaning of the body, see [body.err].
		if data.body, err = s.checkBody(c, op, faults); err != nil {
			return err
		}
		if op.needsFreshSignIn(data.actor, data.body) {
			if err := s.Auth.RequireFresh(data.actor); err != nil {
				return err
			}
		}
		return next(c)
	}
}

// admit finds out who sends the request. It returns an error if a token is missing, or is not enough for the operation.
func (s *Server) admit(c echo.Context, op *operation) (err error) {
	data := dataOf(c)
	if data.source, err = s.sourceOf(c.Request()); err != nil || op.public {
		return err
	}
	if err := s.identify(c); err != nil {
		return err
	}
	if op.needsFreshSignIn(data.actor, nil) {
		return s.Auth.RequireFresh(data.actor)
	}
	return nil
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

// isAbsent reports whether the request has no body. Some clients send an empty one with the media type of another.
func isAbsent(r *http.Request) bool {
	return r.ContentLength == 0 || r.Header.Get(echo.HeaderContentType) == ""
}

// anyTime makes the schema of a time accept every string: parseTime checks it.
var anyTime = openapi3.WithStringFormatValidators(map[string]openapi3.StringFormatValidator{
	"date-time": openapi3.NewCallbackValidator(func(string) error { return nil }),
})

// checkBody reads the body and checks its shape. The faults of the shape follow the given ones. It returns
// an error if the body cannot be read.
func (op *operation) checkBody(c echo.Context, faults []FieldError) (*body, error) {
	if op.bodyOptional && isAbsent(c.Request()) {
		limitDrain(c)
		return &body{faults: faults}, nil
	}
	value, err := readBody(c, op.mediaType)
	if err != nil {
		return nil, err
	}
	err = op.schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsRequest(), anyTime)
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
