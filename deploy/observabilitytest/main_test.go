package observabilitytest

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/emulator"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

var fakesnow *emulator.Emulator

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, start) }

func start() (stop func(), err error) {
	_ = sf.GetLogger().SetLogLevel("OFF")
	fakesnow, err = emulator.Start(context.Background(), os.Stderr)
	return func() { _ = fakesnow.Close() }, err
}

// script returns the statements of observability.sql. A comment must be a whole line, and no literal may contain a
// semicolon.
func script(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../observability.sql")
	require.NoError(t, err)
	var code strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "--") {
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

// sources creates tables with the columns that the views read.
var sources = []string{
	`CREATE TABLE events (timestamp TIMESTAMP_NTZ, record_type VARCHAR, record OBJECT, record_attributes OBJECT, resource_attributes OBJECT, value VARIANT)`,
	`CREATE TABLE query_history (query_id VARCHAR, query_tag VARCHAR, start_time TIMESTAMP_LTZ, execution_status VARCHAR, error_code VARCHAR,
		execution_time NUMBER(38, 0), total_elapsed_time NUMBER(38, 0), credits_used_cloud_services FLOAT)`,
	`CREATE TABLE query_attribution_history (query_id VARCHAR, credits_attributed_compute FLOAT)`,
	`CREATE TABLE warehouse_metering_history (warehouse_name VARCHAR, start_time TIMESTAMP_LTZ, credits_used_compute NUMBER(38, 9))`,
	`CREATE TABLE snowpark_container_services_history (compute_pool_name VARCHAR, start_time TIMESTAMP_LTZ, credits_used NUMBER(38, 9))`,
}

// account is a schema with the views of observability.sql and its own sources.
type account struct {
	t  *testing.T
	db *sql.DB
}

func open(t *testing.T) account {
	t.Helper()
	db := sql.OpenDB(sf.NewConnector(sf.SnowflakeDriver{}, sf.Config{
		Account: "fakesnow", User: "u", Password: "p", Host: fakesnow.Host, Port: fakesnow.Port, Protocol: "http",
		Database: "observability", Schema: "s" + strings.ToLower(t.Name()), MaxRetryCount: -1,
	}))
	t.Cleanup(func() { _ = db.Close() })
	a := account{t, db}
	for _, st := range sources {
		a.do(st)
	}
	local := strings.NewReplacer("snowflake.account_usage.", "", "snowflake.telemetry.", "")
	for _, st := range script(t) {
		if strings.HasPrefix(st, "CREATE OR REPLACE VIEW") {
			a.do(local.Replace(st))
		}
	}
	return a
}

func (a account) do(st string) {
	a.t.Helper()
	_, err := a.db.ExecContext(a.t.Context(), st)
	require.NoError(a.t, err, st)
}

// line is a log line of the service. Snowflake puts its parts into columns (documentation, "Monitoring Services").
type line struct {
	Timestamp  string          `json:"timestamp"`
	Severity   string          `json:"severity_text"`
	Body       string          `json:"body"`
	Attributes json.RawMessage `json:"attributes"`
}

// ours is the resource attributes of the service.
const ours = `{"snow.service.name": "ECHO_SERVICE", "snow.database.name": "ECHO_DB", "snow.schema.name": "ECHO_SCHEMA"}`

// writeLog writes log lines of the service.
func (a account) writeLog(lines ...string) {
	a.t.Helper()
	var values []string
	for _, text := range lines {
		var l line
		require.NoError(a.t, json.Unmarshal([]byte(text), &l), text)
		values = append(values, event(l.Timestamp, "LOG", `{"severity_text": "`+l.Severity+`"}`, string(l.Attributes), ours, l.Body))
	}
	a.addEvents(values...)
}

// event returns a SELECT of a row of the event table.
func event(at, kind, record, attributes, resource, value string) string {
	return fmt.Sprintf("SELECT '%s'::TIMESTAMP_NTZ, '%s', PARSE_JSON('%s'), PARSE_JSON('%s'), PARSE_JSON('%s'), TO_VARIANT('%s')",
		at, kind, record, attributes, resource, value)
}

func (a account) addEvents(events ...string) {
	a.t.Helper()
	a.do("INSERT INTO events " + strings.Join(events, " UNION ALL "))
}

// rows returns the rows of a query as texts with a space between the values. NULL is a dash.
func (a account) rows(query string) []string {
	a.t.Helper()
	rows, err := a.db.QueryContext(a.t.Context(), query)
	require.NoError(a.t, err, query)
	defer rows.Close()
	columns, err := rows.Columns()
	require.NoError(a.t, err)
	var all []string
	for rows.Next() {
		values, places := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		require.NoError(a.t, rows.Scan(places...))
		fields := make([]string, len(columns))
		for i, v := range values {
			switch v := v.(type) {
			case nil:
				fields[i] = "-"
			case time.Time:
				fields[i] = v.Format("2006-01-02T15:04")
			default:
				fields[i] = fmt.Sprint(v)
			}
		}
		all = append(all, strings.Join(fields, " "))
	}
	require.NoError(a.t, rows.Err())
	return all
}
