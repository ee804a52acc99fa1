// Package venv makes virtual environments of Python for the programs that tests and the local start
// need, pinned, once, in the user's cache folder.
package venv

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Python returns the path of the python in a virtual environment that has what requirements, which
// are lines for pip, name; its option -m starts what came with them. The first time it is made, which
// takes a minute or two and the network, and log is told. An error says what to install.
func Python(ctx context.Context, name string, requirements []byte, log io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "echo-in-snowflake")
	python, err := findPython(ctx)
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, fmt.Sprintf("%s-%.6x", name, sha256.Sum256(requirements)))
	if _, err := os.Stat(home); err == nil {
		return inside(home), nil
	}
	fmt.Fprintln(log, "making a virtual environment in", home)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	// Made aside and then renamed, so that it is whole if it is there. Two who make it at once do not
	// meet; the slower one's is thrown away.
	aside, err := os.MkdirTemp(cache, "making-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(aside)
	list := filepath.Join(aside, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o600); err != nil {
		return "", err
	}
	for _, step := range [][]string{
		{python, "-m", "venv", aside},
		{inside(aside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", list},
	} {
		if out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w: %s", strings.Join(step[1:4], " "), err, LastLines(out))
		}
	}
	if err := os.Rename(aside, home); err != nil {
		if _, there := os.Stat(home); there != nil {
			return "", err
		}
	}
	return inside(home), nil
}

func inside(home string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(home, "Scripts", "python.exe")
	}
	return filepath.Join(home, "bin", "python")
}

// ErrNoPython says that there is no Python that could be used.
var ErrNoPython = errors.New("the tests and the local start need Python 3.10 or newer with its venv module: install it, on Debian by: apt-get install python3 python3-venv")

func findPython(ctx context.Context) (string, error) {
	for _, name := range []string{"python3", "python"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		const check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))"
		if exec.CommandContext(ctx, path, "-c", check).Run() == nil {
			return path, nil
		}
	}
	return "", cmp.Or(ctx.Err(), ErrNoPython)
}

// LastLines returns the end of what a program said, where most say what went wrong.
func LastLines(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
