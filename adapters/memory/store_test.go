package memory_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

func TestStore(t *testing.T) {
	portstest.TestStore(t, func(*testing.T) ports.Store { return memory.New() })
}

func TestACleanupOfManySessionsDoesNotHoldTheStoreForLong(t *testing.T) {
	s, ann := memory.New(), domaintest.User(domaintest.Superuser)
	_, err := s.CreateFirstSuperuser(t.Context(), ann)
	require.NoError(t, err)
	begin := time.Now()
	for n := range 100_000 {
		at := domaintest.Created.Add(time.Duration(n) * time.Microsecond)
		id := fmt.Sprintf("%036d", n)
		require.NoError(t, s.CreateSession(t.Context(), ann.Actor(), domain.Session{
			ID: id, Lookup: id, CreatedAt: at, ExpiresAt: at.Add(domain.SessionIdle),
		}))
	}
	created := time.Now()
	require.NoError(t, s.CleanUp(t.Context(), domaintest.Created))
	assert.Less(t, time.Since(created), created.Sub(begin))
	page, err := s.Sessions(t.Context(), ann.Actor(), domaintest.Created, domain.PageRequest{Limit: 1, Count: true})
	require.NoError(t, err)
	assert.Equal(t, domain.Some(domain.MaxSessions), page.Total)
	assert.Equal(t, fmt.Sprintf("%036d", 99_999), page.Rows[0].ID)
}
