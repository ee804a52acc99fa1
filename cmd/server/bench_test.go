package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/telemetry"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// BenchmarkHTTP compares the service with a plain Echo handler on the same store, over real connections. The
// plain handler verifies JWTs, uses encoding/json, and does nothing else. The service logs to a file, as in a
// container.
func BenchmarkHTTP(b *testing.B) {
	cfg, err := config.Load(nil)
	require.NoError(b, err)
	store, err := openStore(cfg, telemetry.None())
	require.NoError(b, err)
	logFile, err := os.Create(b.TempDir() + "/log")
	require.NoError(b, err)
	defer logFile.Close()
	log, lines := newLoggers(cfg, logFile)
	defer closeLog(lines)
	svc, err := wire(cfg, store, telemetry.None(), log, cheapSignInCost())
	require.NoError(b, err)
	_, err = svc.operator.EnsureFirstSuperuser(b.Context(), svc.first.email, svc.first.password)
	require.NoError(b, err)
	admin, err := store.UserForSignIn(b.Context(), svc.first.email)
	require.NoError(b, err)
	tokens, err := newTokens(cfg)
	require.NoError(b, err)
	token, err := tokens.Issue(admin.Actor())
	require.NoError(b, err)
	var itemID string
	for n := range 100 {
		i := domain.Item{ID: newID(), OwnerID: admin.ID, Version: 1, CreatedAt: now(), UpdatedAt: now()}
		i.Title, _ = domain.ParseTitle(fmt.Sprintf("item %d", n))
		require.NoError(b, store.CreateItem(b.Context(), admin.Actor(), i))
		itemID = i.ID
	}

	servers := []struct {
		name, origin string
	}{
		{"service", serveOn(b, svc.http.HTTPServer())},
		{"plain", serveOn(b, &http.Server{Handler: plainEcho(store, admin.Actor(), []byte(cfg.JWTSecretKey.Reveal())), ReadHeaderTimeout: time.Second})},
	}
	for _, request := range []struct{ name, method, path, body string }{
		{"GET item", http.MethodGet, "/api/v1/items/" + itemID, ""},
		{"list of 100", http.MethodGet, "/api/v1/items/", ""},
		{"POST item", http.MethodPost, "/api/v1/items/", `{"title":"Snow shovel","description":"The red one."}`},
	} {
		for _, server := range servers {
			b.Run(request.name+"/"+server.name, func(b *testing.B) {
				address := strings.TrimPrefix(server.origin, "http://")
				raw := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
					request.method, request.path, token.Value, len(request.body), request.body)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					repeatRequest(b, pb, address, raw)
				})
			})
		}
	}
}

// repeatRequest sends the same request repeatedly on one connection. It parses as little of the replies as
// possible, so that the benchmark measures the servers.
func repeatRequest(b *testing.B, pb *testing.PB, address, request string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	raw, buffer := []byte(request), make([]byte, 64<<10)
	for pb.Next() {
		if _, err := conn.Write(raw); err != nil {
			b.Error(err)
			return
		}
		got, want := 0, -1
		for want < 0 || got < want {
			n, err := conn.Read(buffer[got:])
			if err != nil {
				b.Error(err)
				return
			}
			got += n
			want = replySize(buffer[:got])
		}
		if buffer[9] != '2' {
			b.Errorf("%s", buffer[:got])
			return
		}
	}
}

// replySize returns the size of the reply that begins with head, or -1 if head is too short to know it.
func replySize(head []byte) int {
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 {
		return -1
	}
	if _, rest, found := bytes.Cut(head[:end], []byte("Content-Length: ")); found {
		size := 0
		for _, digit := range rest {
			if digit < '0' || digit > '9' {
				break
			}
			size = size*10 + int(digit-'0')
		}
		return end + 4 + size
	}
	if at := bytes.Index(head, []byte("\r\n0\r\n\r\n")); at > 0 { // chunked
		return at + 7
	}
	return -1
}

func serveOn(b *testing.B, server *http.Server) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server.ErrorLog = zap.NewStdLog(zap.NewNop())
	go func() { _ = server.Serve(listener) }()
	b.Cleanup(func() { _ = server.Close() })
	return "http://" + listener.Addr().String()
}

// plainEcho returns a typical handler without a contract: no validation, no limits, no log.
func plainEcho(store ports.Store, actor domain.Actor, key []byte) *echo.Echo {
	type item struct {
		ID          string    `json:"id"`
		Title       string    `json:"title"`
		Description *string   `json:"description"`
		OwnerID     string    `json:"owner_id"`
		CreatedAt   time.Time `json:"created_at"`
		UpdatedAt   time.Time `json:"updated_at"`
	}
	reply := func(i domain.Item) item {
		out := item{ID: i.ID, Title: i.Title.String(), OwnerID: i.OwnerID, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt}
		if d, ok := i.Description.Get(); ok {
			text := d.String()
			out.Description = &text
		}
		return out
	}
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			token := strings.TrimPrefix(c.Request().Header.Get("Authorization"), "Bearer ")
			_, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods([]string{"HS256"}))
			if err != nil {
				return echo.ErrUnauthorized
			}
			c.Set("actor", actor)
			return next(c)
		}
	})
	e.GET("/api/v1/items/:id", func(c echo.Context) error {
		i, err := store.Item(c.Request().Context(), c.Get("actor").(domain.Actor), domain.AllItems(), c.Param("id"))
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, reply(i))
	})
	e.GET("/api/v1/items/", func(c echo.Context) error {
		actor := c.Get("actor").(domain.Actor)
		page, err := store.Items(c.Request().Context(), actor, actor.ID, domain.PageRequest{Limit: 100, Count: true})
		if err != nil {
			return err
		}
		data := make([]item, len(page.Rows))
		for n, i := range page.Rows {
			data[n] = reply(i)
		}
		return c.JSON(http.StatusOK, map[string]any{"data": data, "count": page.Total.Or(0)})
	})
	e.POST("/api/v1/items/", func(c echo.Context) error {
		var in struct {
			Title       string  `json:"title"`
			Description *string `json:"description"`
		}
		if err := c.Bind(&in); err != nil {
			return err
		}
		actor := c.Get("actor").(domain.Actor)
		i := domain.Item{ID: newID(), OwnerID: actor.ID, Version: 1, CreatedAt: now(), UpdatedAt: now()}
		i.Title, _ = domain.ParseTitle(in.Title)
		if in.Description != nil {
			d, _ := domain.ParseDescription(*in.Description)
			i.Description = domain.Some(d)
		}
		if err := store.CreateItem(c.Request().Context(), actor, i); err != nil {
			return err
		}
		return c.JSON(http.StatusCreated, reply(i))
	})
	return e
}
