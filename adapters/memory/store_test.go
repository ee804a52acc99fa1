package memory_test

import (
	"testing"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

func TestStore(t *testing.T) {
	portstest.TestStore(t, func(*testing.T) ports.Store { return memory.New() })
}
