package snowflaketest

import (
	"regexp"
	"strings"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

// tokenStatement is the statement that asks for a token. Its arguments are constants: whether the function takes bind
// values is not documented.
var tokenStatement = regexp.MustCompile(
	`^SELECT GENERATE_POSTGRES_ACCESS_TOKEN_FOR_USER\('((?:[^'\\]|''|\\\\)*)', '((?:[^'\\]|''|\\\\)*)'\)$`)

// postgresToken answers the statement that asks for a token. ok is false if sql is another statement, or if the
// account has no instances of PostgreSQL.
func (s *Server) postgresToken(sql string) (r engine.Result, ok bool) {
	found := tokenStatement.FindStringSubmatch(sql)
	if found == nil || s.PostgresToken == nil {
		return engine.Result{}, false
	}
	unquote := strings.NewReplacer("''", "'", `\\`, `\`)
	token := s.PostgresToken(unquote.Replace(found[1]), unquote.Replace(found[2]))
	return engine.Result{
		Kind: engine.Select, Columns: []string{"GENERATE_POSTGRES_ACCESS_TOKEN_FOR_USER"}, Rows: [][]any{{token}},
	}, true
}
