//go:build unix

package pgserver

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// User returns the user that servers run as: that of this process, which is nil, or, for root, postgres or
// nobody, because PostgreSQL refuses to run as root.
func User() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(account.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(account.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody")
}

// asUser returns a command that runs as the user, in the folder.
func asUser(ctx context.Context, user *syscall.Credential, folder, program string, arguments ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, program, arguments...)
	c.Dir = folder // that user may not read the current folder
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	// Ctrl-C in a terminal reaches the whole process group. The program stops when the watchdog says so.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: user}
	return c
}

// CacheFolder returns the folder for what is downloaded, and for data that survives. It is in the user's
// cache folder, or for root in /var/cache, because the server's user cannot enter root's.
func CacheFolder() (string, error) {
	const name = "echo-in-snowflake"
	if os.Geteuid() == 0 {
		return filepath.Join("/var/cache", name), nil
	}
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, name), err
}

// DataVersion returns the major version of the server that wrote the data in the folder, or 0 if there is none.
func DataVersion(folder string) (version int, err error) {
	text, err := os.ReadFile(filepath.Join(folder, "data", "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// maxSocketFolder is how long the path of a folder with a Unix socket may be. The system's limit of 104 bytes
// (macOS) or 108 (Linux) is for the path of the socket.
const maxSocketFolder = 80

// makeFolder makes a folder that belongs to the user, temporary if path is empty.
func makeFolder(path string, owner *syscall.Credential) (string, error) {
	switch {
	case path != "":
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return "", err
		}
	default:
		parent := os.TempDir()
		if owner != nil || len(parent) > maxSocketFolder/2 {
			parent = "/tmp" // which the owner can enter, and which is short
		}
		var err error
		if path, err = os.MkdirTemp(parent, "postgresql-*"); err != nil {
			return "", err
		}
	}
	return path, give(owner, path)
}

// give makes files belong to the user.
func give(owner *syscall.Credential, files ...string) error {
	for _, file := range files {
		if owner == nil {
			break
		}
		if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	return nil
}
