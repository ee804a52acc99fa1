package httpapi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// requestData is what the stages of one request tell each other. It travels in the request's context.
type requestData struct {
	requestinfo.Info
	source string       // the client that limits count by, set by the guard; see [Server.sourceOf]
	actor  domain.Actor // set by the guard; the zero Actor before that
	body   *body        // set by the guard if the operation has a body
	err    error        // that the reply's problem document describes
	code   string       // of the problem document
	left   bool         // the client closed its connection before the reply
}

// status returns the status of the request in logs and metrics.
func (d *requestData) status(c echo.Context) int {
	if d.left {
		return statusClientLeft
	}
	return c.Response().Status
}

type requestDataKey struct{}

// dataOf returns the data of the request, or new data if observe has not run.
func dataOf(c echo.Context) *requestData {
	data, _ := c.Request().Context().Value(requestDataKey{}).(*requestData)
	if data == nil {
		return &requestData{}
	}
	return data
}

// actorOf returns the actor that the guard has authenticated. A handler outside the guard gets the zero
// Actor, which every store refuses.
func actorOf(c echo.Context) domain.Actor { return dataOf(c).actor }

// bodyOf returns the body that the guard has read. A handler outside the guard gets nil.
func bodyOf(c echo.Context) *body { return dataOf(c).body }

var validRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// observe surrounds all stages of a request after the router. It gives the request an id and a deadline, sets the
// headers of every reply, turns an error into a problem document, and writes the one log line.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		data := &requestData{Info: requestinfo.Info{
			RequestID: c.Request().Header.Get(echo.HeaderXRequestID),
			Route:     c.Path(), // never the path, which contains ids and whatever clients send
		}}
		if data.RequestID == "" || !validRequestID.MatchString(data.RequestID) {
			data.RequestID = rand.Text()
		}
		ctx, span := s.instruments.begin(c, s.TrustTraceparent)
		defer span.End()
		defer s.instruments.active.Add(ctx, -1)
		if sc := span.SpanContext(); sc.HasTraceID() {
			data.TraceID = sc.TraceID().String()
		}
		ctx = context.WithValue(requestinfo.NewContext(ctx, &data.Info), requestDataKey{}, data)
		ctx, cancel := context.WithTimeout(ctx, s.RequestTimeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		s.setHeaders(c, data)

		if err := next(c); err != nil {
			c.Error(err)
		}
		took := time.Since(start)
		s.logRequest(c, data, took)
		s.instruments.record(c, data, span, took)
		return nil
	}
}

// commonHeaders are the headers of every reply, except that pages have their own policy.
var commonHeaders = http.Header{
	echo.HeaderXContentTypeOptions:   {"nosniff"},
	echo.HeaderReferrerPolicy:        {"no-referrer"},
	echo.HeaderContentSecurityPolicy: {"default-src 'none'; frame-ancestors 'none'"},
}

// setHeaders sets the headers that every reply has.
func (s *Server) setHeaders(c echo.Context, data *requestData) {
	h := c.Response().Header()
	maps.Copy(h, commonHeaders)
	h.Set(echo.HeaderXRequestID, data.RequestID)
	// While draining, the client's next request has to go to another instance. A chunked request may also have a
	// Content-Length, which net/http hides. A proxy that reads the body by that length would take a part of it for
	// another request (RFC 9112 §6.1).
	if s.State() == Draining || len(c.Request().TransferEncoding) > 0 {
		h.Set(echo.HeaderConnection, "close")
	}
	// The time of a sign-in would tell which accounts exist.
	if s.ServerTiming && c.Path() != s.tokenPath() {
		c.Response().Before(func() { setServerTiming(h, data.Cost()) })
	}
}

// logRequest writes the log line of a request: one of at most three levels, and nothing that the client sent
// except the request id.
func (s *Server) logRequest(c echo.Context, data *requestData, took time.Duration) {
	status := data.status(c)
	level := zapcore.InfoLevel
	switch {
	case status == http.StatusInternalServerError:
		level = zapcore.ErrorLevel
	case status > http.StatusInternalServerError:
		level = zapcore.WarnLevel
	case isProbe(data.Route): // an event table is billed by size
		level = zapcore.DebugLevel
	}
	entry := s.Log.Check(level, "request")
	if entry == nil {
		return
	}
	fields := append(make([]zap.Field, 0, 8),
		zap.String("request_id", data.RequestID),
		zap.String("method", c.Request().Method),
		zap.String("route", data.Route),
		zap.Int("status", status),
		zap.Float64("duration_ms", milliseconds(took)))
	if data.TraceID != "" {
		fields = append(fields, zap.String("trace_id", data.TraceID))
	}
	if cost := data.Cost(); cost != (requestinfo.Cost{}) {
		fields = append(fields, zap.Int("statements", cost.Statements), zap.Int("rows", cost.Rows),
			zap.Float64("store_wait_ms", milliseconds(cost.Waited)), zap.Float64("store_ms", milliseconds(cost.Ran)))
	}
	if data.actor.ID != "" {
		fields = append(fields, zap.String("account_id", data.actor.ID))
	}
	if data.err != nil {
		fields = append(fields, zap.String("code", data.code))
		// What a client that left had asked for may have taken effect or not. The error says what is known.
		if level > zapcore.InfoLevel || status == statusClientLeft || errors.As(data.err, new(*cutError)) {
			fields = append(fields, zap.Error(data.err))
		}
	}
	entry.Write(fields...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// setServerTiming sets the header that tells the cost of a reply in the store (W3C Server Timing).
func setServerTiming(h http.Header, cost requestinfo.Cost) {
	if cost.Statements > 0 {
		h.Set("Server-Timing", fmt.Sprintf(`store;dur=%.1f, wait;dur=%.1f, statements;desc="%d"`,
			milliseconds(cost.Ran), milliseconds(cost.Waited), cost.Statements))
	}
}

// recoverPanics turns a panic into a 500 for that request. It passes [http.ErrAbortHandler] on.
func recoverPanics(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			switch r := recover(); r {
			case nil:
			case http.ErrAbortHandler:
				panic(r)
			default:
				err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
			}
		}()
		return next(c)
	}
}

// limitTarget refuses request targets that are longer than any link of the service.
func limitTarget(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if len(c.Request().RequestURI) > maxTarget {
			return failure(http.StatusRequestURITooLong, "uri_too_long", "the request target has more than 8 KiB")
		}
		return next(c)
	}
}
