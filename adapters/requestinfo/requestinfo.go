// Package requestinfo describes a request to logs, query tags and reply headers. The HTTP adapter puts an
// [Info] into the context, and stores add the cost of their statements to it. It is the only value in
// the context that packages share. No result depends on it.
package requestinfo

import (
	"context"
	"sync"
	"time"
)

// Info describes one request. It must not be copied after its first use.
type Info struct {
	RequestID string
	Route     string // the template, such as /items/:id, never the path, which clients choose
	TraceID   string // of W3C Trace Context, in hexadecimal; may be empty

	mu   sync.Mutex
	cost Cost
}

// Cost is the work that a request caused in a store.
type Cost struct {
	Statements int           // sent to the database
	Rows       int           // read or changed
	Waited     time.Duration // time spent waiting for a connection
	Ran        time.Duration // time spent in the database, including the network
}

type contextKey struct{}

// NewContext returns a context that carries i.
func NewContext(ctx context.Context, i *Info) context.Context {
	return context.WithValue(ctx, contextKey{}, i)
}

// FromContext returns the Info in ctx, or a new one if there is none. It never returns nil.
func FromContext(ctx context.Context) *Info {
	if i, ok := ctx.Value(contextKey{}).(*Info); ok {
		return i
	}
	return &Info{}
}

// Add adds c to the cost. It is safe for concurrent use, and may be called after the request ended.
func (i *Info) Add(c Cost) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cost.Statements += c.Statements
	i.cost.Rows += c.Rows
	i.cost.Waited += c.Waited
	i.cost.Ran += c.Ran
}

// Cost returns the sum of what was added.
func (i *Info) Cost() Cost {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.cost
}
