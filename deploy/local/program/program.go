// Package program has what all programs need that run beside the service on this machine, in deploy/local and in tests:
// an installation in the cache folder, a port, and the reason why one ended.
package program

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Install makes the folder home unless it exists. build makes the files in an empty folder beside it, and returns the
// folder that becomes home. So home is complete when it exists. Of two processes that install the same concurrently,
// the slower one discards its own.
func Install(home string, build func(folder string) (finished string, err error)) error {
	if _, err := os.Stat(home); err == nil {
		return nil
	}
	cache := filepath.Dir(home)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	building, err := os.MkdirTemp(cache, "building-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(building)
	finished, err := build(building)
	if err != nil {
		return err
	}
	if err := os.Rename(finished, home); err != nil {
		if _, there := os.Stat(home); there != nil {
			return err
		}
	}
	return nil
}

// FreePort returns a port that nothing listens on. It is below the ports that systems give to outgoing connections and
// to listeners that ask for any, so it stays free until the program listens, and while it is stopped.
func FreePort() (int, error) {
	const first, count, tries = 20000, 12000, 100
	for range tries {
		port := first + rand.IntN(count)
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("no port is free in %d tries", tries)
}

// LastLines returns the last n lines of a program's output, where most programs report an error.
func LastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
