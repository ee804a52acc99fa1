// Package peertest runs the tests of packages that need another program, such as a browser, an
// emulator or an account. Such a package holds no other tests, so that go test can name it when it
// did not run.
package peertest

import (
	"flag"
	"log"
	"os"
	"testing"
)

// Wanted is true if tests run that need another program on this machine. A missing program is then a
// failure.
var Wanted = os.Getenv("CI") != "" || os.Getenv("ECHO_TEST_PEERS") == "1"

// Unwanted is true if tests do not run that need another program, even if this machine has it.
var Unwanted = os.Getenv("ECHO_TEST_PEERS") == "0"

// Main runs the tests of a package between start and stop if they are wanted. Otherwise it runs none,
// and go test says so with "[no tests to run]"; skipped tests go test does not report. Results are
// never cached, because go test does not know when the other program changes. start may be nil.
func Main(m *testing.M, wanted bool, start func() (stop func(), err error)) {
	flag.Parse() // m.Run would parse later and overwrite the flags set here
	_ = flag.Set("test.testlogfile", "")
	if !wanted {
		_ = flag.Set("test.run", "^$")
		_ = flag.Set("test.bench", "")
	} else if start != nil {
		stop, err := start()
		if err != nil {
			log.Fatal(err)
		}
		defer stop()
	}
	m.Run()
	if folder != "" {
		_ = os.RemoveAll(folder)
	}
}
