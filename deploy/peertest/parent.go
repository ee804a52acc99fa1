package peertest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// RunParentTests runs the tests of the package in the parent folder whose names match the pattern, in a process of its
// own with the given variables. So many tests must pass.
func RunParentTests(t *testing.T, pattern string, passed int, variables ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	program := filepath.Join(t.TempDir(), "tests")
	args := []string{"test", "-c", "-o", program}
	if strings.Contains(os.Getenv("GOFLAGS"), "-race") {
		args = append(args, "-race")
	}
	build := exec.CommandContext(ctx, "go", append(args, "..")...)
	build.Env = append(os.Environ(), "GOFLAGS=") // not the -cover of this run
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	tests := exec.CommandContext(ctx, program, "-test.run", "^"+pattern+"$", "-test.v")
	tests.Dir = ".."
	tests.Env = append(os.Environ(), variables...)
	out, err = tests.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, passed, strings.Count("\n"+string(out), "\n--- PASS: "), "%s", out)
}
