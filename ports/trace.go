package ports

import (
	"context"
	"sync"
	"time"
)

// Trace is what logs, query tags and headers say of the request at hand. It travels in the context,
// and no result depends on it.
type Trace struct {
	RequestID string
	Route     string // its template, such as /items/:id; never a path, which holds what clients send
	TraceID   string // of W3C Trace Context, in hexadecimal; may be empty

	mu   sync.Mutex
	cost Cost
}

// Cost is what a request made a store do.
type Cost struct {
	Statements int           // sent to the database
	Rows       int           // read or changed
	Waited     time.Duration // for a connection
	Ran        time.Duration // in the database, and on the way there and back
}

type traceKey struct{}

// WithTrace returns a context that carries t.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceOf returns the Trace that ctx carries. It is never nil: without one it is one that nobody
// will look at.
func TraceOf(ctx context.Context) *Trace {
	if t, ok := ctx.Value(traceKey{}).(*Trace); ok {
		return t
	}
	return &Trace{}
}

// Add counts c. It may be called from any goroutine, also after the request was answered.
func (t *Trace) Add(c Cost) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cost.Statements += c.Statements
	t.cost.Rows += c.Rows
	t.cost.Waited += c.Waited
	t.cost.Ran += c.Ran
}

// Cost returns what was added so far.
func (t *Trace) Cost() Cost {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cost
}
