package snowflake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// runSetup is the advice for what is missing in the schema.
const runSetup = "run setup.sql"

// needed are the columns that the statements of this package use, by table.
var needed = map[string][]string{
	users.Name:     users.Names(),
	items.Name:     items.Names(),
	sessions.Name:  sessions.Names(),
	clients.Name:   clients.Names(),
	"account_lock": {"n", "bootstrapped_at"},
}

// Finding is what [Store.Check] found out about the database.
type Finding struct {
	Hybrid      bool   // users is a hybrid table
	Consistency string // READ_CONSISTENCY_MODE: GLOBAL, SESSION, or unknown if it could not be read
	BindValues  string // ALLOW_BIND_VALUES_ACCESS: TRUE, FALSE, or unknown if it could not be read
}

// Exposed says which data of users others can read in the query history, and how to prevent it. It is empty if
// that is not known. Snowflake documentation, "Retrieve bind variable values".
func (f Finding) Exposed() string {
	if f.BindValues != "TRUE" {
		return ""
	}
	return "for a year, QUERY_HISTORY shows the values of statements: e-mails, names, password hashes and items;" +
		" ALTER ACCOUNT SET ALLOW_BIND_VALUES_ACCESS = FALSE prevents it"
}

// Weakened says which promises of the store do not hold as written. It is empty if all hold. Snowflake
// documentation, READ_CONSISTENCY_MODE: under SESSION, the default, a session might not see what another
// has just committed, and each connection is a session.
func (f Finding) Weakened() string {
	if f.Consistency == "GLOBAL" || f.Hybrid {
		return ""
	}
	return "shortly after a change, other connections may not see it: two accounts can get one e-mail," +
		" the last two superusers can remove each other, and a token can outlive its sign-out;" +
		" ALTER ACCOUNT SET READ_CONSISTENCY_MODE = 'GLOBAL' prevents it"
}

// Check reports whether the tables are as this version of the service needs them, and of which kind they
// are. The other methods depend on what it found last. It runs no statement that needs a warehouse.
// Errors: ErrUnavailable, whose cause names what is missing and what to do.
func (s *Store) Check(ctx context.Context) (Finding, error) {
	f, err := session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (Finding, error) {
		if err := errors.Join(checkSearchPath(ctx, c), checkColumns(ctx, c, s.schema)); err != nil {
			return Finding{}, err
		}
		tables, err := c.Show(ctx, "SHOW TABLES IN SCHEMA "+s.schema, "name", "is_hybrid")
		if err != nil {
			return Finding{}, err
		}
		hybrid := slices.ContainsFunc(tables, func(t []string) bool {
			return strings.EqualFold(t[0], users.Name) && t[1] == "Y"
		})
		return Finding{
			Hybrid:      hybrid,
			Consistency: cmp.Or(strings.ToUpper(parameter(ctx, c, "READ_CONSISTENCY_MODE", "ACCOUNT")), "unknown"),
			BindValues:  cmp.Or(strings.ToUpper(parameter(ctx, c, "ALLOW_BIND_VALUES_ACCESS", "ACCOUNT")), "unknown"),
		}, nil
	})
	s.global.Store(err == nil && f.Weakened() == "")
	if err == nil && f.Hybrid && !s.hybrid.Swap(true) {
		s.db.UseHybridTables()
	}
	return f, err
}

func checkColumns(ctx context.Context, c session.Conn, schema string) error {
	rows, err := c.Show(ctx, "SHOW COLUMNS IN SCHEMA "+schema, "table_name", "column_name")
	if err != nil {
		return err
	}
	exists := map[string]bool{}
	for _, r := range rows {
		table, column := strings.ToLower(r[0]), strings.ToLower(r[1])
		exists[table], exists[table+"."+column] = true, true
	}
	var missing []string
	for table, columns := range needed {
		if !exists[table] {
			missing = append(missing, "table "+table)
			continue
		}
		for _, column := range columns {
			if !exists[table+"."+column] {
				missing = append(missing, "column "+table+"."+column)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return domain.ErrUnavailable.WithCause(fmt.Errorf("missing, or not granted to this role: %s: %s",
		strings.Join(missing, ", "), runSetup))
}

// checkSearchPath returns an error unless the search path begins with the current schema: a query would read tables
// of the same names in another schema. No login can set the path (Snowflake documentation, SEARCH_PATH).
func checkSearchPath(ctx context.Context, c session.Conn) error {
	path := parameter(ctx, c, "SEARCH_PATH", "SESSION")
	first, _, _ := strings.Cut(path, ",")
	if path == "" || strings.EqualFold(strings.TrimSpace(first), "$current") {
		return nil
	}
	return domain.ErrUnavailable.WithCause(fmt.Errorf("SEARCH_PATH is %q and must begin with $current:"+
		" ALTER USER … UNSET SEARCH_PATH, or ALTER ACCOUNT UNSET SEARCH_PATH", path))
}

// parameter returns the value of a parameter of the session or the account. It is empty if the role may not read
// it.
func parameter(ctx context.Context, c session.Conn, name, scope string) string {
	rows, err := c.Show(ctx, "SHOW PARAMETERS LIKE '"+name+"' IN "+scope, "key", "value")
	if err != nil {
		return ""
	}
	for _, row := range rows { // In LIKE, _ stands for any character.
		if strings.EqualFold(row[0], name) {
			return row[1]
		}
	}
	return ""
}
