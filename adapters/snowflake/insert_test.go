package snowflake

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// forEachInsert runs test for each INSERT that runs outside a transaction. add adds a row, and rows counts the rows.
func forEachInsert(t *testing.T, test func(t *testing.T, f *fixture, table string, add func(context.Context) error,
	rows func() int)) {
	t.Run("of an item", func(t *testing.T) {
		f := newFixture(t)
		test(t, f, "items",
			func(ctx context.Context) error { return f.CreateItem(ctx, f.ann.Actor(), domaintest.Item(f.ann)) },
			func() int { return len(f.server.Exec("SELECT id FROM items").Rows) })
	})
	t.Run("of a session", func(t *testing.T) {
		f := newFixture(t)
		test(t, f, "sessions",
			func(ctx context.Context) error { return f.CreateSession(ctx, f.ann.Actor(), domaintest.Session(f.ann)) },
			func() int { return len(f.server.Exec("SELECT id FROM sessions").Rows) })
	})
	t.Run("of an account, on hybrid tables", func(t *testing.T) {
		f := newFixtureWith(t, hybrid)
		test(t, f, "users", f.createUser, f.users)
	})
}

// A second request could take effect too: an INSERT that runs does not make another one wait.
func TestAnInsertWhoseReplyIsLostIsSentOnceAndFound(t *testing.T) {
	for name, fault := range map[string]snowflaketest.Fault{
		"before the reply is lost":      {After: true, Drop: true},
		"and half of the reply is lost": {Truncate: true},
		"and a gateway loses the reply": {After: true, Status: http.StatusBadGateway},
		"long after the reply was lost": {Drop: true, Late: 300 * time.Millisecond},
	} {
		t.Run("it takes effect "+name, func(t *testing.T) {
			forEachInsert(t, func(t *testing.T, f *fixture, table string, add func(context.Context) error, rows func() int) {
				before := rows()
				f.server.Intercept(breaks(1, "INSERT", fault))
				assert.NoError(t, add(t.Context()))
				assert.Equal(t, before+1, rows())
				assert.Equal(t, 1, f.sent("INSERT INTO "+table))
			})
		})
	}
}

func TestAnInsertInATransactionIsSentOnceAndRolledBackIfItsReplyIsLost(t *testing.T) {
	f := newFixture(t)
	f.server.Intercept(breaks(1, "INSERT INTO users", snowflaketest.Fault{After: true, Drop: true}))
	err := f.createUser(t.Context())
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown, "nothing takes effect without a COMMIT")
	assert.Equal(t, 1, f.sent("INSERT INTO users"))
	assert.Equal(t, 2, f.users())
	assert.NoError(t, f.createUser(t.Context()), "the lock is free")
}

func TestAnInsertThatIsNotFoundUntilTheDeadlineHasAnUnknownOutcome(t *testing.T) {
	forEachInsert(t, func(t *testing.T, f *fixture, table string, add func(context.Context) error, rows func() int) {
		before := rows()
		f.server.Intercept(breaks(1, "INSERT", snowflaketest.Fault{Drop: true}))
		const deadline = time.Second
		start := time.Now()
		assert.ErrorIs(t, add(endsIn(t, deadline)), domain.ErrOutcomeUnknown)
		assert.GreaterOrEqual(t, time.Since(start), deadline)
		assert.Equal(t, before, rows())
		assert.Equal(t, 1, f.sent("INSERT INTO "+table))
		assert.Greater(t, f.sent("SELECT COUNT(*)\nFROM "+table), 1)
	})
}

func TestALostReplyToALookUpDoesNotEndTheSearch(t *testing.T) {
	forEachInsert(t, func(t *testing.T, f *fixture, table string, add func(context.Context) error, rows func() int) {
		insert := breaks(1, "INSERT", snowflaketest.Fault{After: true, Drop: true})
		lookUp := breaks(4, "SELECT COUNT(*)\nFROM "+table, snowflaketest.Fault{Drop: true})
		f.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
			if fault := insert(r); fault != nil {
				return fault
			}
			return lookUp(r)
		})
		assert.NoError(t, add(t.Context()))
	})
}
