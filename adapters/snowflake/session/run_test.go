package session

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// newUnopened returns a DB without a database.
func newUnopened() *DB { return &DB{guard: guard.New(1)} }

// do runs f as a write.
func do(ctx context.Context, d *DB, f func(context.Context) error) error {
	return d.Write(ctx, func(ctx context.Context, _ Conn) error { return f(ctx) })
}

func TestRun(t *testing.T) {
	test := func(name string, f func(*testing.T)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
	}
	test("contention is retried until shortly before the deadline", func(t *testing.T) {
		d := newUnopened()
		attempts := 0
		require.NoError(t, do(t.Context(), d, func(context.Context) error {
			if attempts++; attempts < 5 {
				return domain.ErrContended
			}
			return nil
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		assert.ErrorIs(t, do(ctx, d, func(context.Context) error { return domain.ErrContended }), domain.ErrContended)
		assert.Less(t, time.Since(start), time.Second)
		assert.Greater(t, time.Since(start), 800*time.Millisecond)
	})
	test("an operation is retried once in a new session if the options say so", func(t *testing.T) {
		d := newUnopened()
		d.pool, d.fresh = new(sql.DB), new(sql.DB)
		d.options.RetryFresh = func(err error) bool { return errors.Is(err, domain.ErrSignedOut) }
		var used []*sql.DB
		_, err := run(t.Context(), d, guard.Late(unanswered), func(_ context.Context, pool *sql.DB) (int, error) {
			used = append(used, pool)
			return 0, domain.ErrSignedOut
		})
		assert.ErrorIs(t, err, domain.ErrSignedOut)
		require.Len(t, used, 2)
		assert.Same(t, d.pool, used[0])
		assert.Same(t, d.fresh, used[1])

		used = nil
		_, err = run(t.Context(), d, guard.Late(unanswered), func(_ context.Context, pool *sql.DB) (int, error) {
			used = append(used, pool)
			return 0, domain.ErrNotFound
		})
		assert.ErrorIs(t, err, domain.ErrNotFound)
		assert.Len(t, used, 1)
	})
}
