//go:build unix

package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_KILL_ME") != "" {
		startServerAndWait()
	}
	Main(m)
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// ask returns the one value that a query has.
func ask(t *testing.T, dsn, query string) (value string) {
	t.Helper()
	require.NoError(t, connect(t, dsn).QueryRow(t.Context(), query).Scan(&value), query)
	return value
}

func admin(s *pgserver.Server) string { return s.DSN(pgserver.SuperUser, "postgres") }

func TestANewDatabaseIsEmptyAndItsOwn(t *testing.T) {
	one, other := NewDatabase(t), NewDatabase(t)
	require.NotEqual(t, one, other)
	Exec(t, Server(t).DSN(pgserver.SuperUser, one), "CREATE TABLE here (id int)")
	const tables = "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"
	assert.Equal(t, "1", ask(t, Server(t).DSN(pgserver.SuperUser, one), tables))
	assert.Equal(t, "0", ask(t, Server(t).DSN(pgserver.SuperUser, other), tables))
}

func TestTheWantedVersionRuns(t *testing.T) {
	version := ask(t, admin(Server(t)), "SHOW server_version")
	assert.True(t, strings.HasPrefix(version, os.Getenv("ECHO_TEST_POSTGRES")), version)
}

func TestATemporaryServerLeavesNoFiles(t *testing.T) {
	s, err := pgserver.Start(t.Context(), pgserver.Options{Bin: bin})
	require.NoError(t, err)
	require.DirExists(t, s.Socket)
	require.NoError(t, s.Close())
	assert.NoDirExists(t, s.Socket)
}

// shortFolder returns a folder that the server's user can reach.
func shortFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("/tmp", "pgtest-*")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(folder, 0o755))
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	return filepath.Join(folder, "data with 'quotes'")
}

func TestDataInAFolderSurvivesTheServer(t *testing.T) {
	o := pgserver.Options{Bin: bin, Folder: shortFolder(t), Durable: true}
	s, err := pgserver.Start(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, "on", ask(t, admin(s), "SHOW fsync"))
	Exec(t, admin(s), "CREATE TABLE kept (id int)")
	require.NoError(t, s.Close())

	again := StartServer(t, o)
	Exec(t, admin(again), "SELECT id FROM kept")
}

// Its superuser needs no password there.
func TestOnlyItsUserReachesTheSocketOfAServerInAFolderThatOthersCanEnter(t *testing.T) {
	folder := filepath.Dir(shortFolder(t))
	s := StartServer(t, pgserver.Options{Folder: folder})
	socket, err := os.Stat(filepath.Join(s.Socket, fmt.Sprint(".s.PGSQL.", s.Port)))
	require.NoError(t, err)
	assert.Zero(t, socket.Mode().Perm()&0o077, "%v", socket.Mode())
}

func TestASecondServerInTheSameFolderIsRefused(t *testing.T) {
	o := pgserver.Options{Folder: shortFolder(t)}
	s := StartServer(t, o)
	o.Bin = bin
	_, err := pgserver.Start(t.Context(), o)
	require.ErrorIs(t, err, pgserver.ErrInUse)
	Exec(t, admin(s), "SELECT 1")
}

func TestAServerThatCannotStartSaysWhy(t *testing.T) {
	_, err := pgserver.Start(t.Context(), pgserver.Options{Bin: bin, Settings: map[string]string{"no_such_setting": "1"}})
	assert.ErrorContains(t, err, "no_such_setting")
}

func TestAStoppedServerStartsAgainWithItsDataAndPort(t *testing.T) {
	for name, mode := range map[string]pgserver.Mode{
		"smart": pgserver.Smart, "fast": pgserver.Fast, "immediate": pgserver.Immediate,
	} {
		t.Run(name, func(t *testing.T) {
			s := StartServer(t, pgserver.Options{TCP: true})
			Exec(t, admin(s), "CREATE TABLE kept (id int)", "CHECKPOINT")
			port := s.Port
			require.NoError(t, s.Stop(t.Context(), mode))
			_, err := pgx.Connect(t.Context(), admin(s))
			require.Error(t, err)
			require.Error(t, s.Stop(t.Context(), mode), "it is not running")

			require.NoError(t, s.Start(t.Context()))
			assert.Equal(t, port, s.Port)
			Exec(t, admin(s), "SELECT id FROM kept")
		})
	}
}

func TestASmartStopWaitsForClientsAndAFastOneDoesNot(t *testing.T) {
	s := StartServer(t, pgserver.Options{})
	connect(t, admin(s))
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Stop(short, pgserver.Smart), context.DeadlineExceeded)
	require.NoError(t, s.Stop(t.Context(), pgserver.Fast))
}

