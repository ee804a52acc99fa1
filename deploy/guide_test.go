package main

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
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
	scripts := readFile(t, "../setup.sql") + readFile(t, "bootstrap.sql") + readFile(t, "observability.sql") + readFile(t, "spec.yml")
	objects := regexp.MustCompile(`\becho_[a-z_]*[a-z]\b`)
	created := objects.FindAllString(scripts, -1)
	for _, name := range objects.FindAllString(text, -1) {
		assert.Contains(t, created, name)
	}

	variables := regexp.MustCompile(`\bECHO_[A-Z_]*[A-Z]\b`)
	known := variables.FindAllString(usage+readFile(t, "observability.sql"), -1)
	for _, key := range regexp.MustCompile(`(?m)^      ([A-Z_]+): `).FindAllStringSubmatch(readFile(t, "spec.yml"), -1) {
		known = append(known, "ECHO_"+key[1])
	}
	for _, name := range variables.FindAllString(text, -1) {
		assert.Contains(t, known, name)
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
