//go:build unix

package postgrestest

import (
	"fmt"
	"testing"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestTheServiceKeepsItsContractOnPostgreSQL(t *testing.T) {
	server := pgtest.Server(t)
	peertest.RunParentTests(t, "(TestTheServiceKeepsItsContractOnAPeer|TestRestartsUnderLoadLoseNoRequestOnPostgreSQL)", 2,
		fmt.Sprintf("ECHO_TEST_PEER=postgres %s:%d", server.Socket, server.Port))
}
