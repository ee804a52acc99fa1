// Package httpapi is the HTTP adapter, on Echo. openapi.yaml is the contract: the handler interface is
// generated from it, and every request is validated against it before its handler runs. The package
// translates HTTP to use cases, and errors to problem documents. It decides nothing: what an actor may do
// belongs in the use cases, and what a value may be in package domain.
//
// A request passes normalizePath, the router, observe (id, deadline, headers, log line), the refusals of foreign
// hosts and pages, guard (authentication, parameters, shape of the body) and its handler (meaning of the body, use
// case, reply).
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

// Options configure a Server. All fields are required, except where a comment says otherwise.
type Options struct {
	Auth        ports.Auth
	Users       ports.Users
	Credentials ports.Credentials
	Items       ports.Items
	Log         *zap.Logger
	Pages       fs.FS // index.html and the files that it links to

	Traces           trace.TracerProvider // optional
	Metrics          metric.MeterProvider // optional
	TrustTraceparent bool                 // spans become children of the client's span, instead of links to it

	Docs           bool          // serve the pages and the API document
	Name           string        // of the service, for pages
	Version        string        // of the program, for pages
	Storage        string        // name of the store in use, for pages and /readyz
	Prefix         string        // of every path of the contract, such as /api/v1
	RequestTimeout time.Duration // limit for one request; then the client gets an error
	CORSOrigins    []string      // optional: origins whose scripts may read replies
	SourceHeader   string        // optional: trusted header that names the client, set by a gateway
	SourceHops     int           // if positive, SourceHeader is a list, and this value from its end counts
	ServerTiming   bool          // replies have the header Server-Timing, with their cost in the store
	OnlyLoopback   bool          // refuse requests that name the service by a host that is not of this machine

	SnowflakeSignIn bool // the pages offer to sign in with Snowflake
}

// Server is the service as an HTTP handler. It also holds the readiness of the process.
type Server struct {
	Options
	echo        *echo.Echo
	contract    *contract
	instruments instruments
	replies     *quota // of memory, in bytes
	bodies      *quota // that are being read
	state       atomic.Int32
	reached     atomic.Bool // the state has been Ready once
}

var _ ServerInterface = (*Server)(nil)

// New returns a Server in the state [Starting]. It fails only if the embedded document or pages do not fit
// the code.
func New(o Options) (*Server, error) {
	s := &Server{Options: o, echo: echo.New(), replies: newQuota(maxReplies), bodies: newQuota(maxBodies)}
	var err error
	if s.contract, err = loadContract(o.Prefix, o.Name); err != nil {
		return nil, err
	}
	if s.instruments, err = newInstruments(o.Traces, o.Metrics); err != nil {
		return nil, err
	}

	e := s.echo
	e.HTTPErrorHandler = s.writeProblem
	// The default trusts X-Forwarded-For and X-Real-IP, which any client can send.
	e.IPExtractor = echo.ExtractIPDirect()
	e.Pre(s.normalizePath)
	e.Use(s.observe, recoverPanics, limitTarget)
	if o.OnlyLoopback {
		e.Use(onlyLoopback)
	}
	if len(o.CORSOrigins) > 0 {
		e.Use(cors(o.CORSOrigins))
	}
	crossSite, err := s.crossSite(o.CORSOrigins)
	if err != nil {
		return nil, err
	}
	e.Use(crossSite, s.guard)

	r := routes{e}
	RegisterHandlersWithBaseURL(r, s, o.Prefix)
	open := &openRoutes{routes: r, contract: s.contract}
	s.registerProbes(open)
	if o.Docs {
		if err := s.registerPages(open); err != nil {
			return nil, err
		}
	}
	endParametersAtSlash(e)
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.echo.ServeHTTP(w, r) }

// HTTPServer returns an http.Server for s with the limits of the contract.
func (s *Server) HTTPServer() *http.Server {
	const slop = 4096 // net/http allows that much more than MaxHeaderBytes
	// What net/http reports, such as a connection that it cannot accept, is never ordinary.
	errorLog, _ := zap.NewStdLogAt(s.Log.With(zap.String("logger", "net/http")), zap.WarnLevel)
	return &http.Server{
		Handler: s,
		// OPTIONS * gets 404 like every unknown path, with the headers of every reply.
		DisableGeneralOptionsHandler: true,

		ReadHeaderTimeout: min(5*time.Second, s.RequestTimeout),
		ReadTimeout:       s.RequestTimeout,
		WriteTimeout:      s.RequestTimeout + writeSlack,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    maxHeaders - slop,
		ConnState:         newConnections(maxConnections, s.Log).track,
		ErrorLog:          errorLog,
	}
}

// cors lets scripts of the given origins read replies. It answers their preflight requests.
func cors(origins []string) echo.MiddlewareFunc {
	return middleware.CORSWithConfig(middleware.CORSConfig{
		// An OPTIONS request that is no preflight gets the header Allow.
		Skipper: func(c echo.Context) bool {
			r := c.Request()
			return r.Method == http.MethodOptions && r.Header.Get(echo.HeaderAccessControlRequestMethod) == ""
		},
		AllowOrigins: origins,
		AllowMethods: []string{
			http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete,
		},
		AllowHeaders: []string{
			echo.HeaderAuthorization, headerXAuthorization, echo.HeaderContentType, headerIfMatch,
			echo.HeaderXRequestID,
			// Libraries add these: tracing (W3C Trace Context, W3C Baggage), and older clients in browsers.
			"traceparent", "tracestate", "baggage", echo.HeaderXRequestedWith,
		},
		ExposeHeaders: []string{
			headerETag, echo.HeaderLocation, echo.HeaderRetryAfter, echo.HeaderWWWAuthenticate, echo.HeaderXRequestID,
		},
		MaxAge: 600,
	})
}

// routes registers HEAD together with GET. net/http omits the body of the reply.
type routes struct{ *echo.Echo }

func (r routes) GET(path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) *echo.Route {
	r.Echo.HEAD(path, h, m...)
	return r.Echo.GET(path, h, m...)
}

// openRoutes registers routes outside the document. The guard passes their requests on unchecked.
type openRoutes struct {
	routes
	contract *contract
}

func (r *openRoutes) GET(path string, h echo.HandlerFunc) {
	r.contract.open[path] = true
	r.routes.GET(path, h)
}

// endParametersAtSlash stops the last parameter of each route at the next slash. Echo would give it the rest
// of the path if no longer route exists: GET /users/me/password would be GET /users/{id}.
func endParametersAtSlash(e *echo.Echo) {
	for _, r := range e.Routes() {
		if last := r.Path[strings.LastIndexByte(r.Path, '/')+1:]; strings.HasPrefix(last, ":") {
			e.RouteNotFound(r.Path+"/", echo.NotFoundHandler)
		}
	}
}

// noRoute is a path that the router answers with 404: no route has a percent sign.
const noRoute = "/%2F"

// normalizePath runs before the router. It makes the router see decoded paths, because /users/%6De means
// /users/me (RFC 3986 §6.2.2.2). An encoded slash is different: it is data (§2.2), and no path of the service
// has a slash in its data. normalizePath also adds or removes the slash at the end of a list; a redirect would make
// many clients lose the method or the Authorization header.
func (s *Server) normalizePath(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		u := c.Request().URL
		switch {
		case strings.Contains(u.RawPath, "%2F"), strings.Contains(u.RawPath, "%2f"):
			u.Path = noRoute
		case s.contract.lists[u.Path] != "":
			u.Path = s.contract.lists[u.Path]
		}
		u.RawPath = ""
		return next(c)
	}
}
