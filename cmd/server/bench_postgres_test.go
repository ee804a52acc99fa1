//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// BenchmarkHTTPOnPostgres compares the service on PostgreSQL with bare handlers on the same server, over real
// connections. The bare handlers use net/http, pgxpool and encoding/json, and do nothing else: no sign-in, no check
// of the input, no limits, no log. Both have eight connections.
func BenchmarkHTTPOnPostgres(b *testing.B) {
	bin, found := pgserver.Find(0)
	if !found {
		b.Skip("found no PostgreSQL server")
	}
	server, err := pgserver.Start(b.Context(), pgserver.Options{Bin: bin})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Close()) })
	options := newPostgresSchema(b, fmt.Sprintf("%s:%d", server.Socket, server.Port), 10*time.Second)
	cfg := loadFlags(b, postgresConfig(b, options))
	store, err := openStore(cfg, telemetry.None())
	require.NoError(b, err)
	b.Cleanup(store.shutdown)
	svc, admin, token := benchService(b, cfg, store)
	item := addItems(b, store, admin, 100)
	pool, err := pgxpool.New(b.Context(), server.DSN(pgserver.SuperUser, "postgres")+
		" pool_max_conns=8 search_path="+options.Schema)
	require.NoError(b, err)
	b.Cleanup(pool.Close)

	servers := []struct{ name, origin string }{
		{"service", serveOn(b, svc.http.HTTPServer())},
		{"bare", serveOn(b, &http.Server{Handler: bareHandlers(pool, admin.ID), ReadHeaderTimeout: time.Second})},
	}
	for _, request := range []struct{ name, method, path, body string }{
		{"GET item", http.MethodGet, "/api/v1/items/" + item, ""},
		{"list of 100", http.MethodGet, "/api/v1/items/?limit=100&count=false", ""},
		{"POST item", http.MethodPost, "/api/v1/items/", `{"title":"Snow shovel","description":"The red one."}`},
	} {
		for _, server := range servers {
			b.Run(request.name+"/"+server.name, func(b *testing.B) {
				raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
					request.method, request.path, token, len(request.body), request.body)
				b.SetParallelism(16) // 32 clients on two processors
				b.RunParallel(func(pb *testing.PB) {
					repeatRequest(b, pb, strings.TrimPrefix(server.origin, "http://"), raw)
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
			})
		}
	}
}

// benchService wires the service on store, with a log file as in a container. It returns the first superuser and a
// token of it.
func benchService(b *testing.B, cfg config.Config, store storage) (*service, domain.User, string) {
	b.Helper()
	logFile, err := os.Create(filepath.Join(b.TempDir(), "log"))
	require.NoError(b, err)
	b.Cleanup(func() { _ = logFile.Close() })
	log, lines := newLoggers(cfg, logFile)
	b.Cleanup(func() { closeLog(lines) })
	svc, err := wire(cfg, store, telemetry.None(), log, cheapSignInCost())
	require.NoError(b, err)
	_, err = svc.operator.EnsureFirstSuperuser(b.Context(), svc.first.email, svc.first.password)
	require.NoError(b, err)
	admin, err := store.UserForSignIn(b.Context(), svc.first.email)
	require.NoError(b, err)
	token, err := svc.tokens.Issue(admin.Actor())
	require.NoError(b, err)
	return svc, admin, token.Value
}

// addItems adds n items of owner and returns the id of the last one.
func addItems(b *testing.B, store storage, owner domain.User, n int) (id string) {
	b.Helper()
	for i := range n {
		item := domain.Item{ID: newID(), OwnerID: owner.ID, Version: 1, CreatedAt: now(), UpdatedAt: now()}
		item.Title, _ = domain.ParseTitle(fmt.Sprintf("item %d", i))
		require.NoError(b, store.CreateItem(b.Context(), owner.Actor(), item))
		id = item.ID
	}
	return id
}

// bareItem is an item as the bare handlers read and show it.
type bareItem struct {
	ID          string    `json:"id"`
	Title       string    `json:"title"`
	Description *string   `json:"description"`
	OwnerID     string    `json:"owner_id"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func (i *bareItem) targets() []any {
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
		var i bareItem
		row := pool.QueryRow(r.Context(), "SELECT "+columns+" FROM items WHERE id = $1", r.PathValue("id"))
		err := row.Scan(i.targets()...)
		reply(w, http.StatusOK, i, err)
	})
	mux.HandleFunc("GET /api/v1/items/{$}", func(w http.ResponseWriter, r *http.Request) {
		rows, err := pool.Query(r.Context(), "SELECT "+columns+" FROM items WHERE owner_id = $1 ORDER BY created_at DESC, id DESC LIMIT 101", owner)
		if err != nil {
			reply(w, 0, nil, err)
			return
		}
		defer rows.Close()
		var all []bareItem
		for rows.Next() {
			var i bareItem
			if err := rows.Scan(i.targets()...); err != nil {
				reply(w, 0, nil, err)
				return
			}
			all = append(all, i)
		}
		reply(w, http.StatusOK, map[string]any{"data": all}, rows.Err())
	})
	mux.HandleFunc("POST /api/v1/items/{$}", func(w http.ResponseWriter, r *http.Request) {
		i := bareItem{ID: newID(), OwnerID: owner, CreatedAt: now(), UpdatedAt: now()}
		err := json.NewDecoder(r.Body).Decode(&i)
		if err == nil {
			_, err = pool.Exec(r.Context(), "INSERT INTO items ("+columns+", version) VALUES ($1, $2, $3, $4, $5, $6, 1)",
				i.ID, i.Title, i.Description, i.OwnerID, i.CreatedAt, i.UpdatedAt)
		}
		reply(w, http.StatusCreated, i, err)
	})
	return mux
}
