package session

import (
	"strconv"
	"time"
)

// parameters are the session parameters that every login sets. A parameter that a login does not set has the
// value that an administrator gave the account or the user. So it sets all that change what a statement does,
// what it returns or how a value is written. Beside each stands what another value does.
//
// The list follows Snowflake documentation, "Parameters". What is missing concerns definitions of objects, other
// clients, logs of functions, or cost (USE_CACHED_RESULT). A login cannot set SEARCH_PATH, so the store checks
// it. READ_CONSISTENCY_MODE can be set for an account only.
func parameters(timeout time.Duration) map[string]string {
	statement, lock := limits(timeout)
	return map[string]string{
		// what a statement does
		"AUTOCOMMIT":                          "true",             // a write outside a transaction is lost
		"TRANSACTION_ABORT_ON_ERROR":          "true",             // what precedes an error can be committed
		"ERROR_ON_NONDETERMINISTIC_UPDATE":    "true",             // a joined UPDATE takes any one of several rows
		"ERROR_ON_NONDETERMINISTIC_MERGE":     "true",             // a MERGE takes any one of several rows
		"MULTI_STATEMENT_COUNT":               "1",                // a text may or must hold several statements
		"LOCK_TIMEOUT":                        seconds(lock),      // a statement waits for a lock for hours
		"STATEMENT_TIMEOUT_IN_SECONDS":        seconds(statement), // a statement runs for days without its caller
		"STATEMENT_QUEUED_TIMEOUT_IN_SECONDS": "0",                // a statement ends although its caller waits
		"QUOTED_IDENTIFIERS_IGNORE_CASE":      "false",            // "echo" means ECHO
		"TIMEZONE":                            "UTC",              // a cast to or from a local time moves it
		"TIMESTAMP_TYPE_MAPPING":              "TIMESTAMP_NTZ",    // TIMESTAMP means a local time
		"CLIENT_TIMESTAMP_TYPE_MAPPING":       "TIMESTAMP_NTZ",    // a bound time is a local time
		"TIMESTAMP_DAY_IS_ALWAYS_24H":         "false",            // DATEADD counts days in another way
		"TWO_DIGIT_CENTURY_START":             "1970",             // a year of two digits means another one
		"WEEK_START":                          "0",                // a week begins on another day
		"WEEK_OF_YEAR_POLICY":                 "0",                // a year begins with another week
		// what it returns
		"ROWS_PER_RESULTSET":    "0",    // a list ends early
		"DEFAULT_NULL_ORDERING": "LAST", // NULL is at the other end of a list
		// how a text is read as another type, or another type is written as a text
		"DATE_INPUT_FORMAT":           "AUTO",                             // a date is refused
		"TIME_INPUT_FORMAT":           "AUTO",                             // a time is refused
		"TIMESTAMP_INPUT_FORMAT":      "AUTO",                             // a timestamp is refused
		"BINARY_INPUT_FORMAT":         "HEX",                              // bytes are refused
		"DATE_OUTPUT_FORMAT":          "YYYY-MM-DD",                       // a date has another form
		"TIME_OUTPUT_FORMAT":          "HH24:MI:SS",                       // a time has another form
		"TIMESTAMP_OUTPUT_FORMAT":     "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM", // a timestamp has another form
		"TIMESTAMP_NTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF3",        // one in UTC has another form
		"TIMESTAMP_LTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM", // a local one has another form
		"TIMESTAMP_TZ_OUTPUT_FORMAT":  "YYYY-MM-DD HH24:MI:SS.FF3 TZHTZM", // one with its zone has another form
		"BINARY_OUTPUT_FORMAT":        "HEX",                              // bytes have another form
		"STRICT_JSON_OUTPUT":          "true",                             // JSON can hold NaN and undefined
		"JSON_INDENT":                 "0",                                // JSON has needless blanks
		"GEOGRAPHY_OUTPUT_FORMAT":     "GeoJSON",                          // a place has another form
		"GEOMETRY_OUTPUT_FORMAT":      "GeoJSON",                          // a shape has another form
		// what the driver sends
		"CLIENT_TELEMETRY_ENABLED":  "false", // each statement costs a second request
		"CLIENT_SESSION_KEEP_ALIVE": "false", // an idle session costs a request each hour
	}
}

// hybridParameters are those that sessions on hybrid tables set as well (Snowflake documentation, "Hybrid
// tables"). Without the first, a session may not see what another one has just committed. Without the second, a
// statement waits for a row for an hour.
func hybridParameters(timeout time.Duration) map[string]string {
	_, lock := limits(timeout)
	return map[string]string{"READ_LATEST_WRITES": "true", "HYBRID_TABLE_LOCK_TIMEOUT": seconds(lock)}
}

// limits returns how long a statement may run, and how long it may wait for a lock, if its caller waits for
// timeout. The wait is shorter than the statement, and leaves half of the time to the wait in this process. Both
// are whole seconds, at least one.
func limits(timeout time.Duration) (statement, lock time.Duration) {
	lock = max(time.Second, (timeout/2).Truncate(time.Second)-time.Second)
	return max(lock+time.Second, timeout.Truncate(time.Second)), lock
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
