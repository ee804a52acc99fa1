package observabilitytest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func request(at, method, route string, status int, more string) string {
	return fmt.Sprintf(`{"timestamp":"%s","severity_text":"INFO","body":"request","attributes":{"request_id":"r1","method":"%s","route":"%s","status":%d%s}}`,
		at, method, route, status, more)
}

func audit(at, event, actor, subject string) string {
	return auditOf(at, event, actor, subject, "s1", 1)
}

func auditOf(at, event, actor, subject, source string, count int) string {
	return fmt.Sprintf(`{"timestamp":"%s","severity_text":"INFO","body":"audit","attributes":{"event":"%s","actor_id":"%s","subject_id":"%s","object_id":"%s","source":"%s","count":%d,"request_id":"r1"}}`,
		at, event, actor, subject, subject, source, count)
}

func TestLatencyIsComputedForEachRouteAndDay(t *testing.T) {
	a := open(t)
	lines := []string{
		request("2026-03-02T00:00:00Z", "GET", "/items/", 200, `,"duration_ms":7,"store_ms":3`),
		request("2026-03-01T23:59:59.999Z", "POST", "/items/", 503, `,"duration_ms":500`),
	}
	for ms := range 101 {
		lines = append(lines, request("2026-03-01T10:00:00Z", "GET", "/items/", 200, fmt.Sprintf(`,"duration_ms":%d,"store_ms":%g`, ms+1, float64(ms)/2)))
	}
	a.writeLog(lines...)

	// Of 1 to 101 ms, 51 is the middle, and one answer in a hundred is slower than 100.
	assert.Equal(t, []string{
		"2026-03-01T00:00 GET /items/ 101 51 100 25 49.5",
		"2026-03-01T00:00 POST /items/ 1 500 500 - -",
		"2026-03-02T00:00 GET /items/ 1 7 7 3 3",
	}, a.rows("SELECT * FROM latency_by_route ORDER BY day, method"))
}

func TestErrorsAreCountedByCodeWithTheirShareOfAllAnswers(t *testing.T) {
	a := open(t)
	lines := []string{
		request("2026-03-01T10:00:00Z", "GET", "/items/:id", 404, `,"code":"not_found"`),
		request("2026-03-01T11:00:00Z", "GET", "/items/:id", 503, `,"code":"unavailable"`),
		request("2026-03-01T12:00:00Z", "GET", "/items/:id", 503, `,"code":"unavailable"`),
		request("2026-03-01T12:00:00Z", "PUT", "/items/:id", 400, `,"code":"bad_request"`),
		request("2026-03-02T12:00:00Z", "GET", "/items/:id", 500, ``),
	}
	for range 5 {
		lines = append(lines, request("2026-03-01T10:00:00Z", "GET", "/items/:id", 200, ""))
	}
	a.writeLog(lines...)

	assert.Equal(t, []string{
		"2026-03-01T00:00 GET /items/:id 404 not_found 1 0.125",
		"2026-03-01T00:00 GET /items/:id 503 unavailable 2 0.25",
		"2026-03-01T00:00 PUT /items/:id 400 bad_request 1 1",
		"2026-03-02T00:00 GET /items/:id 500 - 1 1",
	}, a.rows("SELECT * FROM errors_by_route ORDER BY day, method, status"))
}

func TestSignInsAndTheirFailuresAreCountedByHour(t *testing.T) {
	a := open(t)
	a.writeLog(
		audit("2026-03-01T10:00:00Z", "signed_in", "ann", "ann"),
		audit("2026-03-01T10:59:59Z", "signed_in", "bob", "bob"),
		audit("2026-03-01T10:10:00Z", "sign_in_failed", "", "ann"),
		audit("2026-03-01T10:10:01Z", "sign_in_failed", "", "ann"),
		auditOf("2026-03-01T10:10:02Z", "sign_in_failed", "", "bob", "s2", 1),
		auditOf("2026-03-01T10:11:02Z", "sign_in_failed", "", "bob", "s2", 500),
		audit("2026-03-01T10:10:03Z", "sign_in_failed", "", ""), // an e-mail without an account
		audit("2026-03-01T10:10:04Z", "sign_in_throttled", "", ""),
		audit("2026-03-01T10:20:00Z", "user_created", "ann", "eve"),
		audit("2026-03-01T11:00:00Z", "signed_in", "ann", "ann"),
		request("2026-03-01T12:00:00Z", "POST", "/auth/login", 401, `,"event":"sign_in_failed"`),
	)

	assert.Equal(t, []string{
		"2026-03-01T10:00 2 504 1 2 2",
		"2026-03-01T11:00 1 0 0 0 0",
	}, a.rows("SELECT * FROM sign_ins ORDER BY hour"))
	assert.Equal(t, []string{
		"sign_in_failed - bob bob s2 1 r1", "sign_in_failed - bob bob s2 500 r1", "user_created ann eve eve s1 1 r1",
	}, a.rows(`
		SELECT event, actor_id, subject_id, object_id, source, occurrences, request_id FROM audit_events
		WHERE subject_id IN ('bob', 'eve') AND event <> 'signed_in' ORDER BY event, occurrences`))
}

