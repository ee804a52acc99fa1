package snowflake

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// worst are the values of session parameters, set by an administrator for the account, that would harm the
// store most. The fake shows the effect of those in the first group.
var worst = map[string]string{
	"AUTOCOMMIT":                   "FALSE",
	"TRANSACTION_ABORT_ON_ERROR":   "FALSE",
	"MULTI_STATEMENT_COUNT":        "2",
	"LOCK_TIMEOUT":                 "43200",
	"HYBRID_TABLE_LOCK_TIMEOUT":    "3600",
	"STATEMENT_TIMEOUT_IN_SECONDS": "1",
	"ROWS_PER_RESULTSET":           "1",
	"DEFAULT_NULL_ORDERING":        "FIRST",
	"CLIENT_TELEMETRY_ENABLED":     "true",

	"READ_LATEST_WRITES":                  "FALSE",
	"ERROR_ON_NONDETERMINISTIC_UPDATE":    "FALSE",
	"ERROR_ON_NONDETERMINISTIC_MERGE":     "FALSE",
	"STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": "1",
	"QUOTED_IDENTIFIERS_IGNORE_CASE":      "TRUE",
	"TIMEZONE":                            "Pacific/Kiritimati",
	"TIMESTAMP_TYPE_MAPPING":              "TIMESTAMP_LTZ",
	"CLIENT_TIMESTAMP_TYPE_MAPPING":       "TIMESTAMP_LTZ",
	"TIMESTAMP_DAY_IS_ALWAYS_24H":         "TRUE",
	"TWO_DIGIT_CENTURY_START":             "1900",
	"WEEK_START":                          "7",
	"WEEK_OF_YEAR_POLICY":                 "1",
	"DATE_INPUT_FORMAT":                   "DD/MM/YY",
	"TIME_INPUT_FORMAT":                   "HH12.MI AM",
	"TIMESTAMP_INPUT_FORMAT":              "DD/MM/YY HH12.MI AM",
	"BINARY_INPUT_FORMAT":                 "BASE64",
	"DATE_OUTPUT_FORMAT":                  "DD/MM/YY",
	"TIME_OUTPUT_FORMAT":                  "HH12.MI AM",
	"TIMESTAMP_OUTPUT_FORMAT":             "DD/MM/YY HH12.MI AM",
	"TIMESTAMP_NTZ_OUTPUT_FORMAT":         "DD/MM/YY HH12.MI AM",
	"TIMESTAMP_LTZ_OUTPUT_FORMAT":         "DD/MM/YY HH12.MI AM",
	"TIMESTAMP_TZ_OUTPUT_FORMAT":          "DD/MM/YY HH12.MI AM",
	"BINARY_OUTPUT_FORMAT":                "BASE64",
	"STRICT_JSON_OUTPUT":                  "FALSE",
	"JSON_INDENT":                         "16",
	"GEOGRAPHY_OUTPUT_FORMAT":             "EWKB",
	"GEOMETRY_OUTPUT_FORMAT":              "EWKB",
	"CLIENT_SESSION_KEEP_ALIVE":           "true",
}

// eachVariable is the environment variable that, set to "each", also runs the contract with each parameter alone
// at its worst value.
const eachVariable = "ECHO_TEST_PARAMETERS"

func TestStoreKeepsItsContractWhateverTheAccountSetsForSessions(t *testing.T) {
	keepsItsContract(t, "all parameters", engine.Rules{Account: worst, Unique: hybrid.Unique})
	if os.Getenv(eachVariable) != "each" {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(worst)) {
		keepsItsContract(t, name, engine.Rules{Account: map[string]string{name: worst[name]}, Unique: hybrid.Unique})
	}
}

func TestAWriteIsCommittedThoughTheAccountTurnsAutocommitOff(t *testing.T) {
	server := newServer(t, engine.Rules{Account: map[string]string{"AUTOCOMMIT": "FALSE"}})
	s := openUnchecked(t, options(server))
	admin := domaintest.User(domaintest.Superuser)
	_, err := s.CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	require.NoError(t, s.CreateItem(t.Context(), admin.Actor(), domaintest.Item(admin)))
	require.NoError(t, s.Close())
	server.Restart() // every session ends
	assert.Len(t, server.Exec("SELECT id FROM items").Rows, 1)
}

func TestALoginSetsEverySessionParameterThatMatters(t *testing.T) {
	server := newServer(t, hybrid)
	s := open(t, options(server))
	_, err := s.UserForSignIn(t.Context(), domaintest.Email("ann@example.com"))
	require.ErrorIs(t, err, domain.ErrNotFound)
	logins := loginParameters(t, server)
	require.Len(t, logins, 2, "the session of the check is not reused: it did not know that tables are hybrid")
	sent := logins[1]
	delete(sent, "CLIENT_VALIDATE_DEFAULT_PARAMETERS") // the driver's own
	assert.ElementsMatch(t, slices.Collect(maps.Keys(worst)), slices.Collect(maps.Keys(sent)))
	for name, value := range sent {
		assert.False(t, strings.EqualFold(worst[name], fmt.Sprint(value)), name)
	}
	assert.NotContains(t, logins[0], "READ_LATEST_WRITES", "an account without hybrid tables may not know it")
}

// loginParameters returns the session parameters of each login.
func loginParameters(t *testing.T, server *snowflaketest.Server) []map[string]any {
	t.Helper()
	var logins []map[string]any
	for _, r := range server.Requests() {
		if r.Path != snowflaketest.LoginPath {
			continue
		}
		var login struct {
			Data struct {
				Parameters map[string]any `json:"SESSION_PARAMETERS"`
			} `json:"data"`
		}
		require.NoError(t, json.Unmarshal([]byte(r.Body), &login))
		logins = append(logins, login.Data.Parameters)
	}
	return logins
}
