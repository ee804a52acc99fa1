package session

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The driver looks for sf_client_config.json at the first login of a process, so each case has one of its own.
func TestTheFirstLoginReadsNoFileThatTheConfigurationDoesNotName(t *testing.T) {
	const child = "ECHO_TEST_FIRST_LOGIN"
	if os.Getenv(child) != "" {
		newFixture(t)
		return
	}
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "sf_client_config.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	logs := write(`{"common": {"log_level": "DEBUG"}}`)
	for name, variable := range map[string]string{
		"in a HOME that cannot be read":     "HOME=" + os.DevNull + "/home",
		"of another tool in HOME":           "HOME=" + filepath.Dir(logs),
		"in HOME that is not JSON":          "HOME=" + filepath.Dir(write("{")),
		"of another tool in a variable":     "SF_CLIENT_CONFIG_FILE=" + write("{"),
		"that does not exist in a variable": "SF_CLIENT_CONFIG_FILE=" + os.DevNull + "/file",
	} {
		t.Run(name, func(t *testing.T) {
			program, err := os.Executable()
			require.NoError(t, err)
			login := exec.Command(program, "-test.run", "^TestTheFirstLoginReadsNoFileThatTheConfigurationDoesNotName$")
			login.Env = append(os.Environ(), variable, child+"=yes")
			output, err := login.CombinedOutput()
			require.NoError(t, err, string(output))
		})
	}
	assert.NoDirExists(t, filepath.Join(filepath.Dir(logs), "go"), "the driver writes no log")
}
