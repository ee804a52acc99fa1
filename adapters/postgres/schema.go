package postgres

import (
	"context"
	"fmt"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// runMigrate is the advice for what is missing in the schema.
const runMigrate = "run migrate, or grant this role the schema"

// readCommitted is the isolation that the statements of this package are written for. With a stricter one they would
// fail, and the rule of the last superuser would not hold.
const readCommitted = "read committed"

// Finding is what [Store.Check] found out about the database.
type Finding struct {
	Server        string // version of PostgreSQL
	SchemaVersion int
	Isolation     string // of transactions
}

// Check reports whether the store can be used. Errors: ErrUnavailable, whose cause says what is wrong and what to do.
func (s *Store) Check(ctx context.Context) (Finding, error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (f Finding, err error) {
		st := session.Statement{
			SQL: `SELECT current_setting('server_version'), current_setting('transaction_isolation'),
				coalesce(max(version), 0)
				FROM schema_version`,
		}
		err = c.Query(ctx, st, func(scan func(...any) error) error {
			return scan(&f.Server, &f.Isolation, &f.SchemaVersion)
		})
		if err == nil {
			err = f.problem()
		}
		return f, err
	})
}

// problem returns why the store cannot be used, or nil.
func (f Finding) problem() error {
	var problem error
	switch needed := neededVersion(); {
	case f.SchemaVersion < needed:
		problem = fmt.Errorf("the schema has version %d, and this version of the service needs %d: run migrate",
			f.SchemaVersion, needed)
	case f.Isolation != readCommitted:
		problem = fmt.Errorf("the isolation of transactions is %q and must be %q:"+
			" ALTER ROLE … SET default_transaction_isolation = 'read committed'", f.Isolation, readCommitted)
	default:
		return nil
	}
	return domain.ErrUnavailable.WithCause(problem)
}
