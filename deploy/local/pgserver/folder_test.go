//go:build unix

package pgserver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDataNamesTheVersionThatWroteIt(t *testing.T) {
	folder := t.TempDir()
	version, err := DataVersion(folder)
	require.NoError(t, err)
	assert.Zero(t, version)

	require.NoError(t, os.Mkdir(filepath.Join(folder, "data"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "data", "PG_VERSION"), []byte("16\n"), 0o600))
	version, err = DataVersion(folder)
	require.NoError(t, err)
	assert.Equal(t, 16, version)
}
