package clientstest

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/venv"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, nil) }

// packages are what the client in TypeScript needs.
var packages = []string{
	"openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3", "@types/node@24.19.4",
}

func TestGeneratedClientsCanCallEveryOperation(t *testing.T) {
	origin := peertest.StartServer(t).URL
	api := origin + "/api/v1"
	reply, err := http.Get(api + "/openapi.json")
	require.NoError(t, err)
	defer reply.Body.Close()
	document, err := io.ReadAll(reply.Body)
	require.NoError(t, err)
	here, err := os.Getwd()
	require.NoError(t, err)

	t.Run("in Go", func(t *testing.T) {
		w := newWorkshop(t, document)
		w.run(here, "go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "main",
			"-o", w.file("generated.go"), w.file("openapi.json"))
		w.copy("client.go")
		w.run(here, "go", "run", w.file("client.go"), w.file("generated.go"), api)
	})
	t.Run("in Python", func(t *testing.T) {
		w := newWorkshop(t, document)
		python := newPython(t)
		w.run(w.folder, python, "-m", "openapi_python_client", "generate", "--path", "openapi.json",
			"--output-path", "generated", "--meta", "none")
		w.copy("client.py")
		w.run(w.folder, python, "client.py", api)
	})
	t.Run("in TypeScript", func(t *testing.T) {
		w := newWorkshop(t, document)
		require.NoError(t, os.WriteFile(w.file("package.json"), []byte(`{"type": "module"}`), 0o600))
		w.run(w.folder, "npm", append([]string{"install", "--no-audit", "--no-fund", "--silent"}, packages...)...)
		// Otherwise a body would have to contain each field that has a default.
		w.run(w.folder, "npx", "openapi-typescript", "openapi.json", "--default-non-nullable=false", "-o", "schema.d.ts")
		w.copy("client.ts")
		w.run(w.folder, "npx", "tsc", "--strict", "--module", "nodenext", "--target", "es2022", "--skipLibCheck",
			"--types", "node", "client.ts")
		w.run(w.folder, "node", "client.js", api)
	})
}

func newPython(t *testing.T) string {
	t.Helper()
	python, err := venv.Python(t.Context(), "clients", []byte("openapi-python-client==0.29.1\n"), t.Output())
	require.NoError(t, err)
	return python
}

// workshop is a folder with openapi.json, in which a client is made.
type workshop struct {
	t      *testing.T
	folder string
}

func newWorkshop(t *testing.T, document []byte) workshop {
	t.Helper()
	w := workshop{t, t.TempDir()}
	require.NoError(t, os.WriteFile(w.file("openapi.json"), document, 0o600))
	return w
}

func (w workshop) file(name string) string { return filepath.Join(w.folder, name) }

// copy copies a file of testdata into the folder.
func (w workshop) copy(name string) {
	w.t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(w.t, err)
	require.NoError(w.t, os.WriteFile(w.file(name), content, 0o600))
}

func (w workshop) run(folder, name string, args ...string) {
	w.t.Helper()
	command := exec.CommandContext(w.t.Context(), name, args...)
	command.Dir = folder
	out, err := command.CombinedOutput()
	require.NoError(w.t, err, "%s %v\n%s", name, args, out)
}
