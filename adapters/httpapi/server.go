// Package httpapi is the HTTP edge, on Echo. openapi.yaml is the contract: types and the handler
// interface are generated from it, and every request is validated against it before a handler sees
// it. What lives here is translation: HTTP to use cases, errors to problem documents. What is
// allowed and how it is done is decided further in.
package httpapi

import (
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

//go:generate go tool oapi-codegen -config oapi-codegen.yaml openapi.yaml

// Options is what a Server is made of. All fields are required, save those that switch something on.
type Options struct {
	Auth  ports.Auth
	Users ports.Users
	Items ports.Items
	Log   *zap.Logger
	Pages fs.FS // index.html and the files that it links to

	Traces           trace.TracerProvider // nil: none are made
	Metrics          metric.MeterProvider // nil: none are kept
	TrustTraceparent bool                 // whether requests belong to the traces that their clients name

	Name           string        // of the service, as its pages call it
	Version        string        // of the program
	Storage        string        // which store is in use, as its pages call it
	Prefix         string        // of every path of the contract, such as /api/v1
	RequestTimeout time.Duration // after which a client has its answer
	CORSOrigins    []string      // origins whose scripts may read answers; none by default
	SourceHeader   string        // in which a gateway says whom a request is from; may be empty
	ServerTiming   bool          // whether answers say what they cost in the store
}

// Server is the service as an HTTP handler, together with its readiness.
type Server struct {
	Options
	echo        *echo.Echo
	contract    *contract
	instruments instruments
	state       atomic.Int32
	reached     atomic.Bool // whether it was ever Ready
}

var _ ServerInterface = (*Server)(nil)

// New builds the Server. It starts in [Starting]. It fails only when the embedded document and the
// code do not fit together.
func New(o Options) (*Server, error) {
	s := &Server{Options: o, echo: echo.New()}
	c, err := loadContract(o.Prefix, o.Name)
	if err != nil {
		return nil, err
	}
	s.contract = c
	if s.instruments, err = newInstruments(o.Traces, o.Metrics); err != nil {
		return nil, err
	}

	e := s.echo
	e.HTTPErrorHandler = s.writeProblem
	// The default believes X-Forwarded-For and X-Real-IP, which any client can send.
	e.IPExtractor = echo.ExtractIPDirect()
	e.Pre(s.normalizePath)
	e.Use(s.observe, recoverPanics, limitTarget)
	if len(o.CORSOrigins) > 0 {
		e.Use(middleware.CORSWithConfig(middleware.CORSConfig{
			// Whoever asks OPTIONS without being a browser's preflight wants to see Allow.
			Skipper: func(c echo.Context) bool {
				return c.Request().Method == http.MethodOptions && c.Request().Header.Get(echo.HeaderAccessControlRequestMethod) == ""
			},
			AllowOrigins:  o.CORSOrigins,
			AllowMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete},
			AllowHeaders:  []string{echo.HeaderAuthorization, headerXAuthorization, echo.HeaderContentType, headerIfMatch, echo.HeaderXRequestID},
			ExposeHeaders: []string{headerETag, echo.HeaderLocation, echo.HeaderRetryAfter, echo.HeaderWWWAuthenticate, echo.HeaderXRequestID},
			MaxAge:        600,
		}))
	}
	e.Use(s.guard)

	r := routes{e}
	RegisterHandlersWithBaseURL(r, s, o.Prefix)
	open := &openRoutes{routes: r, contract: c}
	s.registerProbes(open)
	if err := s.registerPages(open); err != nil {
		return nil, err
	}
	endParametersAtSlash(e)
	return s, nil
}

// ServeHTTP makes the Server a handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// HTTPServer returns an http.Server for s with the limits that the contract names.
func (s *Server) HTTPServer() *http.Server {
	const slop = 4096 // net/http allows that much more than MaxHeaderBytes
	return &http.Server{
		Handler: s,
		// OPTIONS * is 404 like every path that is not ours, with the headers of every reply.
		DisableGeneralOptionsHandler: true,

		ReadHeaderTimeout: min(5*time.Second, s.RequestTimeout),
		ReadTimeout:       s.RequestTimeout,
		WriteTimeout:      s.RequestTimeout + 10*time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    maxHeaders - slop,
		ErrorLog:          zap.NewStdLog(s.Log.With(zap.String("logger", "net/http"))),
	}
}

// routes answers HEAD wherever GET is answered; net/http leaves the body out.
type routes struct{ *echo.Echo }

func (r routes) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	r.Echo.HEAD(path, h, m...)
	return r.Echo.GET(path, h, m...)
}

// openRoutes registers what is not in the document: the guard lets these pass as they are, and
// refuses every other route that the document does not know.
type openRoutes struct {
	routes
	contract *contract
}

func (r *openRoutes) GET(path string, h echo.HandlerFunc) {
	r.contract.open[path] = true
	r.routes.GET(path, h)
}

// endParametersAtSlash keeps Echo from giving the last parameter of a route the rest of the path,
// slashes included, which it does unless a longer route exists: GET /users/me/password would be
// GET /users/{id}.
func endParametersAtSlash(e *echo.Echo) {
	for _, r := range e.Routes() {
		if last := r.Path[strings.LastIndexByte(r.Path, '/')+1:]; strings.HasPrefix(last, ":") {
			e.RouteNotFound(r.Path+"/", echo.NotFoundHandler)
		}
	}
}

// normalizePath lets the router see a path decoded, as any two spellings of it mean the same, and
// takes a collection without its slash. It does not redirect: many clients lose the method or the
// Authorization header on the way.
func (s *Server) normalizePath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		u.RawPath = ""
		if s.contract.collections[u.Path+"/"] {
			u.Path += "/"
		}
		return next(c)
	}
}
