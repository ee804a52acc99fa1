package main

import (
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const guide = "README.md"

// sources returns the lines of code that can hold a message for an operator.
func sources(t *testing.T) []string {
	t.Helper()
	lines := strings.Split(readFile(t, "smoke.sh"), "\n")
	for _, folder := range []string{"adapters", "cmd", "config", "deploy", "domain"} {
		require.NoError(t, filepath.WalkDir("../"+folder, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				lines = append(lines, strings.Split(readFile(t, path), "\n")...)
			}
			return err
		}))
	}
	return lines
}

// contains reports whether a line has the parts of a message in their order.
func contains(line string, parts []string) bool {
	for _, part := range parts {
		_, rest, found := strings.Cut(line, strings.TrimSpace(part))
		if !found {
			return false
		}
		line = rest
	}
	return true
}

func TestEveryMessageInTheGuideIsInTheCodeOrMarkedAsSnowflakes(t *testing.T) {
	_, tables, found := strings.Cut(readFile(t, guide), "\n## When it does not work\n")
	require.True(t, found)
	lines := sources(t)
	messages := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	ours := messages.FindAllStringSubmatch(tables, -1)
	for _, m := range ours {
		parts := strings.Split(m[1], "…")
		assert.Greater(t, len(strings.Join(parts, "")), 10, "%s is too short", m[1])
		assert.True(t, slices.ContainsFunc(lines, func(line string) bool { return contains(line, parts) }), m[1])
	}
	rows := strings.Count(tables, "\n| ") - strings.Count(tables, "\n| message |")
	assert.Equal(t, rows, len(ours)+strings.Count(tables, " (Snowflake) |"), "a message is in the code or marked as Snowflake's")
}

func TestEveryNameInTheGuideExists(t *testing.T) {
	text := readFile(t, guide)
	var scripts string
	for _, file := range []string{
		"../setup.sql", "bootstrap.sql", "observability.sql", "spec.yml", "postgres.sql", "postgres-roles.sql", "postgres.yml",
	} {
		scripts += readFile(t, file)
	}
	objects := regexp.MustCompile(`\becho_[a-z_]*[a-z]\b`)
	created := objects.FindAllString(scripts, -1)
	for _, name := range objects.FindAllString(text, -1) {
		assert.Contains(t, created, name)
	}

	variables := regexp.MustCompile(`\bECHO_[A-Z_]*[A-Z]\b`)
	known := variables.FindAllString(usage+readFile(t, "observability.sql"), -1)
	for _, key := range regexp.MustCompile(`(?m)^ +([A-Z_]+): `).FindAllStringSubmatch(readFile(t, "spec.yml")+readFile(t, "postgres.yml"), -1) {
		known = append(known, "ECHO_"+key[1])
	}
	for _, name := range variables.FindAllString(text, -1) {
		assert.Contains(t, known, name)
	}
}

// Without --role, the CLI uses the default role of the user.
func TestEveryCallOfTheCLINamesItsRole(t *testing.T) {
	calls := 0
	for _, pattern := range []string{"../*.md", "../*.sql", "../docs/*.md", "*.md", "*.sql", "../.github/workflows/*.yml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			for _, call := range regexp.MustCompile(`snow (sql|spcs \S+ \S+ echo_).*`).FindAllString(readFile(t, file), -1) {
				calls++
				assert.Contains(t, call, "--role ", file)
			}
		}
	}
	assert.Greater(t, calls, 10)
}

// "Monitoring Services" has three names for it, each in another section.
func TestTheQueryOfTheLogKnowsEveryDocumentedNameOfAnInstance(t *testing.T) {
	for _, name := range []string{"snow.service.instance", "snow.container.instance", "snow.service_container.instance"} {
		assert.Contains(t, readFile(t, guide), `resource_attributes:"`+name+`"`)
	}
}

func TestTheDocumentsNameWhatOnlyTheAccountCanDecide(t *testing.T) {
	for _, statement := range []string{
		"ALTER ACCOUNT SET READ_CONSISTENCY_MODE = 'GLOBAL'",
		"ALTER ACCOUNT SET ALLOW_BIND_VALUES_ACCESS = FALSE",
		"REVOKE BIND SERVICE ENDPOINT ON ACCOUNT FROM ROLE PUBLIC",
	} {
		assert.Contains(t, readFile(t, guide), "\n| `"+statement+"` |")
	}
	security := strings.Join(strings.Fields(readFile(t, "../SECURITY.md")), " ")
	for _, truth := range []string{
		"stay in Snowflake's query history for a year", "`ALTER ACCOUNT SET ALLOW_BIND_VALUES_ACCESS = FALSE`",
		"can also alter, suspend or drop the service", "**A limit on the number of items**",
	} {
		assert.Contains(t, security, truth)
	}
}

func TestTheGuideAdmitsTheWorkflowsThroughANetworkPolicy(t *testing.T) {
	text, bootstrap := readFile(t, guide), readFile(t, "bootstrap.sql")
	for _, user := range regexp.MustCompile(`CREATE USER IF NOT EXISTS (\w+)`).FindAllStringSubmatch(bootstrap, -1) {
		assert.Contains(t, text, "ALTER USER "+user[1]+" SET NETWORK_POLICY = github_runners;\n")
	}
}

