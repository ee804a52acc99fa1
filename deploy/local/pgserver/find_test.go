//go:build unix

package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// install makes a folder with programs that only report this version.
func install(t *testing.T, version string, programs ...string) (bin string) {
	t.Helper()
	bin = t.TempDir()
	for _, program := range programs {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", program, version)
		require.NoError(t, os.WriteFile(filepath.Join(bin, program), []byte(script), 0o755))
	}
	return bin
}

func TestTheNewestWholeServerIsFound(t *testing.T) {
	debian := install(t, "15.18 (Debian 15.18-0+deb12u1)", "initdb", "postgres")
	newer := install(t, "18.1", "initdb", "postgres")
	beta := install(t, "19beta1", "initdb", "postgres")
	tooOld := install(t, "14.9", "initdb", "postgres")
	half := install(t, "17.2", "initdb")
	folders := []string{half, debian, newer, tooOld, filepath.Join(t.TempDir(), "missing")}

	for version, want := range map[int]string{0: newer, 15: debian, 18: newer, 14: "", 16: "", 17: ""} {
		bin, ok := newest(folders, version)
		assert.Equal(t, want, bin, version)
		assert.Equal(t, want != "", ok, version)
	}
	bin, _ := newest(append(folders, beta), 0)
	assert.Equal(t, beta, bin)
}

func TestAServerInThePathIsFound(t *testing.T) {
	bin := install(t, "99.1", "initdb", "postgres")
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	found, ok := Find(99)
	assert.True(t, ok)
	assert.Equal(t, bin, found)
}
