//go:build unix

package servertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestAClosedStoreLeavesNoGoroutine(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	before := goleak.IgnoreCurrent()
	s, err := postgres.Open(o)
	require.NoError(t, err)
	newAdmin(t, s)
	require.NoError(t, s.Close())
	goleak.VerifyNone(t, before)
}

func TestAStoreThatClosedOnAServerThatHangsEndsWithIt(t *testing.T) {
	server, o := ownServer(t, pgserver.Options{})
	o.RequestTimeout = time.Second
	before := goleak.IgnoreCurrent()
	s, err := postgres.Open(o)
	require.NoError(t, err)
	f := &fixture{s, t, o, newAdmin(t, s)}
	require.NoError(t, server.Pause())
	assert.Error(t, f.write(domaintest.Item(f.admin)))
	began := time.Now()
	_ = s.Close() // says that connections remain
	assert.Less(t, time.Since(began), 2100*time.Millisecond)
	require.NoError(t, server.Resume())
	require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
	goleak.VerifyNone(t, before)
}