func TestTheGuideHelpsAnAdministratorThroughTheFirstSignIn(t *testing.T) {
	text := readFile(t, guide)
	assert.Regexp(t, `\*\*The first sign-in\.\*\*[^#]*\(#who-may\)[^#]*invalid consent request`, text)
	assert.Contains(t, text, "\nALTER USER me SET DEFAULT_ROLE = api_caller;")
	assert.Contains(t, text, "\n| `invalid consent request` (Snowflake) |")
}

func TestTheFiguresOfTheCostFollowFromItsFormulas(t *testing.T) {
	text := readFile(t, "cost.md")
	number := func(s string) float64 {
		f, err := strconv.ParseFloat(strings.ReplaceAll(s, ",", ""), 64)
		require.NoError(t, err)
		return f
	}
	for s, values := range map[float64]string{60: "0.02 0.08 0.15 0.39 0.63 0.86 1", 90: "0.02 0.12 0.22 0.53 0.78 0.95 1"} {
		row := strings.ReplaceAll(values, " ", " | ")
		assert.Contains(t, text, fmt.Sprintf("| credits an hour, s = %.0f | %s |\n", s, row))
		for i, value := range strings.Fields(values) {
			n := []float64{1, 5, 10, 30, 60, 120, 300}[i]
			assert.InDelta(t, 1-math.Exp(-n*s/3600), number(value), 0.0070, "n = %.0f", n)
		}
	}
	examples := regexp.MustCompile(`(?m)^\| [^|]+ \| (\d) \| ([\d.]+) \| (?:.* = )?([\d.]+) \| ([\d.]+) \| ([\d,]+) \| ([\d,.]+) \|$`)
	rows := examples.FindAllStringSubmatch(text, -1)
	assert.Len(t, rows, 5)
	for _, row := range rows {
		pool, warehouse, sum := number(row[2]), number(row[3]), number(row[4])
		assert.InDelta(t, number(row[1])*0.06*730, pool, 0.05, row[0])
		assert.InDelta(t, pool+warehouse, sum, 0.05, row[0])
		assert.InDelta(t, 3*sum, number(row[5]), 0.5, row[0])
		assert.InDelta(t, pool+1.35*warehouse, number(row[6]), 0.1, row[0])
	}
}

func TestTheGuideRecommendsShortTokensOnPostgreSQL(t *testing.T) {
	_, section, _ := strings.Cut(readFile(t, guide), "\n### Set PostgreSQL up\n")
	section, _, _ = strings.Cut(section, "\n### ")
	assert.Contains(t, section, "`ECHO_ACCESS_TOKEN_EXPIRE_MINUTES=15`")
}

func TestTheFiguresOfRefreshesFollowFromTheirFormula(t *testing.T) {
	text := strings.ReplaceAll(readFile(t, "cost.md"), ",", "")
	for label, minutes := range map[string]int{"60 the default": 60, "15": 15} {
		assert.Contains(t, text, fmt.Sprintf("| %s | %d | %d |\n", label, 3*60*minutes, 10*60*minutes))
	}
	short, long := 1-math.Exp(-10.*60/3600), 1-math.Exp(-10.*90/3600)
	want := fmt.Sprintf("%.2f credits an hour with s = 60 %.2f with s = 90 or %.0f to %.0f credits a month",
		short, long, 730*short, 730*long)
	assert.Contains(t, strings.Join(strings.Fields(text), " "), want)
}

func TestTheCostOfPostgreSQLFollowsFromItsSource(t *testing.T) {
	text := readFile(t, "cost.md")
	assert.Contains(t, text, fmt.Sprintf("| 0.0136 | %.1f |\n", 0.0136*730))
	assert.Contains(t, text, fmt.Sprintf("%.1f + 26 = %.1f credits", 0.06*730, 0.06*730+26))
	for _, unknown := range []string{"what the standby of `HIGH_AVAILABILITY = TRUE` adds", "needs the warehouse is *not established*"} {
		assert.Contains(t, strings.Join(strings.Fields(text), " "), unknown)
	}
}

func TestThePolicyThatSuspendsTheServiceFitsIntoTheSpecification(t *testing.T) {
	_, rest, _ := strings.Cut(readFile(t, "cost.md"), "```yaml\n")
	policy, _, found := strings.Cut(rest, "```\n")
	require.True(t, found)
	s := decodeSpec(t, strings.Replace(readFile(t, "spec.yml"), "\nspec:\n", "\nspec:\n"+policy, 1))
	require.Len(t, s.Spec.Containers, 1)
	conditions := s.Spec.ResourceManagement.AutoScalingPolicies.Suspend.AllConditions
	require.Len(t, conditions, 2, "new connections, and those that are open")
	for i, name := range []string{"network.ingress.connections.active", "network.ingress.cps"} {
		c := conditions[i].MetricCondition
		assert.Equal(t, []any{name, "max", 1800}, []any{c.MetricName, c.AggregationType, c.StabilizationPeriodSecs})
		require.NotNil(t, c.TargetScaling.TargetValue)
		assert.Zero(t, *c.TargetScaling.TargetValue)
	}
}

func TestTheGuideNamesEveryVariableAndSecretOfThePipeline(t *testing.T) {
	text := readFile(t, guide)
	workflows, err := filepath.Glob("../.github/workflows/*.yml")
	require.NoError(t, err)
	named := 0
	for _, workflow := range workflows {
		for _, m := range regexp.MustCompile(`\b(?:vars|secrets)\.([A-Z_]+)`).FindAllStringSubmatch(readFile(t, workflow), -1) {
			assert.Contains(t, text, "`"+m[1]+"`", workflow)
			named++
		}
	}
	assert.Positive(t, named)
}
