// Package peertest is for test packages that need another program: a browser, an emulator, an
// account. Such a package holds nothing else, so that go test names it when it did not run.
package peertest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"
)

// Wanted reports whether tests that need other programs on this machine should run; then what is
// missing is a failure.
func Wanted() bool { return os.Getenv("CI") != "" || os.Getenv("ECHO_TEST_PEERS") == "1" }

// Run runs the tests if they are wanted, and otherwise says why they do not run.
func Run(m *testing.M, wanted bool, otherwise string) int {
	flag.Parse()
	// Go test must not take a result from its cache: it knows nothing of the other program, nor of
	// the variables of the environment that were read before the tests began.
	set("test.testlogfile", "")
	if !wanted {
		fmt.Println(otherwise)
		// Of none, go test itself says that no tests ran; of skipped ones it says nothing.
		set("test.run", "^$")
		set("test.bench", "")
	}
	return m.Run()
}

// Prepared is Run for tests that need a program which start starts and end ends; otherwise says why
// they do not run where they are not [Wanted]. The first time it may have to be installed.
func Prepared(m *testing.M, start func(context.Context) error, end func(), otherwise string) int {
	if Wanted() {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
		defer cancel()
		if err := start(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer end()
	}
	return Run(m, Wanted(), otherwise)
}

func set(name, value string) {
	if err := flag.Set(name, value); err != nil {
		panic(err)
	}
}
