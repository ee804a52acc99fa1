package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

func TestTheREADMEsTableOfConfigurationIsTheOneInTheCode(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "<!-- config -->\n")
	require.True(t, found)
	table, _, found := strings.Cut(rest, "<!-- /config -->")
	require.True(t, found)

	want := "| key | default | what |\n|---|---|---|\n"
	for _, k := range config.Keys() {
		value := ""
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		want += fmt.Sprintf("| `%s` | %s | %s |\n", k.Name, value, k.Description)
	}
	assert.Equal(t, want, table, "put the expected table into README.md")
}
