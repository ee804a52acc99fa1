package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheBinaryContainsNoTestLibraryAndNoGenerator(t *testing.T) {
	list := exec.Command("go", "list", "-deps", ".")
	list.Env = goEnvironment
	list.Stderr = os.Stderr
	out, err := list.Output()
	require.NoError(t, err)
	linked := strings.Fields(string(out))
	require.Contains(t, linked, module+"adapters/httpapi")

	for unwanted, why := range map[string]string{
		"testing":                  "is for tests",
		module + "ports/portstest": "is for tests",
		module + "adapters/snowflake/snowflaketest": "is for tests",
		"github.com/stretchr/testify":               "is for tests",
		"go.uber.org/goleak":                        "is for tests",
		"pgregory.net/rapid":                        "is for tests",
		"github.com/chromedp":                       "is for tests",
		"github.com/oapi-codegen/oapi-codegen":      "runs at development time",
		"honnef.co/go/tools":                        "runs at development time",
		"golang.org/x/tools":                        "runs at development time",
		"github.com/swaggest/swgui/v5emb":           "executes html/template, which keeps the linker from dropping unused methods (11.7 MB)",
		"github.com/oapi-codegen/echo-middleware":   "drops the request's context and turns 405 into 404",
		"net/http/pprof":                            "registers itself on the default mux",
		"expvar":                                    "registers itself on the default mux",
	} {
		for _, pkg := range linked {
			within := pkg == unwanted || strings.HasPrefix(pkg, unwanted+"/")
			assert.False(t, within, "%s is in the binary, but %s", pkg, why)
		}
	}
}
