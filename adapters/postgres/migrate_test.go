package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// released are the hashes of the migrations. Add a line for a new one. A line never changes after its release: the
// schemas that exist would differ from new ones.
var released = map[string]string{
	"001_accounts_and_items.sql":   "4516851697e02e695ae9348f42b678886ae09770329193fa8b58b9bafc688feb",
	"002_sessions_and_clients.sql": "dbb8bc14926b41bb5eefbbc33cb067e44aeb05c986bf893d38bd25a00ba828b2",
}

func TestAReleasedMigrationNeverChanges(t *testing.T) {
	files, err := os.ReadDir("migrations")
	require.NoError(t, err)
	found := map[string]string{}
	for _, f := range files {
		content, err := os.ReadFile("migrations/" + f.Name())
		require.NoError(t, err)
		sum := sha256.Sum256(content)
		found[f.Name()] = hex.EncodeToString(sum[:])
	}
	assert.Equal(t, released, found)
}

// Default privileges give the service its rights, so that a migration works whatever the roles are called. What a
// migration does must leave the version of the service before it working.
func TestAMigrationNamesNoRoleAndTakesNothingAway(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)\b(grant|revoke|owner|echo_\w+|drop|truncate|rename|alter\s+column|set\s+not\s+null|concurrently|begin|commit)\b`)
	all, err := readMigrations(Migrations())
	require.NoError(t, err)
	for _, m := range all {
		assert.NotRegexp(t, forbidden, withoutComments(m.sql), m.name)
	}
}

var sqlComment = regexp.MustCompile(`(?m)--.*$`)

func withoutComments(sql string) string { return sqlComment.ReplaceAllString(sql, "") }
