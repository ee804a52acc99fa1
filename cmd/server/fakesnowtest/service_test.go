package fakesnowtest

import (
	"context"
	"net"
	"os"
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
	peertest.RunParentTests(t, "TestTheServiceKeepsItsContractOnAPeer", 1,
		"ECHO_TEST_PEER=fakesnow "+net.JoinHostPort(fakesnow.Host, strconv.Itoa(fakesnow.Port)))
}

func TestDoctorFindsNoFailureOnFakesnow(t *testing.T) {
	require.NoError(t, fakesnow.CreateTables(t.Context(), "doctor", "doctor"))
	out := peertest.Run(t, []string{"STORAGE=snowflake", "SNOWFLAKE_ACCOUNT=fakesnow", "SNOWFLAKE_PROTOCOL=http",
		"SNOWFLAKE_HOST=" + fakesnow.Host, "SNOWFLAKE_PORT=" + strconv.Itoa(fakesnow.Port),
		"SNOWFLAKE_AUTH_TYPE=password", "SNOWFLAKE_USER=u", "SNOWFLAKE_PASSWORD=p",
		"SNOWFLAKE_DATABASE=doctor", "SNOWFLAKE_SCHEMA=doctor",
		"JWT_SECRET_KEY=mHq0vZ1dZk2Yw1n1rj7mS3l8fK9QbVxTt4oPzE6uCgA=", "FIRST_SUPERUSER_PASSWORD=correct horse battery staple"}, "doctor")
	require.Contains(t, out, "tables            standard tables")
	require.NotContains(t, out, "failed")
}