func TestARequestIsFoundByItsIDWithAllFieldsOfItsLogLine(t *testing.T) {
	a := open(t)
	a.writeLog(`{"timestamp":"2026-03-01T10:20:30Z","severity_text":"WARN","body":"request","attributes":{"request_id":"r7","method":"GET","route":"/items/","status":503,` +
		`"duration_ms":12.5,"trace_id":"t7","statements":2,"rows":9,"store_wait_ms":0.5,"store_ms":11.25,"account_id":"ann","code":"unavailable","error":"no route to host"}}`)

	assert.Equal(t, []string{"2026-03-01T10:20 2026-03-01T10:00 2026-03-01T00:00 r7 t7 ann GET /items/ 503 unavailable no route to host 12.5 2 0.5 11.25"},
		a.rows("SELECT * FROM requests WHERE request_id = 'r7'"))
	assert.Equal(t, []string{"WARN"}, a.rows("SELECT severity FROM service_logs"))
}

func TestOnlyLogLinesOfTheServiceAreCounted(t *testing.T) {
	a := open(t)
	const record, attributes, at = `{"severity_text": "INFO"}`, `{"route": "/", "status": 500, "store_ms": 1}`, "2026-03-01T10:00:00Z"
	a.addEvents(
		event(at, "LOG", record, attributes, strings.Replace(ours, "ECHO_SERVICE", "OTHER", 1), "request"),
		event(at, "LOG", record, attributes, strings.Replace(ours, "ECHO_DB", "OTHER", 1), "request"),
		event(at, "LOG", record, attributes, strings.Replace(ours, "ECHO_SCHEMA", "OTHER", 1), "request"),
		event(at, "LOG", record, attributes, `{}`, "request"),
		event(at, "SPAN", record, attributes, ours, "request"),
		event(at, "METRIC", record, attributes, ours, "request"),
	)
	assert.Empty(t, a.rows("SELECT * FROM service_logs"))

	a.addEvents(event(at, "LOG", record, `{"log.iostream": "stderr"}`, ours, "panic: not in JSON"))
	assert.Len(t, a.rows("SELECT * FROM service_logs"), 1)
	assert.Empty(t, a.rows("SELECT * FROM requests"))
	assert.Empty(t, a.rows("SELECT * FROM audit_events"))
}

func TestTheCostOfARouteIsTheSumOfTheCreditsOfItsStatements(t *testing.T) {
	a := open(t)
	tag := func(route, request string) string {
		return fmt.Sprintf(`{"app":"echo-in-snowflake","v":"1.2.3","route":"%s","rid":"%s","trace":"t1"}`, route, request)
	}
	for _, q := range []struct {
		id, tag, start string
		ms             int
	}{
		{"q1", tag("/items/", "r1"), "2026-03-01 10:00:00+00:00", 150},
		{"q2", tag("/items/", "r1"), "2026-03-01 10:00:01+00:00", 90}, // too short to be attributed
		{"q3", tag("/items/", "r2"), "2026-03-01 23:59:59+00:00", 760},
		{"q4", tag("/users/", "r3"), "2026-03-01 01:30:00+02:00", 500}, // the day before, in UTC
		{"q0", tag("", ""), "2026-03-01 09:00:00+00:00", 250},          // at the start of the service
		{"q5", "nightly load", "2026-03-01 10:00:00+00:00", 9000},
		{"q6", "", "2026-03-01 10:00:00+00:00", 9000},
		{"q7", `{"app":"other","route":"/items/","rid":"r1"}`, "2026-03-01 10:00:00+00:00", 9000},
	} {
		a.do(fmt.Sprintf("INSERT INTO query_history VALUES ('%s', '%s', '%s', 'SUCCESS', NULL, %d, %d, 0.125)", q.id, q.tag, q.start, q.ms, q.ms+50))
	}
	a.do("INSERT INTO query_attribution_history VALUES ('q1', 0.25), ('q3', 0.5), ('q5', 8), ('q7', 8)")

	assert.Equal(t, []string{
		"2026-02-28T00:00 /users/ 1 1 0.5 0 0 0.125",
		"2026-03-01T00:00  0 1 0.25 0 0 0.125",
		"2026-03-01T00:00 /items/ 2 3 1 2 0.75 0.375",
	}, a.rows("SELECT * FROM cost_by_route ORDER BY day, route"))
	assert.Equal(t, []string{"q4 2026-02-28T23:30 SUCCESS - 500 550 0.125 - 1.2.3 /users/ r3 t1 2026-02-28T00:00"},
		a.rows("SELECT * FROM statements WHERE request_id = 'r3'"))
}

