package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	module     = "github.com/echo-in-snowflake/echo-in-snowflake/"
	moduleRoot = "../.."
)

// importRule says what a package may import besides the standard library.
type importRule struct {
	pkg    string
	ours   []string
	others []string // module paths
	not    []string // of the standard library
	// testsOnly says that only tests may import the package.
	testsOnly bool
	why       string
}

// outside is what only adapters and cmd may touch.
var outside = []string{"database/sql", "log", "log/slog", "net/http", "os"}

var importRules = []importRule{
	{
		pkg: "domain",
		not: outside,
		why: "entities and rules depend on nothing that could be replaced",
	},
	{
		pkg:  "ports",
		ours: []string{"domain"},
		not:  outside,
		why:  "a port speaks of entities, never of the technology behind it",
	},
	{
		pkg:  "domain/auth",
		ours: []string{"domain", "ports"},
		not:  outside,
		why:  "use cases decide; they reach everything else through ports",
	},
	{
		pkg:  "domain/credentials",
		ours: []string{"domain", "ports"},
		not:  outside,
		why:  "use cases decide; they reach everything else through ports",
	},
	{
		pkg:  "domain/users",
		ours: []string{"domain", "ports"},
		not:  outside,
		why:  "use cases decide; they reach everything else through ports",
	},
	{
		pkg:  "domain/items",
		ours: []string{"domain", "ports"},
		not:  outside,
		why:  "use cases decide; they reach everything else through ports",
	},
	{
		pkg:       "domain/domaintest",
		ours:      []string{"domain"},
		others:    []string{"github.com/google/uuid"},
		testsOnly: true,
		why:       "valid entities for tests are built in one place",
	},
	{
		pkg:    "ports/portstest",
		ours:   []string{"domain", "domain/domaintest", "ports"},
		others: []string{"github.com/google/uuid", "github.com/stretchr/testify"},
		why:    "a contract that knew one adapter could not judge another",
	},
	{
		pkg: "adapters/requestinfo",
		not: outside,
		why: "the HTTP adapter, the stores and the audit log share the description of a request",
	},
	{
		pkg:    "adapters/logbuffer",
		others: []string{"go.uber.org/zap"},
		why:    "a line waits for its reader there, whatever it says",
	},
	{
		pkg:  "adapters/memory",
		ours: []string{"domain", "ports"},
		why:  "the embedded store needs nothing but memory",
	},
	{
		pkg:    "adapters/terminal",
		others: []string{"golang.org/x/term"},
		why:    "both programs ask for passwords the same way",
	},
	{
		pkg:  "adapters/guard",
		ours: []string{"adapters/requestinfo", "domain"},
		others: []string{
			"github.com/sony/gobreaker/v2",
			"go.opentelemetry.io/otel",
		},
		why: "the stores on SQL databases share how they protect callers from a slow one",
	},
	{
		pkg:  "adapters/sqltable",
		ours: []string{"domain"},
		not:  []string{"log", "log/slog", "net/http", "os"},
		why:  "the stores on SQL databases describe their tables the same way",
	},
	{
		pkg:  "adapters/snowflake",
		ours: []string{"adapters/guard", "adapters/snowflake/session", "adapters/sqltable", "domain", "ports"},
		why:  "it holds SQL; how statements reach Snowflake is the session's",
	},
	{
		pkg:  "adapters/snowflake/session",
		ours: []string{"adapters/guard", "adapters/requestinfo", "domain"},
		others: []string{
			"github.com/snowflakedb/gosnowflake/v2",
			"go.opentelemetry.io/otel",
		},
		why: "the driver stays here, and no table or port comes in",
	},
	{
		pkg:       "adapters/snowflake/snowflaketest",
		ours:      []string{"adapters/snowflake/snowflaketest/engine"},
		testsOnly: true,
		why:       "a fake of Snowflake that knew this service could not test it",
	},
	{
		pkg:       "adapters/snowflake/snowflaketest/engine",
		not:       outside,
		testsOnly: true,
		why:       "the model of the proof is code that a reader can follow to its end",
	},
	{
		pkg: "adapters/snowflake/fakesnowtest",
		why: "it holds tests of the store on an emulator only",
	},
	{
		pkg: "adapters/snowflake/accounttest",
		why: "it holds tests of the store on a real account only",
	},
	{
		pkg: "cmd/server/fakesnowtest",
		why: "it holds tests of the service on an emulator only",
	},
	{
		pkg:    "adapters/postgres",
		ours:   []string{"adapters/postgres/session", "adapters/sqltable", "domain", "ports"},
		others: []string{"github.com/jackc/pgx/v5"},
		why:    "it holds SQL; how statements reach PostgreSQL is the session's, except for migrations",
	},
	{
		pkg:  "adapters/postgres/session",
		ours: []string{"adapters/guard", "adapters/requestinfo", "domain"},
		others: []string{
			"github.com/jackc/pgx/v5",
			"go.opentelemetry.io/otel",
		},
		why: "the driver stays here, and no table or port comes in",
	},
	{
		pkg: "adapters/postgres/servertest",
		why: "it holds tests of the store on a real server only",
	},
	{
		pkg: "cmd/server/postgrestest",
		why: "it holds tests of the service on a real server only",
	},
	{
		pkg: "adapters/postgres/poolertest",
		why: "it holds tests of the store behind PgBouncer only",
	},
	{
		pkg:    "deploy/peertest",
		others: []string{"github.com/stretchr/testify"},
		why:    "whether tests need another program, and how they start ours, is decided in one place",
	},
	{
		pkg: "deploy/local/program",
		why: "installations, ports and messages of other programs are the same for each of them",
	},
	{
		pkg:  "deploy/local/venv",
		ours: []string{"deploy/local/program"},
		why:  "programs in Python are pinned and installed in one place",
	},
	{
		pkg:    "deploy",
		ours:   []string{"adapters/terminal", "domain"},
		others: []string{"github.com/spf13/pflag", "go.yaml.in/yaml/v3"},
		why:    "a deployment runs other programs; of the service it knows which first password it accepts",
	},
	{
		pkg:    "deploy/platformtest",
		others: []string{"github.com/stretchr/testify"},
		why:    "the stand-in for the platform must not know the command that it judges",
	},
	{
		pkg: "deploy/observabilitytest",
		why: "it holds tests of the views on an emulator only",
	},
	{
		pkg: "deploy/rolestest",
		why: "it holds tests of a script on a real server only",
	},
	{
		pkg: "deploy/deploytest",
		why: "it holds tests of the deployment with the real CLI on an emulator only",
	},
	{
		pkg:    "deploy/local/emulator",
		ours:   []string{strings.TrimSuffix(module, "/"), "deploy/local/program", "deploy/local/venv"},
		others: []string{"github.com/snowflakedb/gosnowflake/v2"},
		why:    "an emulator with the tables needs nothing else",
	},
	{
		pkg:    "deploy/local/pgserver",
		ours:   []string{"deploy/local/program"},
		others: []string{"github.com/fergusstrange/embedded-postgres"},
		why:    "it runs a database server, whatever is stored there",
	},
	{
		pkg:    "deploy/pgtest",
		ours:   []string{"deploy/local/pgserver", "deploy/peertest"},
		others: []string{"github.com/jackc/pgx/v5", "github.com/stretchr/testify"},
		why:    "whether tests have a PostgreSQL server, and which, is decided in one place",
	},
	{
		pkg: "deploy/pgtest/pgbouncertest",
		why: "it holds tests of the start of PgBouncer only",
	},
	{
		pkg:    "deploy/local",
		ours:   []string{strings.TrimSuffix(module, "/"), "deploy/local/emulator", "deploy/local/pgserver"},
		others: []string{"github.com/jackc/pgx/v5"},
		why:    "it runs the service as a process, as a user does",
	},
	{
		pkg: strings.TrimSuffix(module, "/"),
		why: "it embeds scripts of operators for tests and local databases",
	},
	{
		pkg:  "adapters/httpapi",
		ours: []string{"adapters/requestinfo", "domain", "ports"},
		others: []string{
			"github.com/getkin/kin-openapi",
			"github.com/go-json-experiment/json",
			"github.com/google/uuid",
			"github.com/labstack/echo/v4",
			"github.com/mvrilo/go-redoc",
			"github.com/oapi-codegen/runtime",
			"github.com/swaggest/swgui",
			"go.opentelemetry.io/otel",
			"go.uber.org/zap",
		},
		why: "Echo and the OpenAPI libraries stay here, so that replacing one changes one package",
	},
	{
		pkg:  "adapters/security",
		ours: []string{"domain", "ports"},
		others: []string{
			"github.com/golang-jwt/jwt/v5",
			"github.com/google/uuid",
			"golang.org/x/crypto",
		},
		not: []string{"net/http"},
		why: "tokens and hashes are made in one place",
	},
	{
		pkg: "adapters/telemetry",
		others: []string{
			"github.com/go-logr/logr",
			"github.com/google/uuid",
			"go.opentelemetry.io/otel",
			"go.uber.org/zap",
			"golang.org/x/time/rate",
		},
		why: "exporters stay here; the code that is measured knows only the interfaces",
	},
	{
		pkg: "config",
		others: []string{
			"github.com/joho/godotenv",
			"github.com/spf13/pflag",
			"github.com/spf13/viper",
			"golang.org/x/net/idna",
		},
		why: "configuration is plain values, which cmd passes to the packages that use them",
	},
	{
		pkg: "static",
		why: "pages are files",
	},
	{
		pkg: "cmd/server",
		ours: []string{
			"adapters/httpapi", "adapters/logbuffer", "adapters/memory", "adapters/postgres", "adapters/postgres/session",
			"adapters/requestinfo", "adapters/security",
			"adapters/snowflake", "adapters/snowflake/session", "adapters/telemetry", "adapters/terminal",
			"config", "domain", "domain/auth", "domain/credentials", "domain/items", "domain/users", "ports", "static",
		},
		others: []string{
			"github.com/cenkalti/backoff/v5",
			"github.com/google/uuid",
			"github.com/spf13/cobra",
			"github.com/spf13/pflag",
			"go.opentelemetry.io/otel",
			"go.uber.org/zap",
		},
		why: "wiring knows every package of the module, and the libraries that start, log and stop",
	},
	{
		pkg: "cmd/server/browsertest",
		why: "it holds tests of the built program only",
	},
	{
		pkg: "cmd/server/copytest",
		why: "it holds tests of the built program only",
	},
	{
		pkg: "cmd/server/loadtest",
		why: "it attacks the built program only",
	},
	{
		pkg: "cmd/server/nginxtest",
		why: "it holds tests of the built program only",
	},
	{
		pkg: "cmd/server/clientstest",
		why: "it holds tests of the built program only",
	},
	{
		pkg: "cmd/server/schemathesistest",
		why: "it holds tests of the built program only",
	},
}

