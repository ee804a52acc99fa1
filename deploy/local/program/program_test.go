package program

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// write makes the file name in a subfolder, which it returns.
func write(folder, name string) (string, error) {
	finished := filepath.Join(folder, "finished")
	err := os.Mkdir(finished, 0o755)
	return finished, errors.Join(err, os.WriteFile(filepath.Join(finished, name), nil, 0o600))
}

func TestAnInstallationIsMadeOnceAndWhole(t *testing.T) {
	cache := t.TempDir()
	home := filepath.Join(cache, "home")
	failure := errors.New("no network")
	require.ErrorIs(t, Install(home, func(folder string) (string, error) {
		finished, err := write(folder, "half")
		return finished, errors.Join(err, failure)
	}), failure)
	assert.NoDirExists(t, home)

	var all, built sync.WaitGroup
	built.Add(2) // both build before one of them finishes
	for range 2 {
		all.Go(func() {
			assert.NoError(t, Install(home, func(folder string) (string, error) {
				built.Done()
				built.Wait()
				return write(folder, "whole")
			}))
		})
	}
	all.Wait()
	assert.FileExists(t, filepath.Join(home, "whole"))
	require.NoError(t, Install(home, func(string) (string, error) { return "", failure }), "it exists")
	left, err := os.ReadDir(cache)
	require.NoError(t, err)
	assert.Len(t, left, 1, "no half-built folder is left")
}
