//go:build unix

package servertest

import (
	"context"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// endSessions ends the connections of the service, so that it has to sign in again.
func endSessions(t *testing.T, server *pgserver.Server) {
	t.Helper()
	pgtest.Exec(t, admin(server), "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '"+app+"'")
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, content, 0o600))
}

func TestTheFileOfTheAuthorityIsReadForEachConnection(t *testing.T) {
	t.Parallel()
	server, o := ownServer(t, pgserver.Options{TLS: true})
	right, err := os.ReadFile(server.CAFile)
	require.NoError(t, err)
	other := httptest.NewTLSServer(nil)
	defer other.Close()
	wrong := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Certificate().Raw})
	o.TLS, o.CAFile = true, filepath.Join(t.TempDir(), "ca.pem")
	o.Connections = 1 // the pool replaces all connections once a second at most, so a second dead one could be tried
	writeFile(t, o.CAFile, right)
	f := newFixture(t, o)
	for name, replace := range map[string]func(){
		"wrong":   func() { writeFile(t, o.CAFile, wrong) },
		"no PEM":  func() { writeFile(t, o.CAFile, []byte("text")) },
		"missing": func() { require.NoError(t, os.Remove(o.CAFile)) },
	} {
		replace()
		require.NoError(t, f.read(), "the connections that there are go on")
		endSessions(t, server)
		err := f.read()
		assert.ErrorIs(t, err, domain.ErrUnavailable, name)
		assert.ErrorContains(t, err, "POSTGRES_CA_FILE", name)
		writeFile(t, o.CAFile, right)
		assert.NoError(t, f.read(), name)
	}
}

func TestTheFileOfThePasswordIsReadForEachConnection(t *testing.T) {
	t.Parallel()
	server, o := ownServer(t, pgserver.Options{TCP: true})
	file := filepath.Join(t.TempDir(), "password")
	writeFile(t, file, []byte("right\n"))
	o.Credential = session.PasswordFile(file)
	o.Connections = 1 // see above
	f := newFixture(t, o)
	pgtest.Exec(t, admin(server), "ALTER ROLE "+app+" PASSWORD 'rotated'")
	require.NoError(t, f.read(), "the connections that there are go on")
	endSessions(t, server)
	err := f.write(f.newItem())
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorIs(t, err, session.ErrLoginRefused)
	writeFile(t, file, []byte("rotated\n"))
	assert.NoError(t, f.write(f.newItem()))
}

func TestAMissingObjectHasItsAdvice(t *testing.T) {
	o := newSchema(t) // without tables
	_, err := openUnchecked(t, o).Check(t.Context())
	assert.ErrorContains(t, err, "run migrate")
	o.Database = "missing"
	_, err = openUnchecked(t, o).Check(t.Context())
	assert.ErrorContains(t, err, "3D000")
	o.Database, o.User = database, "nobody"
	_, err = openUnchecked(t, o).Check(t.Context())
	assert.ErrorIs(t, err, session.ErrLoginRefused)
}

// pgx would read these variables, and these files in the home folder. Each is a pipe: opening it for writing waits for
// a reader.
func TestTheEnvironmentAndTheHomeFolderHaveNoEffect(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	for _, name := range []string{
		"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGAPPNAME",
		"PGCONNECT_TIMEOUT", "PGSSLMODE", "PGSSLKEY", "PGSSLCERT", "PGSSLROOTCERT", "PGSSLPASSWORD", "PGSSLSNI",
		"PGSSLNEGOTIATION", "PGOPTIONS", "PGTARGETSESSIONATTRS", "PGTZ", "PGCHANNELBINDING", "PGREQUIREAUTH",
		"PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION", "PGKRBSRVNAME",
	} {
		t.Setenv(name, "nonsense")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	require.NoError(t, os.Mkdir(filepath.Join(home, ".postgresql"), 0o700))
	files := []string{
		".pgpass", ".pg_service.conf", ".postgresql/postgresql.crt", ".postgresql/postgresql.key", ".postgresql/root.crt",
	}
	var readers sync.Map
	var all sync.WaitGroup
	for _, name := range files {
		path := filepath.Join(home, name)
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		all.Go(func() {
			pipe, err := os.OpenFile(path, os.O_WRONLY, 0)
			if assert.NoError(t, err) {
				readers.Store(name, true)
				_ = pipe.Close()
			}
		})
	}
	s := openWith(t, o)
	newAdmin(t, s)
	conn := connect(t, o)
	var name string
	require.NoError(t, conn.QueryRow(context.Background(), "SELECT current_setting('application_name')").Scan(&name))
	assert.Equal(t, "echo-in-snowflake test", name)
	for _, name := range files {
		_, read := readers.Load(name)
		assert.False(t, read, name)
		pipe, err := os.OpenFile(filepath.Join(home, name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
		require.NoError(t, err)
		defer pipe.Close()
	}
	all.Wait()
}

func TestAServerWithoutTLSAndADatabaseThatDoesNotExistAreNamed(t *testing.T) {
	t.Parallel()
	_, o := ownServer(t, pgserver.Options{TCP: true})
	reason := func(o session.Options) error {
		_, err := openUnchecked(t, o).Check(t.Context())
		return err
	}
	encrypted, absent := o, o
	encrypted.TLS = true
	absent.Database = "absent"
	assert.ErrorContains(t, reason(encrypted), "set ssl = on there")
	assert.ErrorContains(t, reason(absent), "check POSTGRES_DATABASE")
}
