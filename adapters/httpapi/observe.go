package httpapi

import (
	"context"
	"crypto/rand"
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
)

// record is what the log line of a request is made of, and the Trace that others see of it. It
// travels in the context, for logs only.
type record struct {
	requestinfo.Info
	accountID string
	err       error  // what the problem document was made of
	code      string // of the problem document
}

type recordKey struct{}

func recordOf(ctx context.Context) *record {
	r, _ := ctx.Value(recordKey{}).(*record)
	if r == nil {
		return &record{}
	}
	return r
}

var usableRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// everywhere are the headers that every reply has; pages have a policy of their own.
var everywhere = map[string][]string{
	echo.HeaderXContentTypeOptions:   {"nosniff"},
	echo.HeaderReferrerPolicy:        {"no-referrer"},
	echo.HeaderContentSecurityPolicy: {"default-src 'none'; frame-ancestors 'none'"},
}

// observe surrounds everything: it gives the request its id and its deadline, after which whatever
// waits gives up, and the reply the headers that every reply has; it turns an error into a problem
// document, and writes the request's one log line.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		rec := &record{Info: requestinfo.Info{
			RequestID: c.Request().Header.Get(echo.HeaderXRequestID),
			Route:     c.Path(), // never the path: it holds ids, and whatever else a client sends
		}}
		if !usableRequestID.MatchString(rec.RequestID) {
			rec.RequestID = rand.Text()
		}
		ctx, span := s.instruments.begin(c, s.TrustTraceparent)
		defer span.End()
		defer s.instruments.active.Add(ctx, -1)
		if its := span.SpanContext(); its.HasTraceID() {
			rec.TraceID = its.TraceID().String()
		}
		ctx = context.WithValue(requestinfo.NewContext(ctx, &rec.Info), recordKey{}, rec)
		ctx, cancel := context.WithTimeout(ctx, s.RequestTimeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))

		h := c.Response().Header()
		maps.Copy(h, everywhere)
		h.Set(echo.HeaderXRequestID, rec.RequestID)
		if s.State() == Draining {
			h.Set(echo.HeaderConnection, "close") // the client's next request goes to another instance
		}

		if s.ServerTiming && c.Path() != s.Prefix+"/auth/login" { // whose time must not tell which accounts exist
			c.Response().Before(func() { setServerTiming(h, rec.Cost()) })
		}

		if err := next(c); err != nil {
			c.Error(err)
		}
		took := time.Since(start)
		s.logRequest(c, rec, took)
		s.instruments.record(c, rec, span, took)
		return nil
	}
}

func (s *Server) logRequest(c echo.Context, rec *record, took time.Duration) {
	status := c.Response().Status
	level := zapcore.InfoLevel
	switch {
	case status == http.StatusInternalServerError:
		level = zapcore.ErrorLevel
	case status > http.StatusInternalServerError:
		level = zapcore.WarnLevel
	case isProbe(rec.Route): // an event table bills by its size
		level = zapcore.DebugLevel
	}
	entry := s.Log.Check(level, "request")
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String("request_id", rec.RequestID),
		zap.String("method", c.Request().Method),
		zap.String("route", rec.Route),
		zap.Int("status", status),
		zap.Float64("duration_ms", milliseconds(took)),
	}
	if rec.TraceID != "" {
		fields = append(fields, zap.String("trace_id", rec.TraceID))
	}
	if cost := rec.Cost(); cost != (requestinfo.Cost{}) {
		fields = append(fields, zap.Int("statements", cost.Statements), zap.Int("rows", cost.Rows),
			zap.Float64("store_wait_ms", milliseconds(cost.Waited)), zap.Float64("store_ms", milliseconds(cost.Ran)))
	}
	if rec.accountID != "" {
		fields = append(fields, zap.String("account_id", rec.accountID))
	}
	if rec.err != nil {
		fields = append(fields, zap.String("code", rec.code))
		if level > zapcore.InfoLevel {
			fields = append(fields, zap.Error(rec.err))
		}
	}
	entry.Write(fields...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// setServerTiming says what a reply cost in the store (W3C Server Timing).
func setServerTiming(h http.Header, cost requestinfo.Cost) {
	if cost.Statements > 0 {
		h.Set("Server-Timing", fmt.Sprintf(`store;dur=%.1f, wait;dur=%.1f, statements;desc="%d"`,
			milliseconds(cost.Ran), milliseconds(cost.Waited), cost.Statements))
	}
}

// recoverPanics makes a panic a 500 of that one request.
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

// limitTarget refuses a request target that no link of ours has.
func limitTarget(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if len(c.Request().RequestURI) > maxTarget {
			return failure(http.StatusRequestURITooLong, "uri_too_long", "the request target has more than 8 KiB")
		}
		return next(c)
	}
}
