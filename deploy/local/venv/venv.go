// Package venv installs the Python programs that deploy/local and tests need, in pinned versions, into
// virtual environments in the user's cache folder.
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

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/program"
)

// Python returns the path of the Python interpreter of a virtual environment with these requirements,
// which are lines of a requirements.txt for pip. It returns [ErrNoPython] if this machine has no Python
// to create the environment with, and an error with the last lines of pip if the installation fails.
// The first call creates the environment, which takes a minute or two and needs the network; log
// receives a line about that. Later calls, of other processes too, use the same environment.
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
	err = program.Install(home, func(folder string) (string, error) {
		fmt.Fprintln(log, "creating a virtual environment in", home)
		list := filepath.Join(folder, "requirements.txt")
		if err := os.WriteFile(list, requirements, 0o600); err != nil {
			return "", err
		}
		for _, step := range [][]string{
			{python, "-m", "venv", folder},
			{interpreter(folder), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", list},
		} {
			if out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput(); err != nil {
				return "", fmt.Errorf("%s: %w: %s", strings.Join(step[1:4], " "), err, program.LastLines(out, 5))
			}
		}
		return folder, nil
	})
	if err != nil {
		return "", err
	}
	return interpreter(home), nil
}

func interpreter(home string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(home, "Scripts", "python.exe")
	}
	return filepath.Join(home, "bin", "python")
}

// ErrNoPython means that no Python was found that can create a virtual environment.
var ErrNoPython = errors.New("no Python 3.10 or newer with its venv module: install it, " +
	"on Debian by: apt-get install python3 python3-venv")

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
