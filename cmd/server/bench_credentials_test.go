//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkCredentials signs in and refreshes with 64 clients at the same time, each from a source of its own. Each reply
// must be a success. Hashing is made cheap: it would be all that a sign-in costs.
func BenchmarkCredentials(b *testing.B) {
	for _, store := range benchStores {
		service := newBenchService(b, store.config(b), "--source-header=X-Source")
		b.Run("sign-in/"+store.name, func(b *testing.B) {
			service.eachClient(b, func(c tokenClient, pb *testing.PB) {
				for pb.Next() {
					c.post("/auth/login", signInForm(service.admin.Email.String(), goodPassword))
				}
			})
		})
		b.Run("refresh/"+store.name, func(b *testing.B) {
			service.eachClient(b, func(c tokenClient, pb *testing.PB) {
				token := c.post("/auth/login", signInForm(service.admin.Email.String(), goodPassword))
				for pb.Next() {
					token = c.post("/auth/refresh", refreshForm(token))
				}
			})
		})
	}
}

// tokenClient is a client of the token endpoint.
type tokenClient struct {
	b              *testing.B
	http           *http.Client
	origin, source string
}

// eachClient runs do in 64 clients.
func (s benchService) eachClient(b *testing.B, do func(tokenClient, *testing.PB)) {
	b.Helper()
	const clients = 64
	b.SetParallelism(clients / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		do(tokenClient{b, &http.Client{Transport: transport}, s.origin, newID()}, pb)
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// post sends a form and returns the refresh token of the reply.
func (c tokenClient) post(path string, form url.Values) string {
	req, err := http.NewRequest(http.MethodPost, c.origin+"/api/v1"+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.b.Error(err)
		return ""
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Source", c.source)
	reply, err := c.http.Do(req)
	if err != nil {
		c.b.Error(err)
		return ""
	}
	defer reply.Body.Close()
	var body struct {
		Refresh string `json:"refresh_token"`
		Code    string `json:"code"`
	}
	if err := json.NewDecoder(reply.Body).Decode(&body); err != nil || reply.StatusCode != http.StatusOK {
		c.b.Error(fmt.Sprint(path, ": ", reply.Status, " ", body.Code, " ", err))
	}
	return body.Refresh
}
