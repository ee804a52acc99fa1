//go:build unix

package postgrestest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
)

const (
	password = "correct horse battery staple"
	clients  = 16
	// maxRecovery is how soon after the server is back requests succeed again.
	maxRecovery = 2 * time.Second
)

// startService migrates the database of a server and starts the program on it.
func startService(t *testing.T, server *pgserver.Server) (api string) {
	t.Helper()
	variables := []string{
		"STORAGE=postgres", "POSTGRES_HOST=" + server.Socket, fmt.Sprint("POSTGRES_PORT=", server.Port),
		"POSTGRES_DATABASE=postgres", "POSTGRES_USER=postgres", "FIRST_SUPERUSER_PASSWORD=" + password,
		"JWT_SECRET_KEY=mHq0vZ1dZk2Yw1n1rj7mS3l8fK9QbVxTt4oPzE6uCgA=",
	}
	peertest.Run(t, variables, "migrate")
	return peertest.StartServer(t, variables...).URL + "/api/v1"
}

func signIn(t *testing.T, api string) (token string) {
	t.Helper()
	reply, err := http.PostForm(api+"/auth/login", url.Values{"username": {"admin@example.com"}, "password": {password}})
	require.NoError(t, err)
	defer reply.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(reply.Body).Decode(&body))
	return body.Token
}

// write is the reply to the creation of one item.
type write struct {
	title, code string // code is empty after a success
	at          time.Time
}

// createItems creates items until stop is closed, and returns the replies.
func createItems(t *testing.T, api, token string, client int, stop <-chan struct{}) (writes []write) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return writes
		default:
		}
		w := write{title: fmt.Sprintf("item %d of client %d", n, client)}
		request, _ := http.NewRequest(http.MethodPost, api+"/items/", strings.NewReader(fmt.Sprintf(`{"title":%q}`, w.title)))
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("Content-Type", "application/json")
		reply, err := http.DefaultClient.Do(request)
		if !assert.NoError(t, err) {
			return writes
		}
		body, _ := io.ReadAll(reply.Body)
		reply.Body.Close()
		if w.at = time.Now(); reply.StatusCode != http.StatusCreated {
			assert.Equal(t, http.StatusServiceUnavailable, reply.StatusCode, "%s", body)
			var problem struct{ Code string }
			_ = json.NewDecoder(bytes.NewReader(body)).Decode(&problem)
			w.code = problem.Code
			time.Sleep(20 * time.Millisecond)
		}
		writes = append(writes, w)
	}
}

func TestAPlannedStopOfTheServerLosesNothingAndLeavesNoOutcomeUnknown(t *testing.T) {
	server := pgtest.StartServer(t, pgserver.Options{})
	api := startService(t, server)
	token := signIn(t, api)
	stop, writes := make(chan struct{}), make([][]write, clients)
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() { writes[client] = createItems(t, api, token, client, stop) })
	}
	time.Sleep(time.Second)
	require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
	time.Sleep(time.Second)
	require.NoError(t, server.Start(t.Context()))
	back := time.Now()
	time.Sleep(maxRecovery + time.Second)
	close(stop)
	all.Wait()

	titles := map[string]int{}
	conn := pgtest.Connect(t, server.DSN(pgserver.SuperUser, "postgres"))
	rows, err := conn.Query(t.Context(), "SELECT title FROM items")
	require.NoError(t, err)
	for rows.Next() {
		var title string
		require.NoError(t, rows.Scan(&title))
		titles[title]++
	}
	require.NoError(t, rows.Err())
	codes, recovered := map[string]int{}, time.Time{}
	for _, w := range slices.Concat(writes...) {
		codes[w.code]++
		switch w.code {
		case "":
			assert.Equal(t, 1, titles[w.title], "a success is there once")
			if w.at.After(back) && (recovered.IsZero() || w.at.Before(recovered)) {
				recovered = w.at
			}
		default:
			assert.Zero(t, titles[w.title], "a refusal had no effect")
		}
	}
	t.Log("replies by code:", codes, "recovered after", recovered.Sub(back))
	assert.Positive(t, codes["unavailable"], "the stop was noticed")
	assert.NotContains(t, codes, "outcome_unknown")
	assert.False(t, recovered.IsZero())
	assert.Less(t, recovered.Sub(back), maxRecovery)
}
