package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
)

func TestDoctorFindsNothingWrongInDevelopment(t *testing.T) {
	x := execute("", "doctor")
	assert.Equal(t, execution{exitOK, "ok  configuration  every key has its default\n" +
		"ok  signing keys   1 signs, 0 more are accepted\n" +
		"ok  store          in memory: its data ends with the process\n", ""}, x)
}

func TestDoctorNamesEachMistakeOfTheConfiguration(t *testing.T) {
	t.Setenv("JWT_SECRET_KEY", "too short a secret")
	x := execute("", "doctor", "--storage=snowflake", "--http-addr=x")
	assert.Equal(t, exitFailed, x.code)
	assert.Equal(t, errChecksFailed.Error()+"\n", x.stderr)
	lines := strings.Split(strings.TrimSpace(x.stdout), "\n")
	assert.Len(t, lines, 4)
	for _, line := range lines {
		assert.Regexp(t, `^failed  configuration  [A-Z_]+`, line)
	}
	assert.NotContains(t, x.stdout, "too short a secret")
}

func TestDoctorRemindsOfTheEndOfARotation(t *testing.T) {
	t.Setenv("JWT_PREVIOUS_SECRET_KEY", randomKey)
	x := execute("", "doctor")
	assert.Equal(t, exitOK, x.code)
	assert.Regexp(t, `(?m)^warning  signing keys   1 signs, 1 more are accepted; .*JWT_PREVIOUS_SECRET_KEY`, x.stdout)
	assert.NotContains(t, x.stdout, randomKey)
}

func TestDoctorExaminesSnowflake(t *testing.T) {
	server := fakeSnowflake(t, engine.Rules{})
	config := snowflakeConfig(t, server)
	x := executeUntil(t.Context(), "", "doctor", config)
	require.Equal(t, exitOK, x.code, x.stdout)
	for _, line := range []string{
		`ok       sign-in           as ECHO_USER`, `ok       role              ECHO_ROLE`, `ok       clock             agrees`,
		`ok       tables            standard tables`, `ok       grants            all`, `ok       read consistency  GLOBAL`,
		`ok       warehouse         answered in`, `ok       first superuser   the next start`,
	} {
		assert.Contains(t, x.stdout, "\n"+line)
	}
	assert.Regexp(t, `(?m)^warning  query history     ALLOW_BIND_VALUES_ACCESS is TRUE; .`, x.stdout)

	server.Exec("DROP TABLE users")
	x = executeUntil(t.Context(), "", "doctor", config)
	assert.Equal(t, exitFailed, x.code)
	assert.Regexp(t, `(?m)^failed  tables  .*table users.*; run setup.sql`, x.stdout)

	server.Stop()
	x = executeUntil(t.Context(), "", "doctor", config, "--request-timeout=1s")
	assert.Equal(t, exitFailed, x.code)
	assert.Regexp(t, `(?m)^failed  sign-in  `, x.stdout)
}

func TestDoctorPrintsAReportForAnIssueWithoutSecrets(t *testing.T) {
	server := fakeSnowflake(t, engine.Rules{})
	x := executeUntil(t.Context(), "", "doctor", "--json", snowflakeConfig(t, server))
	require.Equal(t, exitOK, x.code, x.stdout)
	var r report
	require.NoError(t, json.Unmarshal([]byte(x.stdout), &r))
	assert.Equal(t, "snowflake", r.Storage)
	assert.NotEmpty(t, r.Version)
	assert.NotEmpty(t, r.Go)
	assert.Len(t, r.Checks, 11)
	for _, secret := range []string{randomKey, goodPassword, snowflakePassword} {
		assert.NotContains(t, x.stdout, secret)
	}
}
