package emulator

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/venv"
)

// newMachine makes the test see a machine with an empty cache folder and this script as its only
// program, python3. An empty script means no program.
func newMachine(t *testing.T, script string) {
	t.Helper()
	bin := t.TempDir()
	if script != "" {
		require.NoError(t, os.WriteFile(filepath.Join(bin, "python3"), []byte("#!/bin/sh\n"+script), 0o755))
	}
	t.Setenv("PATH", bin)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
}

// fakePython is a Python that creates virtual environments with itself in them, and appends a line to
// the file created for each.
const fakePython = `
case "$2" in
venv) echo x >>"$HOME/created"; /bin/mkdir -p "$3/bin"; /bin/cp "$0" "$3/bin/python" ;;
pip) ;;
*) [ "$1" = -c ] && case "$2" in *READY*) echo READY; read _ ;; esac ;;
esac
exit 0
`

func TestAMissingPythonIsReportedWithWhatToInstall(t *testing.T) {
	newMachine(t, "")
	_, err := Start(t.Context(), io.Discard)
	assert.EqualError(t, err, "no Python 3.10 or newer with its venv module: install it, "+
		"on Debian by: apt-get install python3 python3-venv")
}

func TestAPythonThatIsTooOldIsNotUsed(t *testing.T) {
	newMachine(t, "exit 1")
	_, err := Start(t.Context(), io.Discard)
	assert.ErrorIs(t, err, venv.ErrNoPython)
}

func TestACancelledStartDoesNotReportAMissingPython(t *testing.T) {
	newMachine(t, fakePython)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, io.Discard)
	assert.ErrorIs(t, err, context.Canceled)
	assert.NotErrorIs(t, err, venv.ErrNoPython)
}

func TestAFailedInstallationReportsWhyAndLeavesNothing(t *testing.T) {
	newMachine(t, strings.Replace(fakePython, "pip) ;;", `pip) echo "no such package"; exit 1 ;;`, 1))
	_, err := Start(t.Context(), io.Discard)
	require.ErrorContains(t, err, "-m pip install: exit status 1: no such package")
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	left, err := os.ReadDir(filepath.Join(cache, "echo-in-snowflake"))
	require.NoError(t, err)
	assert.Empty(t, left, "so that the next start installs it again")
}

func TestConcurrentStartsLeaveOneEnvironmentThatLaterStartsUse(t *testing.T) {
	newMachine(t, fakePython)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			e, err := Start(t.Context(), io.Discard)
			if assert.NoError(t, err) {
				assert.NoError(t, e.Close())
			}
		})
	}
	all.Wait()
	before, err := os.ReadFile(filepath.Join(os.Getenv("HOME"), "created"))
	require.NoError(t, err)

	e, err := Start(t.Context(), io.Discard)
	require.NoError(t, err)
	require.NoError(t, e.Close())
	after, err := os.ReadFile(filepath.Join(os.Getenv("HOME"), "created"))
	require.NoError(t, err)
	assert.Equal(t, before, after)
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	there, err := os.ReadDir(filepath.Join(cache, "echo-in-snowflake"))
	require.NoError(t, err)
	assert.Len(t, there, 1)
}

func TestAnEmulatorThatEndsEarlyReportsWhy(t *testing.T) {
	newMachine(t, strings.Replace(fakePython, "*READY*) echo READY; read _ ;;",
		`*READY*) echo "ImportError: fakesnow" >&2; exit 1 ;;`, 1))
	_, err := Start(t.Context(), io.Discard)
	assert.ErrorContains(t, err, "the emulator ended before it was ready: exit status 1: ImportError: fakesnow")
}
