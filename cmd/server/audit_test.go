package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestAnAuditEventIsALogLineWithTheIDOfItsRequest(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	ctx := requestinfo.NewContext(t.Context(), &requestinfo.Info{RequestID: "the-id"})
	auditTo(zap.New(core))(ctx, domain.Event{Name: domain.EventUserDeleted, ActorID: "a", SubjectID: "b"})
	require.Equal(t, 1, logs.Len())
	assert.Equal(t, map[string]any{"event": "user_deleted", "actor_id": "a", "subject_id": "b", "request_id": "the-id"}, logs.All()[0].ContextMap())
}
