package browsertest

import (
	"testing"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

// maxWait bounds each step that waits for the browser.
const maxWait = time.Minute

func TestMain(m *testing.M) { peertest.Main(m, peertest.Wanted, nil) }
