//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	pgsession "github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// BenchmarkHTTPOnPostgres compares the service on PostgreSQL with bare handlers on the same server, over real
// connections. The bare handlers use net/http, pgxpool and encoding/json, and do nothing else: no sign-in, no check
// of the input, no limits, no log. Both have eight connections, and they run in turn. With -update it writes the medians
// of the ratios into docs/benchmarks.json.
func BenchmarkHTTPOnPostgres(b *testing.B) {
	options := benchSchema(b)
	pool, err := pgxpool.New(b.Context(), fmt.Sprintf("host=%s port=%d user=%s dbname=%s search_path=%s pool_max_conns=%d",
		options.Host, options.Port, options.User, options.Database, options.Schema, options.Connections))
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	service := newBenchService(b, postgresConfig(b, options))
	bare := serveOn(b, &http.Server{Handler: bareHandlers(pool, service.admin.ID), ReadHeaderTimeout: time.Second})
	medians := map[string]float64{}
	for _, r := range service.requests("/items/?limit=100&count=false") {
		const rounds = 5
		var ratios []float64
		for range rounds {
			rates := map[string]float64{}
			for _, server := range []struct{ name, origin string }{{"service", service.origin}, {"bare", bare}} {
				b.Run(r.name+"/"+server.name, func(b *testing.B) {
					b.SetParallelism(16) // 32 clients on two processors
					b.RunParallel(func(pb *testing.PB) {
						repeatRequest(b, pb, strings.TrimPrefix(server.origin, "http://"), r.raw)
					})
					rates[server.name] = float64(b.N) / b.Elapsed().Seconds()
					b.ReportMetric(rates[server.name], "requests/s")
				})
			}
			ratios = append(ratios, rates["service"]/rates["bare"])
		}
		slices.Sort(ratios)
		medians[r.name] = math.Round(100*ratios[rounds/2]) / 100
		fmt.Fprintf(os.Stderr, "%s: median of service/bare %.2f, of %.2f\n", r.name, medians[r.name], ratios)
	}
	updateBenchmarks(b, func(f *benchmarks) { f.ServiceToBare = medians })
}

// benchSchema starts a PostgreSQL server and returns a schema on it.
func benchSchema(b *testing.B) pgsession.Options {
	b.Helper()
	bin, found := pgserver.Find(0)
	if !found {
		b.Skip("found no PostgreSQL server")
	}
	server, err := pgserver.Start(b.Context(), pgserver.Options{Bin: bin})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Close()) })
	return newPostgresSchema(b, fmt.Sprintf("%s:%d", server.Socket, server.Port), 10*time.Second)
}

// benchStores are the stores that can be had on one machine.
var benchStores = []struct {
	name   string
	config func(*testing.B) string // the flag of a configuration file
}{
	{"memory", func(b *testing.B) string { return productionConfig(b) }},
	{"PostgreSQL", func(b *testing.B) string { return postgresConfig(b, benchSchema(b)) }},
}

// BenchmarkStores compares the stores with 64 clients. Each reply must be a success.
// With -update it writes the figures into docs/benchmarks.json.
func BenchmarkStores(b *testing.B) {
	figures := map[string]map[string]figure{} // by call and store
	for _, store := range benchStores {
		service := newBenchService(b, store.config(b))
		for _, r := range service.requests("/items/?limit=100&count=false") {
			b.Run(r.name+"/"+store.name, func(b *testing.B) {
				if figures[r.name] == nil {
					figures[r.name] = map[string]figure{}
				}
				figures[r.name][store.name] = service.measure(b, r.raw)
			})
		}
	}
	updateBenchmarks(b, func(f *benchmarks) { f.Stores = figures })
}

// benchmarks are the figures of the documents.
type benchmarks struct {
	Stores        map[string]map[string]figure `json:"stores"`          // by call and store
	ServiceToBare map[string]float64           `json:"service_to_bare"` // ratio of throughput, by call
}

const benchmarksFile = "docs/benchmarks.json"

func readBenchmarks(t testing.TB) (f benchmarks) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(moduleRoot, benchmarksFile))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &f))
	return f
}

// updateBenchmarks changes the file if -update is set.
func updateBenchmarks(b *testing.B, change func(*benchmarks)) {
	b.Helper()
	if !*updateDocuments {
		return
	}
	f := readBenchmarks(b)
	change(&f)
	var content bytes.Buffer
	encoder := json.NewEncoder(&content)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	require.NoError(b, encoder.Encode(f))
	require.NoError(b, os.WriteFile(filepath.Join(moduleRoot, benchmarksFile), content.Bytes(), 0o644))
}

