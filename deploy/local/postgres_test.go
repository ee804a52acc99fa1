//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dataFolder returns a folder that the user who runs PostgreSQL can reach.
func dataFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "local-*")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(folder, 0o755))
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	return filepath.Join(folder, "data")
}

// runPostgres runs the command until the test calls stop, which returns what it wrote.
func runPostgres(t *testing.T, folder, service string) (stop func() string) {
	t.Helper()
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, []string{"--store", "postgres", "--data", folder}, &out) }()
	stop = func() string {
		cancel()
		if ended != nil {
			assert.NoError(t, <-ended)
			ended = nil
		}
		return out.String()
	}
	t.Cleanup(func() { stop() })
	awaitReady(t, service)
	return stop
}

// call sends a request and returns the reply's text.
func call(t *testing.T, method, address, token, contentType, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+token)
	reply, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	require.Less(t, reply.StatusCode, 300, "%s", text)
	return string(text)
}

func tokenOf(t *testing.T, service, password string) string {
	t.Helper()
	form := url.Values{"username": {"admin@example.com"}, "password": {password}}
	reply := call(t, "POST", service+"/api/v1/auth/login", "", "application/x-www-form-urlencoded", form.Encode())
	return regexp.MustCompile(`"access_token":"([^"]*)"`).FindStringSubmatch(reply)[1]
}

func TestOnPostgreSQLDataAndPasswordSurviveTheCommand(t *testing.T) {
	service := configure(t)
	t.Setenv("FIRST_SUPERUSER_PASSWORD", "")
	folder := dataFolder(t)
	items := service + "/api/v1/items/"
	madeUp := regexp.MustCompile(`sign in as admin@example.com with (\S+) \(kept in`)

	stop := runPostgres(t, folder, service)
	kept, err := os.ReadFile(filepath.Join(folder, "first-superuser-password"))
	require.NoError(t, err)
	token := tokenOf(t, service, string(kept))
	call(t, "POST", items, token, "application/json", `{"title":"Snow shovel"}`)
	err = run(t.Context(), []string{"--store", "postgres", "--data", folder}, io.Discard)
	require.ErrorContains(t, err, "already runs")
	assert.Equal(t, string(kept), madeUp.FindStringSubmatch(stop())[1])

	stop = runPostgres(t, folder, service)
	token = tokenOf(t, service, string(kept))
	assert.Contains(t, call(t, "GET", items, token, "", ""), "Snow shovel")
	assert.Equal(t, string(kept), madeUp.FindStringSubmatch(stop())[1])
}

func TestTheServiceMayChangeRowsAndNotTables(t *testing.T) {
	folder := dataFolder(t)
	for range 2 { // the second time, everything exists
		server, err := startPostgres(t.Context(), folder)
		require.NoError(t, err)
		require.NoError(t, createRoles(t.Context(), server))
		migrator, app := server.DSN("echo_migrator", "echo"), server.DSN("echo_app", "echo")
		require.NoError(t, executeSQL(t.Context(), migrator, "CREATE TABLE IF NOT EXISTS echo.things (id int)"))
		require.NoError(t, executeSQL(t.Context(), app, "INSERT INTO echo.things VALUES (1)",
			"UPDATE echo.things SET id = 2", "SELECT id FROM echo.things", "DELETE FROM echo.things"))
		for _, st := range []string{
			"CREATE TABLE echo.mine (id int)", "CREATE TABLE public.mine (id int)", "DROP TABLE echo.things",
			"ALTER TABLE echo.things ADD COLUMN more int", "TRUNCATE echo.things", "CREATE SCHEMA mine",
		} {
			assert.ErrorContains(t, executeSQL(t.Context(), app, st), "42501", st)
		}
		require.NoError(t, server.Close())
	}
}
