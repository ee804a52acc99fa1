package session

import (
	"context"
	"errors"
	"strings"
)

// PostgresToken returns a token with which a connection to an instance of Snowflake Postgres signs in as role, instead
// of a password. It is valid for 15 minutes (Snowflake documentation, GENERATE_POSTGRES_ACCESS_TOKEN_FOR_USER). The
// name of the instance is an identifier; PostgreSQL checks the role.
func PostgresToken(ctx context.Context, d *DB, instance, role string) (string, error) {
	const function = "GENERATE_POSTGRES_ACCESS_TOKEN_FOR_USER"
	st := Statement{SQL: "SELECT " + function + "(" + literal(instance) + ", " + literal(role) + ")"}
	return Read(ctx, d, func(ctx context.Context, c Conn) (token string, err error) {
		err = c.Query(ctx, st, func(scan func(...any) error) error { return scan(&token) })
		if err == nil && token == "" {
			err = errors.New("no token in Snowflake's reply")
		}
		return token, err
	})
}

// literal returns s as a string constant. Whether the function takes bind values is not documented.
func literal(s string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(s) + "'"
}