// figure is what clients notice of one kind of request.
type figure struct {
	PerSecond float64 `json:"requests_per_second"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
}

func TestTheTableOfStoresHasTheFiguresOfTheBenchmark(t *testing.T) {
	figures := readBenchmarks(t).Stores
	stores := []string{"memory", "PostgreSQL"}
	table := "| | " + strings.Join(stores, " | ") + " |\n|---" + strings.Repeat("|---", len(stores)) + "|\n"
	for _, call := range slices.Sorted(maps.Keys(figures)) {
		table += "| " + call
		for _, store := range stores {
			f := figures[call][store]
			table += fmt.Sprintf(" | %.0f a second, p50 %.1f ms, p99 %.1f ms", f.PerSecond, f.P50, f.P99)
		}
		table += " |\n"
	}
	checkTable(t, "docs/choosing-a-store.md", "stores", table)
}

func TestTheReadmeHasTheRatiosOfTheBenchmark(t *testing.T) {
	ratios := readBenchmarks(t).ServiceToBare
	assert.Contains(t, readDocument(t, "README.md"), fmt.Sprintf(
		"| throughput of the same on PostgreSQL | %.2f, %.2f, %.2f |", ratios["GET /items/{id}"],
		ratios["GET /items/?limit=100&count=false"], ratios["POST /items/"]))
}

// benchService is a service with 100 items of its first superuser. It logs to a file, as in a container.
type benchService struct {
	cfg                 config.Config
	store               storage
	origin, token, item string
	admin               domain.User
}

func newBenchService(b *testing.B, flags ...string) benchService {
	b.Helper()
	cfg := loadFlags(b, flags...)
	store, err := openStore(cfg, telemetry.None())
	require.NoError(b, err)
	b.Cleanup(store.shutdown)
	logFile, err := os.Create(filepath.Join(b.TempDir(), "log"))
	require.NoError(b, err)
	b.Cleanup(func() { _ = logFile.Close() })
	log, lines := newLoggers(cfg, logFile)
	b.Cleanup(func() { closeLog(lines) })
	svc, err := wire(cfg, store, telemetry.None(), log, cheapSignInCost())
	require.NoError(b, err)
	_, err = svc.operator.EnsureFirstSuperuser(b.Context(), svc.first.email, svc.first.snowflakeUser, svc.first.password)
	require.NoError(b, err)
	s := benchService{cfg: cfg, store: store, origin: serveOn(b, svc.http.HTTPServer())}
	s.admin, err = store.UserForSignIn(b.Context(), svc.first.email)
	require.NoError(b, err)
	token, err := svc.tokens.Issue(s.admin.Actor())
	require.NoError(b, err)
	s.token = token.Value
	for n := range 100 {
		i := domain.Item{ID: newID(), OwnerID: s.admin.ID, Version: 1, CreatedAt: now(), UpdatedAt: now()}
		i.Title, _ = domain.ParseTitle(fmt.Sprintf("item %d", n))
		require.NoError(b, store.CreateItem(b.Context(), s.admin.Actor(), i))
		s.item = i.ID
	}
	return s
}

// benchRequest is a request as it is sent.
type benchRequest struct{ name, raw string }

func (s benchService) requests(list string) (requests []benchRequest) {
	for _, r := range []struct{ name, method, path, body string }{
		{"GET /items/{id}", http.MethodGet, "/items/" + s.item, ""},
		{"GET " + list, http.MethodGet, list, ""},
		{"POST /items/", http.MethodPost, "/items/", `{"title":"Snow shovel","description":"The red one."}`},
	} {
		raw := fmt.Sprintf("%s /api/v1%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", r.method, r.path, s.token, len(r.body), r.body)
		requests = append(requests, benchRequest{r.name, raw})
	}
	return requests
}

// measure sends the request from 64 clients and returns what they noticed.
func (s benchService) measure(b *testing.B, raw string) figure {
	b.Helper()
	const clients = 64
	var mu sync.Mutex
	var took []time.Duration
	b.SetParallelism(clients / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		times := repeatRequest(b, pb, strings.TrimPrefix(s.origin, "http://"), raw)
		mu.Lock()
		defer mu.Unlock()
		took = append(took, times...)
	})
	slices.Sort(took)
	milliseconds := func(percent int) float64 {
		return math.Round(float64(took[len(took)*percent/100].Microseconds())/100) / 10
	}
	f := figure{math.Round(float64(b.N) / b.Elapsed().Seconds()), milliseconds(50), milliseconds(99)}
	b.ReportMetric(f.PerSecond, "requests/s")
	b.ReportMetric(f.P50, "p50-ms")
	b.ReportMetric(f.P99, "p99-ms")
	return f
}

// bareTargets are the targets of the columns that bareHandlers reads.
func bareTargets(i *plainItem) []any {
	return []any{&i.ID, &i.Title, &i.Description, &i.OwnerID, &i.CreatedAt, &i.UpdatedAt}
}

func bareHandlers(pool *pgxpool.Pool, owner string) http.Handler {
	const columns = "id, title, description, owner_id, created_at, updated_at"
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, status int, body any, err error) {
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		content, _ := json.Marshal(body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(content)
	}
	mux.HandleFunc("GET /api/v1/items/{id}", func(w http.ResponseWriter, r *http.Request) {
		var i plainItem
		row := pool.QueryRow(r.Context(), "SELECT "+columns+" FROM items WHERE id = $1", r.PathValue("id"))
		err := row.Scan(bareTargets(&i)...)
		reply(w, http.StatusOK, i, err)
	})
	mux.HandleFunc("GET /api/v1/items/{$}", func(w http.ResponseWriter, r *http.Request) {
		rows, err := pool.Query(r.Context(), "SELECT "+columns+" FROM items WHERE owner_id = $1 ORDER BY created_at DESC, id DESC LIMIT 101", owner)
		if err != nil {
			reply(w, 0, nil, err)
			return
		}
		defer rows.Close()
		var all []plainItem
		for rows.Next() {
			var i plainItem
			if err := rows.Scan(bareTargets(&i)...); err != nil {
				reply(w, 0, nil, err)
				return
			}
			all = append(all, i)
		}
		reply(w, http.StatusOK, map[string]any{"data": all}, rows.Err())
	})
	mux.HandleFunc("POST /api/v1/items/{$}", func(w http.ResponseWriter, r *http.Request) {
		i := plainItem{ID: newID(), OwnerID: owner, CreatedAt: now(), UpdatedAt: now()}
		err := json.NewDecoder(r.Body).Decode(&i)
		if err == nil {
			_, err = pool.Exec(r.Context(), "INSERT INTO items ("+columns+", version) VALUES ($1, $2, $3, $4, $5, $6, 1)",
				i.ID, i.Title, i.Description, i.OwnerID, i.CreatedAt, i.UpdatedAt)
		}
		reply(w, http.StatusCreated, i, err)
	})
	return mux
}
