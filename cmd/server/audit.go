package main

import (
	"context"

	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// auditTo returns the function that use cases report audit events to. It writes one log line for each
// event, with the id of the request that caused it.
func auditTo(log *zap.Logger) func(context.Context, domain.Event) {
	return func(ctx context.Context, e domain.Event) {
		log.Info("audit",
			zap.String("event", e.Name),
			zap.String("actor_id", e.ActorID),
			zap.String("subject_id", e.SubjectID),
			zap.String("request_id", requestinfo.FromContext(ctx).RequestID))
	}
}
