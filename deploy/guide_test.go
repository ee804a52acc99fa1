package deploy

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const guide = "README.md"

// sources are the lines in which what an operator reads has its text.
func sources(t *testing.T) []string {
	t.Helper()
	lines := strings.Split(read(t, "deploy.sh")+read(t, "smoke.sh"), "\n")
	for _, folder := range []string{"adapters", "cmd", "config", "domain"} {
		require.NoError(t, filepath.WalkDir("../"+folder, func(path string, _ fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				lines = append(lines, strings.Split(read(t, path), "\n")...)
			}
			return err
		}))
	}
	return lines
}

// says tells whether a line has the parts of a message, in that order; "…" stands between them.
func says(line string, parts []string) bool {
	for _, part := range parts {
		_, rest, found := strings.Cut(line, strings.TrimSpace(part))
		if !found {
			return false
		}
		line = rest
	}
	return true
}

func TestEveryMessageInTheGuideIsOneOfOurs(t *testing.T) {
	_, tables, found := strings.Cut(read(t, guide), "\n## When it does not work\n")
	require.True(t, found)
	lines := sources(t)
	message := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	ours := message.FindAllStringSubmatch(tables, -1)
	for _, m := range ours {
		parts := strings.Split(m[1], "…")
		assert.Greater(t, len(strings.Join(parts, "")), 10, "%s could be anything", m[1])
		assert.True(t, slices.ContainsFunc(lines, func(line string) bool { return says(line, parts) }), m[1])
	}
	rows := strings.Count(tables, "\n| ") - strings.Count(tables, "\n| message |")
	assert.Equal(t, rows, len(ours)+strings.Count(tables, " (Snowflake) |"), "a message is ours or marked as Snowflake's")
}

func TestEveryLinkInTheGuideLeadsSomewhere(t *testing.T) {
	links := regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(read(t, guide), -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		if strings.Contains(link[1], "://") {
			continue
		}
		file, anchor, _ := strings.Cut(link[1], "#")
		if file == "" {
			file = guide
		}
		assert.FileExists(t, file)
		if anchor != "" {
			assert.Contains(t, anchors(read(t, file)), anchor, file)
		}
	}
}

// anchors are what GitHub calls the headings of a document.
func anchors(document string) []string {
	var all []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(document, -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, heading[1]))
	}
	return all
}

func TestEveryNameInTheGuideExists(t *testing.T) {
	text := read(t, guide)
	scripts := read(t, "../setup.sql") + read(t, "bootstrap.sql") + read(t, "observability.sql") + read(t, "spec.yml")
	objects := regexp.MustCompile(`\becho_[a-z_]*[a-z]\b`)
	made := objects.FindAllString(scripts, -1)
	for _, name := range objects.FindAllString(text, -1) {
		assert.Contains(t, made, name)
	}

	variables := regexp.MustCompile(`\bECHO_[A-Z_]*[A-Z]\b`)
	known := variables.FindAllString(read(t, "deploy.sh")+read(t, "observability.sql"), -1)
	for _, key := range regexp.MustCompile(`(?m)^      ([A-Z_]+): `).FindAllStringSubmatch(read(t, "spec.yml"), -1) {
		known = append(known, "ECHO_"+key[1])
	}
	for _, name := range variables.FindAllString(text, -1) {
		assert.Contains(t, known, name)
	}
}

// The pipeline reads nothing that the guide does not name.
func TestTheGuideNamesEveryVariableAndSecretOfThePipeline(t *testing.T) {
	text := read(t, guide)
	workflows, err := filepath.Glob("../.github/workflows/*.yml")
	require.NoError(t, err)
	named := 0
	for _, workflow := range workflows {
		for _, m := range regexp.MustCompile(`\b(?:vars|secrets)\.([A-Z_]+)`).FindAllStringSubmatch(read(t, workflow), -1) {
			assert.Contains(t, text, "`"+m[1]+"`", workflow)
			named++
		}
	}
	assert.Positive(t, named)
}
