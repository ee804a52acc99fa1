package session

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// A suspended instance accepts connections, or not even these, and answers nothing.
func TestAServerThatNeverAnswersIsUnavailableByTheDeadline(t *testing.T) {
	o := optionsFor(listen(t))
	o.RequestTimeout = 400 * time.Millisecond
	d := open(t, o)
	for range guard.FailuresToOpen {
		began := time.Now()
		err := write(limit(t, d), d)
		assert.ErrorIs(t, err, domain.ErrUnavailable, "nothing was sent")
		assert.Less(t, time.Since(began), o.RequestTimeout+guard.Grace+100*time.Millisecond)
	}
	assert.False(t, d.guard.Closed())
	began := time.Now()
	_ = d.Close()
	assert.Less(t, time.Since(began), closeTimeout+100*time.Millisecond)
}

func TestAServerWithAnotherNameIsRefused(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS() // its certificate is for 127.0.0.1 and example.com
	defer web.Close()
	listener := listen(t)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := pgproto3.NewBackend(conn, conn).ReceiveStartupMessage(); err == nil {
				_, _ = conn.Write([]byte("S"))
				go func() { _ = tls.Server(conn, web.TLS).Handshake() }()
			}
		}
	}()
	o := optionsFor(listener)
	o.Host, o.TLS, o.CAFile = "localhost", true, filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	require.NoError(t, os.WriteFile(o.CAFile, certificate, 0o600))
	d := open(t, o)
	err := read(limit(t, d), d)
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorContains(t, err, "check POSTGRES_HOST and POSTGRES_CA_FILE")
}

func TestStatementsEndBeforeTheirCallerGivesUp(t *testing.T) {
	o := Options{RequestTimeout: 10 * time.Second}
	params := o.runtimeParams()
	assert.Equal(t, "9500", params["statement_timeout"])
	assert.Equal(t, "4750", params["lock_timeout"])
	o.RequestTimeout = time.Millisecond
	assert.Equal(t, "1", o.runtimeParams()["lock_timeout"], "0 would be no limit")
	o.Pooler = true
	assert.Equal(t, map[string]string{"application_name": "echo-in-snowflake unknown"}, o.runtimeParams())
}
