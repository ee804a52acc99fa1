//go:build unix

package schemathesistest

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/venv"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
)

func TestMain(m *testing.M) {
	if peertest.Wanted {
		pgtest.Main(m)
	} else {
		peertest.Main(m, false, nil)
	}
}

const password = "correct horse battery staple"

func TestSchemathesisFindsNothingInMemory(t *testing.T) {
	findNothing(t, peertest.StartServer(t, variables()...).URL)
}

func TestSchemathesisFindsNothingOnPostgreSQL(t *testing.T) {
	server := pgtest.StartServer(t, pgserver.Options{})
	store := append(variables(), "STORAGE=postgres", "POSTGRES_HOST="+server.Socket, fmt.Sprint("POSTGRES_PORT=", server.Port),
		"POSTGRES_DATABASE=postgres", "POSTGRES_USER=postgres", "JWT_SECRET_KEY=mHq0vZ1dZk2Yw1n1rj7mS3l8fK9QbVxTt4oPzE6uCgA=")
	peertest.Run(t, store, "migrate")
	findNothing(t, peertest.StartServer(t, store...).URL)
}

// variables are those of every store. Each client of Schemathesis has a source of its own, so that the limits on what one
// source may try do not end a run.
func variables() []string {
	return []string{"SOURCE_HEADER=X-Source", "FIRST_SUPERUSER_PASSWORD=" + password}
}

// findNothing runs Schemathesis on every operation and fails if it finds that service and document differ.
func findNothing(t *testing.T, origin string) {
	t.Helper()
	limit := 20 * time.Second
	if text, ok := os.LookupEnv("ECHO_TEST_SCHEMATHESIS"); ok {
		var err error
		limit, err = time.ParseDuration(text)
		require.NoError(t, err, "ECHO_TEST_SCHEMATHESIS")
	}
	python, err := venv.Python(t.Context(), "schemathesis", []byte("schemathesis==4.32.5\n"), t.Output())
	require.NoError(t, err)
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "openapi.json"), documentOf(t, origin), 0o600))
	for _, name := range []string{"hooks.py", "schemathesis.toml"} {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), content, 0o600))
	}
	command := exec.CommandContext(t.Context(), python, "-m", "schemathesis.cli", "run", "openapi.json",
		"--url", origin+"/api/v1", "--no-color", "--phases", "examples,coverage,fuzzing",
		"--max-time", fmt.Sprint(int(limit.Seconds())), "--continue-on-failure")
	command.Dir = folder
	command.Env = append(os.Environ(), "SCHEMATHESIS_HOOKS=hooks", "PYTHONPATH="+folder, "API="+origin+"/api/v1",
		"PASSWORD="+password)
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

// documentOf returns the document of the service without what Schemathesis understands in another way: it makes up cursors
// and versions that no reply of the service had, and its format email excludes host names that DNS allows.
func documentOf(t *testing.T, origin string) []byte {
	t.Helper()
	address, err := url.Parse(origin + "/api/v1/openapi.json")
	require.NoError(t, err)
	doc, err := openapi3.NewLoader().LoadFromURI(address)
	require.NoError(t, err)
	for _, item := range doc.Paths.Map() {
		for _, o := range item.Operations() {
			o.Parameters = slices.DeleteFunc(o.Parameters, func(p *openapi3.ParameterRef) bool {
				return p.Value.Name == "cursor" || p.Value.Name == "If-Match"
			})
		}
	}
	doc.Components.Schemas["Email"].Value.Format = ""
	document, err := doc.MarshalJSON()
	require.NoError(t, err)
	return document
}
