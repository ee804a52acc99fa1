package emulator

import (
	"context"
	"database/sql"
	"fmt"

	sf "github.com/snowflakedb/gosnowflake/v2"

	echoinsnowflake "github.com/echo-in-snowflake/echo-in-snowflake"
)

// CreateTables creates the tables of setup.sql. The emulator creates the database and the schema at
// login.
func (e *Emulator) CreateTables(ctx context.Context, database, schema string) error {
	db := sql.OpenDB(sf.NewConnector(sf.SnowflakeDriver{}, sf.Config{
		Account: "fakesnow", User: "local", Password: "local", Host: e.Host, Port: e.Port, Protocol: "http",
		Database: database, Schema: schema, MaxRetryCount: -1,
	}))
	defer db.Close()
	for _, st := range echoinsnowflake.Tables() {
		if _, err := db.ExecContext(ctx, st); err != nil {
			return fmt.Errorf("%s: %w", st, err)
		}
	}
	return nil
}
