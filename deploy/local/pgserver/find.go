//go:build unix

package pgserver

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Oldest is the oldest major version of PostgreSQL that the service works on.
const Oldest = 15

// places are the folders, as patterns, where packages for Debian, Homebrew and Postgres.app put servers.
var places = []string{
	"/usr/lib/postgresql/*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// Find returns the folder of the programs of a server of this major version on this machine. Version 0 means
// the newest one from [Oldest] on. It returns what [Download] left only if nothing else is installed.
func Find(version int) (bin string, ok bool) {
	var folders []string
	if postgres, err := exec.LookPath("postgres"); err == nil {
		folders = append(folders, filepath.Dir(postgres))
	}
	for _, pattern := range places {
		found, _ := filepath.Glob(pattern) // the patterns are right
		folders = append(folders, found...)
	}
	if bin, ok = newest(folders, version); ok {
		return bin, true
	}
	cache, err := CacheFolder()
	if err != nil {
		return "", false
	}
	downloaded, _ := filepath.Glob(filepath.Join(cache, homePrefix+"*", "bin"))
	return newest(downloaded, version)
}

func newest(folders []string, version int) (bin string, ok bool) {
	best := 0
	for _, folder := range folders {
		v := majorVersion(folder)
		if v >= Oldest && v > best && (version == 0 || v == version) {
			best, bin = v, folder
		}
	}
	return bin, best > 0
}

// majorVersion returns the major version of the server in the folder, or 0 if there is no whole one.
func majorVersion(bin string) (version int) {
	for _, program := range []string{"initdb", "postgres"} {
		out, err := exec.Command(filepath.Join(bin, program), "--version").Output()
		if err != nil {
			return 0
		}
		if _, err := fmt.Sscanf(string(out), program+" (PostgreSQL) %d", &version); err != nil {
			return 0
		}
	}
	return version
}
