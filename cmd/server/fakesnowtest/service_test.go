package fakesnowtest

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/emulator"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

var fakesnow *emulator.Emulator

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, start) }

func start() (stop func(), err error) {
	fakesnow, err = emulator.Start(context.Background(), os.Stderr)
	return func() { _ = fakesnow.Close() }, err
}

func TestTheServiceKeepsItsContractOnFakesnow(t *testing.T) {
	if os.Getenv("ECHO_TEST_EMULATOR") != "all" {
		t.Skip("the emulator needs minutes for it; set ECHO_TEST_EMULATOR=all, as .ci/nightly does")
	}
	peertest.RunParentTests(t, "TestTheServiceKeepsItsContractOnAPeer", 1,
		"ECHO_TEST_PEER=fakesnow "+net.JoinHostPort(fakesnow.Host, strconv.Itoa(fakesnow.Port)))
}

func TestDoctorFindsNoFailureOnFakesnow(t *testing.T) {
	require.NoError(t, fakesnow.CreateTables(t.Context(), "doctor", "doctor"))
	doctor := exec.CommandContext(t.Context(), "go", "run", "..", "doctor")
	doctor.Env = append(os.Environ(), "STORAGE=snowflake", "SNOWFLAKE_ACCOUNT=fakesnow", "SNOWFLAKE_PROTOCOL=http",
		"SNOWFLAKE_HOST="+fakesnow.Host, "SNOWFLAKE_PORT="+strconv.Itoa(fakesnow.Port),
		"SNOWFLAKE_AUTH_TYPE=password", "SNOWFLAKE_USER=u", "SNOWFLAKE_PASSWORD=p",
		"SNOWFLAKE_DATABASE=doctor", "SNOWFLAKE_SCHEMA=doctor",
		"JWT_SECRET_KEY=mHq0vZ1dZk2Yw1n1rj7mS3l8fK9QbVxTt4oPzE6uCgA=", "FIRST_SUPERUSER_PASSWORD=correct horse battery staple")
	out, err := doctor.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "tables            standard tables")
	require.NotContains(t, string(out), "failed")
}
