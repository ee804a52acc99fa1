package main

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// BenchmarkHTTP compares the service with a plain Echo handler on the same store, over real connections. The
// plain handler verifies JWTs, uses encoding/json, and does nothing else. The service logs to a file, as in a
// container.
func BenchmarkHTTP(b *testing.B) {
	service := newBenchService(b, "--http-addr=127.0.0.1:0", configFile(b, fields{"JWT_SECRET_KEY": randomKey}))
	plain := serveOn(b, &http.Server{Handler: plainEcho(service.store, service.admin.Actor(), []byte(service.cfg.JWTSecretKey.Reveal())), ReadHeaderTimeout: time.Second})
	for _, r := range service.requests("/items/") {
		for _, server := range []struct{ name, origin string }{{"service", service.origin}, {"plain", plain}} {
			b.Run(r.name+"/"+server.name, func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					repeatRequest(b, pb, strings.TrimPrefix(server.origin, "http://"), r.raw)
				})
			})
		}
	}
}

// repeatRequest sends the same request repeatedly on one connection, and returns how long the replies took. It parses as
// little of them as possible, so that the benchmark measures the servers.
func repeatRequest(b *testing.B, pb *testing.PB, address, request string) (took []time.Duration) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer conn.Close()
	raw, buffer := []byte(request), make([]byte, 64<<10)
	for pb.Next() {
		sent := time.Now()
		if _, err := conn.Write(raw); err != nil {
			b.Error(err)
			return nil
		}
		got, want := 0, -1
		for want < 0 || got < want {
			n, err := conn.Read(buffer[got:])
			if err != nil {
				b.Error(err)
				return nil
			}
			got += n
			want = replySize(buffer[:got])
		}
		if buffer[9] != '2' {
			b.Errorf("%s", buffer[:got])
			return nil
		}
		took = append(took, time.Since(sent))
	}
	return took
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

// plainItem is an item in the replies of the handlers that the service is compared with.
type plainItem struct {
	ID          string    `json:"id"`
	Title       string    `json:"title"`
	Description *string   `json:"description"`
	OwnerID     string    `json:"owner_id"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// plainEcho returns a typical handler without a contract: no validation, no limits, no log.
func plainEcho(store ports.Store, actor domain.Actor, key []byte) *echo.Echo {
	reply := func(i domain.Item) plainItem {
		out := plainItem{ID: i.ID, Title: i.Title.String(), OwnerID: i.OwnerID, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt}
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
		data := make([]plainItem, len(page.Rows))
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
