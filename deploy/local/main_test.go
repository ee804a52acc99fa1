package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

func TestMain(m *testing.M) {
	os.Exit(peertest.Run(m, peertest.Wanted(), "the local start was not tried: set ECHO_TEST_PEERS=1 for that"))
}

func TestOneCommandRunsTheServiceOnAnEmulator(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	addr := listener.Addr().String()
	t.Setenv("HTTP_ADDR", addr)
	t.Setenv("FIRST_SUPERUSER_PASSWORD", "correct horse battery staple")
	t.Setenv("GOFLAGS", "") // those of a coverage profile are for this run alone

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, io.Discard) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool {
		reply, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return false
		}
		defer reply.Body.Close()
		return reply.StatusCode == http.StatusOK
	}, 8*time.Minute, 100*time.Millisecond)
	reply, err := http.PostForm("http://"+addr+"/api/v1/auth/login", url.Values{
		"username": {"admin@example.com"}, "password": {"correct horse battery staple"},
	})
	require.NoError(t, err)
	defer reply.Body.Close()
	assert.Equal(t, http.StatusOK, reply.StatusCode)
}
