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

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// record is what the log line of a request is made of. It travels in the context, for logs only.
type record struct {
	requestID string
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

// RequestID returns the id of the request that ctx belongs to, for logs; empty when it belongs to
// none.
func RequestID(ctx context.Context) string { return recordOf(ctx).requestID }

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
		rec := &record{requestID: c.Request().Header.Get(echo.HeaderXRequestID)}
		if !usableRequestID.MatchString(rec.requestID) {
			rec.requestID = rand.Text()
		}
		ctx, cancel := context.WithTimeout(context.WithValue(c.Request().Context(), recordKey{}, rec), s.RequestTimeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))

		h := c.Response().Header()
		maps.Copy(h, everywhere)
		h.Set(echo.HeaderXRequestID, rec.requestID)
		if s.State() == Draining {
			h.Set(echo.HeaderConnection, "close") // the client's next request goes to another instance
		}

		if err := next(c); err != nil {
			c.Error(err)
		}
		s.logRequest(c, rec, time.Since(start))
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
	}
	entry := s.Log.Check(level, "request")
	if entry == nil {
		return
	}
	fields := []zap.Field{
		zap.String("request_id", rec.requestID),
		zap.String("method", c.Request().Method),
		zap.String("route", c.Path()), // never the path: it holds ids, and whatever else a client sends
		zap.Int("status", status),
		zap.Float64("duration_ms", float64(took.Microseconds())/1000),
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

// Audit returns the function through which use cases report what an audit has to know: one line in
// log, with the id of the request that it came with.
func Audit(log *zap.Logger) func(context.Context, domain.Event) {
	return func(ctx context.Context, e domain.Event) {
		log.Info("audit",
			zap.String("event", e.Name),
			zap.String("actor_id", e.ActorID),
			zap.String("subject_id", e.SubjectID),
			zap.String("request_id", RequestID(ctx)))
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