func TestAPausedServerAnswersNothingUntilItResumes(t *testing.T) {
	s := StartServer(t, pgserver.Options{})
	conn := connect(t, admin(s))
	require.NoError(t, s.Pause())
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT 1")
		answer <- err
	}()
	_, err := pgx.Connect(short, admin(s))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, answer)
	require.NoError(t, s.Resume())
	require.NoError(t, <-answer)
}

func TestAPausedServerCloses(t *testing.T) {
	s, err := pgserver.Start(t.Context(), pgserver.Options{Bin: bin})
	require.NoError(t, err)
	connect(t, admin(s))
	require.NoError(t, s.Pause())
	began := time.Now()
	require.NoError(t, s.Close())
	assert.NoDirExists(t, s.Socket)
	assert.Less(t, time.Since(began), 5*time.Second)
}

func TestOverTCPARoleNeedsItsPassword(t *testing.T) {
	s := StartServer(t, pgserver.Options{TCP: true})
	Exec(t, admin(s), "CREATE ROLE someone LOGIN PASSWORD 'right'")
	dsn := fmt.Sprintf("host=127.0.0.1 port=%d user=someone dbname=postgres sslmode=disable password=", s.Port)
	Exec(t, dsn+"right", "SELECT 1")
	_, err := pgx.Connect(t.Context(), dsn+"wrong")
	assert.ErrorContains(t, err, "28P01")
}

func TestOverTLSTheServerProvesItsName(t *testing.T) {
	s := StartServer(t, pgserver.Options{TLS: true})
	Exec(t, admin(s), "CREATE ROLE someone LOGIN PASSWORD 'right'")
	for _, host := range []string{"localhost", "127.0.0.1"} {
		dsn := fmt.Sprintf("host=%s port=%d user=someone dbname=postgres sslmode=verify-full sslrootcert=%s password=right",
			host, s.Port, s.CAFile)
		assert.Equal(t, "true", ask(t, dsn, "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
	}
	other := StartServer(t, pgserver.Options{TLS: true})
	_, err := pgx.Connect(t.Context(), fmt.Sprintf(
		"host=localhost port=%d user=someone dbname=postgres sslmode=verify-full sslrootcert=%s", s.Port, other.CAFile))
	assert.ErrorContains(t, err, "certificate")
}

// startWhenFree starts a server as soon as another one has left the folder.
func startWhenFree(t *testing.T, folder string) (s *pgserver.Server) {
	t.Helper()
	require.Eventually(t, func() (ok bool) {
		var err error
		s, err = pgserver.Start(t.Context(), pgserver.Options{Bin: bin, Folder: folder})
		return err == nil || !assert.ErrorIs(t, err, pgserver.ErrInUse)
	}, 20*time.Second, 10*time.Millisecond)
	require.NotNil(t, s)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// startServerAndWait is the process that the next test kills.
func startServerAndWait() {
	s, err := pgserver.Start(context.Background(), pgserver.Options{
		Bin: os.Getenv("PGTEST_KILL_ME"), Folder: os.Getenv("PGTEST_FOLDER"),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(s.Socket)
	select {}
}

func TestAServerThatIsBeingCreatedEndsToo(t *testing.T) {
	temporary := filepath.Dir(shortFolder(t))
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "PGTEST_KILL_ME="+bin, "PGTEST_FOLDER="+temporary+"/data")
	require.NoError(t, parent.Start())
	half := filepath.Join(temporary, "data", "half")
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(half, "PG_VERSION"))
		return err == nil
	}, 20*time.Second, time.Millisecond)
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	s := startWhenFree(t, temporary+"/data")
	Exec(t, admin(s), "SELECT 1")
}

func TestAServerEndsWithTheProcessThatStartedIt(t *testing.T) {
	for name, folder := range map[string]string{"temporary": "", "with a folder": shortFolder(t)} {
		t.Run(name, func(t *testing.T) {
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), "PGTEST_KILL_ME="+bin, "PGTEST_FOLDER="+folder)
			parent.Stderr = t.Output()
			output, err := parent.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, parent.Start())
			lines := bufio.NewScanner(output)
			require.True(t, lines.Scan())
			socket := lines.Text()
			var pid int
			state, err := os.ReadFile(filepath.Join(socket, "data", "postmaster.pid"))
			require.NoError(t, err)
			_, err = fmt.Sscan(string(state), &pid)
			require.NoError(t, err)

			require.NoError(t, parent.Process.Kill())
			_ = parent.Wait()
			require.Eventually(t, func() bool { return syscall.Kill(pid, 0) != nil }, 20*time.Second, 10*time.Millisecond)
			if folder == "" {
				require.Eventually(t, func() bool {
					_, err := os.Stat(socket)
					return os.IsNotExist(err)
				}, 20*time.Second, 10*time.Millisecond)
				return
			}
			startWhenFree(t, folder)
		})
	}
}
