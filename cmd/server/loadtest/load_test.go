package loadtest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAFloodOfSignInsFromOneSource(t *testing.T) {
	s := startTarget(t)
	admin := s.admin()
	for n := range 20 {
		body := map[string]any{"email": fmt.Sprintf("user%d@example.com", n), "password": password}
		require.Equal(t, http.StatusCreated, admin.json("POST", "/users/", body, nil))
	}
	flood := s.newClient("attacker")
	var others, authenticated outcome
	tries := during(200, func(goroutine, call int) {
		_ = flood.call("POST", "/api/v1/auth/login", "application/x-www-form-urlencoded",
			fmt.Sprintf("username=x%d.%d@example.com&password=wrong", goroutine, call), nil)
	}, func() {
		n := 0
		repeat(100*time.Millisecond, func() {
			n++
			began := time.Now()
			others.add(s.newClient(fmt.Sprint("source ", n)).signIn(fmt.Sprintf("user%d@example.com", n%20), password), began)
			began = time.Now()
			body := map[string]any{"email": fmt.Sprintf("new%d@example.com", n), "password": password}
			authenticated.add(admin.json("POST", "/users/", body, nil), began)
		})
	})
	t.Logf("200 connections of one source made %d attempts in %v", tries, duration)
	t.Log("sign-ins from other sources: ", others.served(http.StatusOK), "(target: at least 95 %)")
	t.Log("accounts made by a superuser: ", authenticated.served(http.StatusCreated), "(target: all)")
}

func TestGuessing(t *testing.T) {
	s := startTarget(t)
	form := "application/x-www-form-urlencoded"
	var one, many outcome
	source := s.newClient("one source")
	during(8, func(goroutine, call int) {
		began := time.Now()
		body := fmt.Sprintf("username=x%d.%d@example.com&password=wrong", goroutine, call)
		one.add(source.call("POST", "/api/v1/auth/login", form, body, nil), began)
	}, func() { time.Sleep(duration) })
	t.Log("one source guesses for many accounts: ", one.served(http.StatusUnauthorized), "(target: 30, then one a second)")

	during(8, func(goroutine, call int) {
		began := time.Now()
		c := s.newClient(fmt.Sprintf("source %d", (goroutine+8*call)%60))
		many.add(c.call("POST", "/api/v1/auth/login", form, "username=admin@example.com&password=wrong", nil), began)
	}, func() { time.Sleep(duration) })
	t.Log("60 sources guess for one account: ", many.served(http.StatusUnauthorized), "(target: 100, then one a minute)")
}

func TestAssetsWithoutCompression(t *testing.T) {
	s := startTarget(t)
	for _, method := range []string{"HEAD", "GET"} {
		var flood, livez *outcome
		flood = &outcome{}
		c := s.newClient("attacker")
		during(8, func(int, int) {
			began := time.Now()
			flood.add(c.call(method, "/api/v1/docs/swagger-ui-bundle.js", "", "", nil), began)
		}, func() { livez = s.livez() })
		t.Logf("%s for the largest script: %s", method, flood.served(http.StatusOK))
		t.Log("/livez meanwhile: ", livez.served(http.StatusOK), "(target: p99 below 100 ms)")
	}
}

func TestReadersThatDoNotRead(t *testing.T) {
	s := startTarget(t)
	admin := s.admin()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 125 {
				_ = admin.json("POST", "/items/", map[string]any{"title": "large", "description": strings.Repeat("x", 5000)}, nil)
			}
		})
	}
	all.Wait()
	reader := s.newClient("reader")
	require.Equal(t, http.StatusCreated, admin.json("POST", "/users/", map[string]any{"email": "ann@example.com", "password": password}, nil))
	require.Equal(t, http.StatusOK, reader.signIn("ann@example.com", password))
	for range 100 {
		require.Equal(t, http.StatusCreated, reader.json("POST", "/items/", map[string]any{"title": "small"}, nil))
	}
	before := s.memory()
	most := before
	s.stall(40, "GET /api/v1/items/?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Source: attacker\r\nAuthorization: Bearer "+admin.token+"\r\n\r\n")
	var lists outcome
	during(32, func(int, int) {
		began := time.Now()
		lists.add(reader.json("GET", "/items/", nil, nil), began)
	}, func() { repeat(100*time.Millisecond, func() { most = max(most, s.memory()) }) })
	t.Logf("40 sockets ask for a page of 5 MB and do not read: %d MiB before, %d MiB at most", before, most)
	t.Log("32 clients that list 100 items meanwhile: ", lists.served(http.StatusOK), "(target: all)")
}

func TestStalledConnections(t *testing.T) {
	s := startTarget(t)
	before := s.memory()
	opened := len(s.stall(1500, "POST /api/v1/auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
		"Content-Length: 4000\r\n\r\nusername="))
	opened += len(s.stall(500, "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"))
	opened += len(s.stall(500, ""))
	livez := s.livez()
	t.Logf("%d connections: %d MiB before, %d MiB with them, %d descriptors", opened, before, s.memory(), s.descriptors())
	t.Log("/livez meanwhile: ", livez.served(http.StatusOK))
}
