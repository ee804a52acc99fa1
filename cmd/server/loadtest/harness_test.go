package loadtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
)

func TestMain(m *testing.M) { peertest.Main(m, os.Getenv("ECHO_TEST_LOAD") == "1", nil) }

// duration is how long each attack lasts.
const duration = 8 * time.Second

// password of all accounts except the first superuser.
const password = "correct horse battery staple"

// target is the attacked program.
type target struct {
	t      *testing.T
	origin string
	pid    int
}

func startTarget(t *testing.T) target {
	t.Helper()
	server := peertest.StartServer(t, "SOURCE_HEADER=X-Source")
	return target{t, server.URL, server.PID}
}

// client is one source with connections of its own.
type client struct {
	target
	http   *http.Client
	source string
	token  string
}

func (s target) newClient(source string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &client{target: s, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}, source: source}
}

// call sends a request and returns the status of the reply, or 0 if there is none.
func (c *client) call(method, path, mediaType, body string, reply any) int {
	req, err := http.NewRequest(method, c.origin+path, strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("X-Source", c.source)
	req.Header.Set("Content-Type", mediaType)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(req)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0
	}
	if reply != nil {
		_ = json.Unmarshal(text, reply)
	}
	return response.StatusCode
}

func (c *client) json(method, path string, body, reply any) int {
	text, _ := json.Marshal(body)
	return c.call(method, "/api/v1"+path, "application/json", string(text), reply)
}

func (c *client) signIn(email, password string) int {
	var token struct {
		Value string `json:"access_token"`
	}
	form := "username=" + email + "&password=" + password
	status := c.call("POST", "/api/v1/auth/login", "application/x-www-form-urlencoded", form, &token)
	if status == http.StatusOK {
		c.token = token.Value
	}
	return status
}

// admin returns a client that is signed in as the first superuser.
func (s target) admin() *client {
	s.t.Helper()
	c := s.newClient("admin")
	require.Equal(s.t, http.StatusOK, c.signIn("admin@example.com", "changethis"))
	return c
}

// during runs attack in n goroutines while work runs, and returns how many calls of attack were made. attack gets
// the number of its goroutine and of its call.
func during(n int, attack func(goroutine, call int), work func()) int64 {
	var stop atomic.Bool
	var calls atomic.Int64
	var all sync.WaitGroup
	for goroutine := range n {
		all.Go(func() {
			for call := 0; !stop.Load(); call++ {
				attack(goroutine, call)
				calls.Add(1)
			}
		})
	}
	work()
	stop.Store(true)
	all.Wait()
	return calls.Load()
}

// repeat calls f until the attack has lasted long enough, at most every pause.
func repeat(pause time.Duration, f func()) {
	for end := time.Now().Add(duration); time.Now().Before(end); time.Sleep(pause) {
		f()
	}
}

// outcome counts the statuses of replies, and keeps their times.
type outcome struct {
	mu       sync.Mutex
	statuses map[int]int
	times    []time.Duration
}

func (o *outcome) add(status int, began time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.statuses == nil {
		o.statuses = map[int]int{}
	}
	o.statuses[status]++
	o.times = append(o.times, time.Since(began))
}

// served returns the part that had this status, and percentiles of the times.
func (o *outcome) served(status int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	slices.Sort(o.times)
	percentile := func(p int) time.Duration {
		if len(o.times) == 0 {
			return 0
		}
		return o.times[min(len(o.times)-1, len(o.times)*p/100)].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d of %d with %d, p50 %v, p99 %v", o.statuses[status], len(o.times), status, percentile(50), percentile(99))
}

// livez measures the probe for the time of an attack.
func (s target) livez() *outcome {
	var o outcome
	probe := s.newClient("probe")
	repeat(20*time.Millisecond, func() {
		began := time.Now()
		o.add(probe.call("GET", "/livez", "", "", nil), began)
	})
	return &o
}

// memory returns the resident memory of the program in MiB.
func (s target) memory() int {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	require.NoError(s.t, err)
	var kib int
	for line := range bytes.Lines(status) {
		if text, found := bytes.CutPrefix(line, []byte("VmRSS:")); found {
			_, err := fmt.Sscan(string(text), &kib)
			require.NoError(s.t, err)
		}
	}
	return kib / 1024
}

// descriptors returns the number of open files and sockets of the program.
func (s target) descriptors() int {
	s.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid))
	require.NoError(s.t, err)
	return len(open)
}

// stall opens connections that send text and then nothing, and never read.
func (s target) stall(n int, text string) (connections []net.Conn) {
	s.t.Helper()
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.origin, "http://"))
		if err != nil {
			continue
		}
		s.t.Cleanup(func() { conn.Close() })
		_, _ = io.WriteString(conn, text)
		connections = append(connections, conn)
	}
	return connections
}
