//go:build unix

package pgserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/program"
	embedded "github.com/fergusstrange/embedded-postgres"
)

// releases are what Download gets, by major version.
var releases = map[int]embedded.PostgresVersion{15: "15.13.0", 16: "16.9.0", 17: "17.5.0", 18: "18.3.0"}

// checksums are the SHA-256 of the archives, by platform and release. Version 15 has none for ARM.
var checksums = map[string]string{
	"darwin-amd64-15.13.0":  "b598f5282af8b765ba7c2814c08d02bd36ce9d276a8c2c7276aa060307b09b3f",
	"linux-amd64-15.13.0":   "ea2ce47da4b49c18ba26356c6e1b7284a38670448cd82d6aa764761e9362c21c",
	"darwin-amd64-16.9.0":   "4bd733c160b0bdcc8fa4ba50ce1abebdbf3db3825dd2139f5504a24b7ed227f3",
	"darwin-arm64v8-16.9.0": "090e91773217f8d3d222699a6da2bf5533ffab8c6b65b14df63cba3b1b63ea5a",
	"linux-amd64-16.9.0":    "53146949c7fb36014091ac8db42529ab9b923b4a06d0c0d9087694e9c296feef",
	"linux-arm64v8-16.9.0":  "c0dc09808068c99357cc9fbf9b4ecb6df1c0725f678cc2d6bfa68a48d6ef1062",
	"darwin-amd64-17.5.0":   "9418e2e93bf4a767dcd56b417c0b823ab237f935ad2460df1ce43ed65ea017c3",
	"darwin-arm64v8-17.5.0": "746918d0d88eb766e51b43d93ac0d4dbcd6730ff0ac61399a4fcfd626d6ea287",
	"linux-amd64-17.5.0":    "8f438e206259d3ec5be6fb8ee6180f5d46234156659ed1238f6ab4806cfccf0f",
	"linux-arm64v8-17.5.0":  "b931564ba20d4009d70c37ceb27109213f696cfd507c4ecb769c6d6762454a1c",
	"darwin-amd64-18.3.0":   "2c5f22fa675ee78264a2ea8c7543310c32590465a4f72fb4287ca65ec484f7dd",
	"darwin-arm64v8-18.3.0": "61f9b7026404f15abd4ec7e5724f672795c08cecc58ece212f85da3bf4de2b91",
	"linux-amd64-18.3.0":    "e09b13df10e9df257275d498b19b8c214a3e86d7a5d8cd263b0860e308e8b0b6",
	"linux-arm64v8-18.3.0":  "f9695b61cff9e5c9b8e02a938158740a711c7a55304dd49ca634c8b947bf6b27",
}

// archivePrefix begins the names of the archives, before platform and release.
const archivePrefix = "embedded-postgres-binaries-"

// homePrefix begins the names of the folders in the cache, before the release.
const homePrefix = "postgresql-"

// Download returns the folder of the programs of a server of this major version, 15 to 18. Version 0 means the
// newest. The first call downloads about 15 MB into [CacheFolder], of which log receives a line, and verifies them
// by a checksum of this package. Later calls, of other processes too, use the same files.
func Download(ctx context.Context, version int, log io.Writer) (bin string, err error) {
	if version == 0 {
		version = 18
	}
	release, ok := releases[version]
	if !ok {
		return "", fmt.Errorf("no release of PostgreSQL %d is known here", version)
	}
	cache, err := CacheFolder()
	if err != nil {
		return "", err
	}
	home := filepath.Join(cache, homePrefix+string(release))
	err = program.Install(home, func(folder string) (server string, err error) {
		fmt.Fprintln(log, "downloading PostgreSQL", release, "into", home)
		done := make(chan error, 1)
		go func() { done <- fetch(folder, release) }()
		select {
		case err = <-done:
		case <-ctx.Done(): // the library takes no context
			err = ctx.Err()
		}
		return filepath.Join(folder, "server"), err
	})
	if err != nil {
		return "", fmt.Errorf("download PostgreSQL %s: %w", release, err)
	}
	return filepath.Join(home, "bin"), nil
}

// fetch downloads the archive into the folder, verifies it, and unpacks it into the folder's subfolder server.
//
// The library does this only as a part of starting a server: it downloads, unpacks, empties the data folder, and
// runs initdb. So it starts twice, and each start must fail: the first, before anything is unpacked, at a folder
// that cannot be made, for a link leads nowhere in its place; the second at a data folder that cannot be
// removed, because its name ends in a dot.
func fetch(folder string, release embedded.PostgresVersion) error {
	start := func(unpackInto string) error {
		return embedded.NewDatabase(embedded.DefaultConfig().Version(release).Port(0).Logger(io.Discard).
			CachePath(folder).RuntimePath(filepath.Join(folder, "run")).BinariesPath(unpackInto).
			DataPath(filepath.Join(folder, "run") + "/.")).Start()
	}
	nowhere := filepath.Join(folder, "nowhere")
	if err := os.Symlink("missing", nowhere); err != nil {
		return err
	}
	stopped := start(filepath.Join(nowhere, "server"))
	archives, err := filepath.Glob(filepath.Join(folder, archivePrefix+"*.txz"))
	if err != nil {
		return err
	}
	if len(archives) == 0 {
		return stopped
	}
	if err := verify(archives[0], checksums); err != nil {
		return err
	}
	server := filepath.Join(folder, "server")
	stopped = start(server)
	if majorVersion(filepath.Join(server, "bin")) == 0 {
		return fmt.Errorf("the archive holds no server that runs here: %w", stopped)
	}
	return nil
}

func verify(archive string, checksums map[string]string) error {
	content, err := os.ReadFile(archive)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(archive), ".txz"), archivePrefix)
	switch want := checksums[name]; {
	case want == "":
		return errors.New("no checksum is known for " + name)
	case fmt.Sprintf("%x", sha256.Sum256(content)) != want:
		return errors.New("the checksum of " + name + " is wrong")
	}
	return nil
}
