package main

import (
	"flag"
	"fmt"
	"html"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/static"
)

var updateDocuments = flag.Bool("update", false, "write generated tables into the documents instead of comparing them")

// checkTable compares a generated table with the one between <!-- marker --> and <!-- /marker --> in a
// document. With -update it writes the table.
func checkTable(t *testing.T, document, marker, table string) {
	t.Helper()
	document = filepath.Join(moduleRoot, document)
	content, err := os.ReadFile(document)
	require.NoError(t, err)
	begin, end := "<!-- "+marker+" -->\n", "<!-- /"+marker+" -->"
	before, rest, found := strings.Cut(string(content), begin)
	require.True(t, found, "%s has no %s", document, begin)
	found = strings.Contains(rest, end)
	require.True(t, found, "%s has no %s", document, end)
	current, after, _ := strings.Cut(rest, end)
	if *updateDocuments {
		require.NoError(t, os.WriteFile(document, []byte(before+begin+table+end+after), 0o644))
		return
	}
	assert.Equal(t, table, current, "%s is out of date: run this test with -update", document)
}

func TestTheTableOfKeysIsTheOneInTheCode(t *testing.T) {
	table := "| key | default | what |\n|---|---|---|\n"
	for _, k := range config.Keys() {
		value := ""
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		table += fmt.Sprintf("| `%s` | %s | %s |\n", k.Name, value, k.Description)
	}
	checkTable(t, "docs/configuration.md", "config", table)
}

// A changed key is used after two readings in a row have found it.
func TestTheDocumentsGiveTheRealDelayOfAChangedKey(t *testing.T) {
	delay := fmt.Sprintf("%.0f to %.0f seconds", reloadInterval.Seconds(), 2*reloadInterval.Seconds())
	for _, document := range []string{"SECURITY.md", "docs/operations.md", "deploy/README.md"} {
		content, err := os.ReadFile(filepath.Join(moduleRoot, document))
		require.NoError(t, err)
		assert.Contains(t, string(content), delay, document)
	}
}

func TestTheREADMEAndTheStartPageShowTheSameFirstRequests(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(moduleRoot, "README.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(readme), "\n## First requests\n\n```sh\n")
	require.True(t, found)
	commands, _, found := strings.Cut(section, "\n```\n")
	require.True(t, found)

	page, err := fs.ReadFile(static.Files, "index.html")
	require.NoError(t, err)
	_, section, found = strings.Cut(string(page), "<code>")
	require.True(t, found)
	shown, _, found := strings.Cut(section, "</code></pre>")
	require.True(t, found)
	shown = html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(shown, ""))

	assert.True(t, strings.HasPrefix(commands, "api=http://127.0.0.1:8000/api/v1\n"), commands)
	fill := strings.NewReplacer("<this address>", "http://127.0.0.1:8000", "{{prefix}}", "/api/v1")
	assert.Equal(t, commands, fill.Replace(shown))
}

var markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestEveryLinkBetweenDocumentsLeadsSomewhere(t *testing.T) {
	for file, text := range documents(t) {
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			if target == "" {
				target = path.Base(file)
			}
			target = path.Join(path.Dir(file), target)
			_, err := os.Stat(filepath.Join(moduleRoot, target))
			if assert.NoError(t, err, "%s links to %s", file, m[1]) && anchor != "" {
				assert.Contains(t, markdownAnchors(readDocument(t, target)), anchor, "%s links to %s", file, m[1])
			}
		}
	}
}

func TestEveryTestThatADocumentNamesExists(t *testing.T) {
	var defined []string
	require.NoError(t, filepath.WalkDir(moduleRoot, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(content), -1) {
			defined = append(defined, m[1])
		}
		return err
	}))
	for file, text := range documents(t) {
		for _, m := range regexp.MustCompile("`(Test\\w+)`").FindAllStringSubmatch(text, -1) {
			assert.True(t, slices.ContainsFunc(defined, func(name string) bool { return strings.HasPrefix(name, m[1]) }),
				"%s names %s", file, m[1])
		}
	}
}

// The documents and messages name these limits of credentials in their own words.
func TestTheLimitsOfCredentialsAreThoseOfTheDocuments(t *testing.T) {
	days := func(d time.Duration) string { return fmt.Sprintf("%.0f days", d.Hours()/24) }
	minutes := fmt.Sprintf("%.0f minutes", domain.MaxAuthAge.Minutes())
	for document, limits := range map[string][]string{
		"SECURITY.md":                   {minutes, days(domain.SessionIdle), days(domain.SessionLife), days(domain.MaxClientLife)},
		"README.md":                     {minutes},
		"deploy/README.md":              {minutes, days(domain.SessionLife)},
		"docs/snowflake-store.md":       {fmt.Sprint(domain.MaxSessions, " sessions"), fmt.Sprint(domain.MaxClients, " clients")},
		"docs/postgres-store.md":        {fmt.Sprint(domain.MaxClients, " clients")},
		"adapters/httpapi/openapi.yaml": {minutes, days(domain.MaxClientLife), days(domain.DefaultClientLife)},
	} {
		text, err := os.ReadFile(filepath.Join(moduleRoot, document))
		require.NoError(t, err)
		for _, limit := range limits {
			assert.Contains(t, strings.Join(strings.Fields(string(text)), " "), limit, document)
		}
	}
	assert.Contains(t, domain.ErrAuthTooOld.Message, minutes)
	assert.Contains(t, domain.ErrTooManyClients.Message, fmt.Sprint(domain.MaxClients, " clients"))
	assert.Equal(t, time.Minute, domain.RefreshWindow)
	const ofAClient = 30 * time.Second // the time limit in the example of deploy/README.md
	assert.Greater(t, domain.RefreshWindow, loadFlags(t).RequestTimeout+ofAClient)
}

func TestEveryDocumentIsLinkedFromAnother(t *testing.T) {
	linked := map[string]bool{"README.md": true}
	for file, text := range documents(t) {
		for _, m := range markdownLink.FindAllStringSubmatch(text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target = path.Join(path.Dir(file), target); target != file {
				linked[target] = true
			}
		}
	}
	for file := range documents(t) {
		assert.True(t, linked[file], "no document links to %s", file)
	}
}

func TestEveryScreenshotHasAtMost150kB(t *testing.T) {
	images, err := filepath.Glob(filepath.Join(moduleRoot, "docs", "images", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, images)
	for _, image := range images {
		info, err := os.Stat(image)
		require.NoError(t, err)
		assert.LessOrEqual(t, info.Size(), int64(150_000), image)
	}
}

// documents returns the text of each document, without blocks of code, by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "deploy/*.md"} {
		files, err := filepath.Glob(filepath.Join(moduleRoot, pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			name, err := filepath.Rel(moduleRoot, file)
			require.NoError(t, err)
			name = filepath.ToSlash(name)
			all[name] = readDocument(t, name)
		}
	}
	return all
}

var markdownCode = regexp.MustCompile("(?ms)^```.*?^```$")

// readDocument returns the text of a document without blocks of code, in which # begins a comment.
func readDocument(t *testing.T, document string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(moduleRoot, document))
	require.NoError(t, err)
	return markdownCode.ReplaceAllString(string(content), "")
}

var markdownHeading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// markdownAnchors returns the names that GitHub gives to the headings of a document.
func markdownAnchors(text string) []string {
	var all []string
	for _, m := range markdownHeading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return all
}
