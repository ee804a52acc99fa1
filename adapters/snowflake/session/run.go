package session

import (
	"context"
	"database/sql"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// run executes op, one complete operation, under the guard. It retries ErrContended. It retries once in a new
// session if RetryFresh says so.
func run[T any](ctx context.Context, d *DB, late func(context.Context) error,
	op func(context.Context, *sql.DB) (T, error)) (T, error) {
	var result T
	pool := d.pool
	err := domain.RetryContended(ctx, func() (err error) {
		on := func(ctx context.Context) (T, error) { return op(ctx, pool) }
		result, err = guard.Run(ctx, d.guard, late, on)
		if err != nil && pool == d.pool && d.options.RetryFresh != nil && d.options.RetryFresh(err) {
			pool = d.fresh
			result, err = guard.Run(ctx, d.guard, late, on)
		}
		return err
	})
	return result, err
}
