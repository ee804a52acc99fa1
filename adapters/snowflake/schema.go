package snowflake

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// needed are the columns that the statements of this package name.
var needed = map[string][]string{
	"users":        strings.Split(userColumns, ", "),
	"items":        strings.Split(itemColumns, ", "),
	"account_lock": {"n", "bootstrapped_at"},
}

// Finding is what [Store.Check] found out about the database.
type Finding struct {
	Hybrid      bool   // whether users is a hybrid table
	Consistency string // READ_CONSISTENCY_MODE: GLOBAL, SESSION, or unknown when it could not be read
}

// Weakened says which promises of the store do not hold as they are written, and is empty when all
// do. Snowflake documentation, READ_CONSISTENCY_MODE: under SESSION, the default, a session "might
// not see" what another has just committed, and each connection is a session.
func (f Finding) Weakened() string {
	if f.Consistency == "GLOBAL" || f.Hybrid {
		return ""
	}
	return "for some moments after a change, other connections may not see it: two accounts can get one e-mail," +
		" the last two superusers can remove each other, and a token can outlive its sign-out;" +
		" ALTER ACCOUNT SET READ_CONSISTENCY_MODE = 'GLOBAL' prevents it"
}

// Check looks whether the tables are as this version of the service needs them, and of which kind
// they are. It runs no statement that needs a warehouse. Errors: ErrUnavailable, whose cause names
// what is missing and what to do.
func (s *Store) Check(ctx context.Context) (Finding, error) {
	f, err := run(ctx, s, abandonedRead, func(ctx context.Context, db *sql.DB) (Finding, error) {
		schema := s.connector.config.Schema
		if err := checkColumns(ctx, db, schema); err != nil {
			return Finding{}, err
		}
		tables, err := show(ctx, db, "SHOW TABLES IN SCHEMA "+schema, "name", "is_hybrid")
		if err != nil {
			return Finding{}, err
		}
		return Finding{
			Hybrid:      slices.ContainsFunc(tables, func(t []string) bool { return strings.EqualFold(t[0], "users") && t[1] == "Y" }),
			Consistency: consistency(ctx, db),
		}, nil
	})
	s.global.Store(err == nil && f.Weakened() == "")
	if err == nil && f.Hybrid && !s.connector.hybrid.Swap(true) {
		// Sessions that were opened before do not read the latest writes of others.
		s.db.SetMaxIdleConns(-1)
		s.db.SetMaxIdleConns(s.idle)
	}
	return f, err
}

func checkColumns(ctx context.Context, q querier, schema string) error {
	rows, err := show(ctx, q, "SHOW COLUMNS IN SCHEMA "+schema, "table_name", "column_name")
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, r := range rows {
		table, column := strings.ToLower(r[0]), strings.ToLower(r[1])
		there[table], there[table+"."+column] = true, true
	}
	var missing []string
	for table, columns := range needed {
		if !there[table] {
			missing = append(missing, "table "+table)
			continue
		}
		for _, column := range columns {
			if !there[table+"."+column] {
				missing = append(missing, "column "+table+"."+column)
			}
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return domain.ErrUnavailable.WithCause(fmt.Errorf("missing, or not visible to this role: %s: %s", strings.Join(missing, ", "), runSetup))
}

func consistency(ctx context.Context, q querier) string {
	rows, err := show(ctx, q, "SHOW PARAMETERS LIKE 'READ_CONSISTENCY_MODE' IN ACCOUNT", "value")
	if err != nil || len(rows) != 1 || rows[0][0] == "" {
		return "unknown" // the role may not see it
	}
	return strings.ToUpper(rows[0][0])
}

// show runs a SHOW statement and returns those columns of its rows; one that the server does not
// have is empty.
func show(ctx context.Context, q querier, text string, columns ...string) ([][]string, error) {
	rows, err := q.QueryContext(ctx, text)
	if err != nil {
		return nil, translate(err, unanswered)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, translate(err, unanswered)
	}
	var result [][]string
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		targets := make([]any, len(names))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		row := make([]string, len(columns))
		for i, c := range columns {
			if at := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, c) }); at >= 0 {
				row[i] = values[at].String
			}
		}
		result = append(result, row)
	}
	return result, translate(rows.Err(), unanswered)
}