func TestTheEstimateDividesTheMeteredCreditsAndNoMore(t *testing.T) {
	a := open(t)
	a.do(`INSERT INTO warehouse_metering_history VALUES
		('ECHO_WH', '2026-03-01 12:00:00+02:00', 0.5), -- 10:00 in UTC
		('ECHO_WH', '2026-03-01 11:00:00+00:00', 0.25),
		('ECHO_WH', '2026-03-01 13:00:00+00:00', 1),
		('OTHER_WH', '2026-03-01 10:00:00+00:00', 8)`)
	a.writeLog(
		request("2026-03-01T10:05:00Z", "GET", "/items/", 200, `,"statements":1,"store_ms":300`),
		request("2026-03-01T10:59:59Z", "POST", "/items/", 201, `,"statements":2,"store_ms":450`),
		request("2026-03-01T10:30:00Z", "POST", "/users/", 201, `,"statements":5,"store_ms":250`),
		request("2026-03-01T10:30:00Z", "GET", "/livez", 200, ``),
		request("2026-03-01T12:00:00Z", "GET", "/items/", 200, `,"statements":1,"store_ms":100`), // not metered
		request("2026-03-01T13:00:00Z", "GET", "/items/", 200, `,"statements":1,"store_ms":500`),
	)

	// In the first hour one route had three quarters of the time; in the second there was no request; in the last
	// there was one route.
	assert.Equal(t, []string{
		"2026-03-01T10:00 /items/ 2 3 0.75 0.375",
		"2026-03-01T10:00 /users/ 1 5 0.25 0.125",
		"2026-03-01T11:00 - 0 0 0 0.25",
		"2026-03-01T13:00 /items/ 1 1 0.5 1",
	}, a.rows("SELECT * FROM estimated_cost_by_route ORDER BY hour, route"))
}

func TestTheServiceCostsItsWarehousesAndItsComputePool(t *testing.T) {
	a := open(t)
	a.do(`INSERT INTO warehouse_metering_history VALUES
		('ECHO_WH', '2026-03-01 10:00:00+00:00', 0.5),
		('ECHO_WH', '2026-03-01 23:00:00+00:00', 0.25),
		('ECHO_WH', '2026-03-02 01:00:00+02:00', 1), -- 23:00 of the day before, in UTC
		('ECHO_MONITOR_WH', '2026-03-01 10:00:00+00:00', 0.125),
		('OTHER_WH', '2026-03-01 10:00:00+00:00', 8)`)
	a.do(`INSERT INTO snowpark_container_services_history VALUES
		('ECHO_POOL', '2026-03-01 10:00:00+00:00', 0.06),
		('ECHO_POOL', '2026-03-01 11:00:00+00:00', 0.06),
		('ECHO_POOL', '2026-03-02 00:00:00+00:00', 0.12),
		('OTHER_POOL', '2026-03-01 10:00:00+00:00', 8)`)

	assert.Equal(t, []string{
		"ECHO_MONITOR_WH 2026-03-01T00:00 0.125",
		"ECHO_POOL 2026-03-01T00:00 0.12",
		"ECHO_POOL 2026-03-02T00:00 0.12",
		"ECHO_WH 2026-03-01T00:00 1.75",
	}, a.rows("SELECT name, day, credits::FLOAT FROM credits_by_day ORDER BY name, day"))
}