func TestEveryPackageImportsOnlyWhatItsRuleAllows(t *testing.T) {
	imports := packageImports(t)
	for _, rule := range importRules {
		t.Run(rule.pkg, func(t *testing.T) {
			require.Contains(t, imports, rule.pkg, "there is a rule, but no such package")
			for _, path := range imports[rule.pkg] {
				assert.True(t, rule.allows(path), "%s may not import %s: %s", rule.pkg, path, rule.why)
			}
		})
	}
	for pkg := range imports {
		ruled := slices.ContainsFunc(importRules, func(r importRule) bool { return r.pkg == pkg })
		assert.True(t, ruled, "say in importRules what %s may import, and why", pkg)
	}
}

func (r importRule) allows(path string) bool {
	if own := strings.TrimPrefix(path, module); own != path || path+"/" == module {
		return slices.Contains(r.ours, own)
	}
	if host, _, _ := strings.Cut(path, "/"); !strings.Contains(host, ".") {
		return !slices.Contains(r.not, path)
	}
	return slices.ContainsFunc(r.others, func(m string) bool {
		return path == m || strings.HasPrefix(path, m+"/")
	})
}

// packageImports returns what each of our packages imports, its tests aside.
func packageImports(t *testing.T) map[string][]string {
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	list.Dir = moduleRoot
	list.Env = goEnvironment
	list.Stderr = os.Stderr
	out, err := list.Output()
	require.NoError(t, err)

	imports := map[string][]string{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		require.NoError(t, decoder.Decode(&pkg))
		imports[strings.TrimPrefix(pkg.ImportPath, module)] = pkg.Imports
	}
	return imports
}

func TestPackagesForTestsAreImportedByTestsOnly(t *testing.T) {
	testing := map[string]string{}
	for _, rule := range importRules {
		if rule.testsOnly {
			testing[rule.pkg] = rule.why
		}
	}
	for pkg, imports := range packageImports(t) {
		if testing[pkg] != "" || strings.HasSuffix(pkg, "test") {
			continue
		}
		for _, path := range imports {
			assert.Empty(t, testing[strings.TrimPrefix(path, module)], "%s may not import %s", pkg, path)
		}
	}
}
