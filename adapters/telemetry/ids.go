package telemetry

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// ids generates the ids of traces and spans. Snowsight finds a trace only if the first four bytes of
// its id are the time in minutes since 1970, in big-endian order (Snowflake documentation, "Add
// OpenTelemetry traces to a service").
type ids struct{ now func() time.Time }

// NewIDs implements the SDK's IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	var id trace.TraceID
	_, _ = rand.Read(id[4:]) // It never fails.
	binary.BigEndian.PutUint32(id[:], uint32(g.now().Unix()/60))
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements the SDK's IDGenerator.
func (g ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	var id trace.SpanID
	for !id.IsValid() { // An id of zeros is invalid.
		_, _ = rand.Read(id[:])
	}
	return id
}
