// Package echoinsnowflake is the root of the module. It embeds scripts that operators run, so that tests and local
// databases are set up with the same statements. It holds no other code.
package echoinsnowflake

import (
	_ "embed"
	"strings"
)

//go:embed setup.sql
var setup string

// PostgresRoles is deploy/postgres-roles.sql.
//
//go:embed deploy/postgres-roles.sql
var PostgresRoles string

// The lines of setup.sql around the definitions of the tables.
const (
	tablesBegin = "-- begin of tables\n"
	tablesEnd   = "-- end of tables\n"
)

// Tables returns the statements of setup.sql that define the tables, in their order.
func Tables() []string {
	_, rest, _ := strings.Cut(setup, tablesBegin)
	part, _, _ := strings.Cut(rest, tablesEnd)
	return statements(part)
}

// statements splits a script. A comment must be a whole line, and no literal may contain a semicolon.
func statements(script string) []string {
	var code strings.Builder
	for line := range strings.Lines(script) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			code.WriteString(line)
		}
	}
	var all []string
	for st := range strings.SplitSeq(code.String(), ";") {
		if st = strings.TrimSpace(st); st != "" {
			all = append(all, st)
		}
	}
	return all
}
