// Package echoinsnowflake is the root of the module. It holds setup.sql for those who need it in Go:
// tests and the local emulator make the tables with the very statements that operators run.
package echoinsnowflake

import (
	_ "embed"
	"strings"
)

//go:embed setup.sql
var setup string

// The lines of setup.sql between which the tables are defined.
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

// statements splits a script. Whole lines may be comments; no text in it holds a semicolon.
func statements(script string) []string {
	var bare strings.Builder
	for line := range strings.Lines(script) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			bare.WriteString(line)
		}
	}
	var all []string
	for st := range strings.SplitSeq(bare.String(), ";") {
		if st = strings.TrimSpace(st); st != "" {
			all = append(all, st)
		}
	}
	return all
}
