package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestAPasswordFileLosesOneLineBreak(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	for content, want := range map[string]string{"p": "p", "p\n": "p", "p\r\n": "p", " p \n\n": " p \n"} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		got, err := PasswordFile(file).Password(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	require.NoError(t, os.WriteFile(file, []byte("\n"), 0o600))
	_, err := PasswordFile(file).Password(t.Context())
	assert.ErrorContains(t, err, "POSTGRES_PASSWORD_FILE")
}

// countingTokens returns Tokens that get a new token each time, and the number of times.
func countingTokens() (*Tokens, *atomic.Int64) {
	var n atomic.Int64
	return NewTokens(func(context.Context) (string, error) { return fmt.Sprintf("opaque-%d", n.Add(1)), nil }), &n
}

func token(t *testing.T, tokens *Tokens) string {
	t.Helper()
	got, err := tokens.Password(t.Context())
	require.NoError(t, err)
	return got
}

func TestManyCallersGetOneTokenForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, n := countingTokens()
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() { assert.Equal(t, "opaque-1", token(t, tokens)) })
		}
		all.Wait()
		time.Sleep(10*time.Minute - time.Nanosecond)
		assert.Equal(t, "opaque-1", token(t, tokens))
		time.Sleep(time.Nanosecond)
		assert.Equal(t, "opaque-2", token(t, tokens))
		assert.EqualValues(t, 2, n.Load())
	})
}

func TestARefusedTokenIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens, n := countingTokens()
		require.Equal(t, "opaque-1", token(t, tokens))
		time.Sleep(tokenPause)
		tokens.Refused("opaque-1")
		assert.Equal(t, "opaque-2", token(t, tokens))
		tokens.Refused("opaque-1") // by another connection, later
		assert.Equal(t, "opaque-2", token(t, tokens))

		tokens.Refused("opaque-2")
		_, err := tokens.Password(t.Context())
		assert.ErrorIs(t, err, errTokenRefused, "not each request asks for another one")
		time.Sleep(tokenPause)
		assert.Equal(t, "opaque-3", token(t, tokens))
		assert.EqualValues(t, 3, n.Load())
	})
}

func TestAFailedFetchIsRepeatedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, away := 0, errors.New("away")
		tokens := NewTokens(func(context.Context) (string, error) { n++; return "", away })
		for range 100 {
			_, err := tokens.Password(t.Context())
			assert.ErrorIs(t, err, away)
			time.Sleep(100 * time.Millisecond)
		}
		assert.Equal(t, 10, n)
	})
}

func TestAFetchThatHangsBlocksCallersForFiveSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := NewTokens(func(ctx context.Context) (string, error) { <-ctx.Done(); return "", ctx.Err() })
		began := time.Now()
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, err := tokens.Password(t.Context())
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		all.Wait()
		assert.Equal(t, 5*time.Second, time.Since(began))
	})
}

// Callers keep asking, and the pool opens connections by itself. Neither may reach Snowflake with each login.
func TestARefusedOrMissingTokenIsFetchedAFewTimesASecondAtMost(t *testing.T) {
	for name, fetch := range map[string]func(int64) (string, error){
		"refused": func(n int64) (string, error) { return fmt.Sprintf("opaque-%d", n), nil },
		"missing": func(int64) (string, error) { return "", errors.New("Snowflake is away") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := newBackend(t)
			b.login = refusal("FATAL", "28P01")
			var n atomic.Int64
			o.Credential = NewTokens(func(context.Context) (string, error) { return fetch(n.Add(1)) })
			spans := tracetest.NewInMemoryExporter()
			o.Traces = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
			d := open(t, o)
			var all sync.WaitGroup
			const seconds = 2
			for range 8 {
				all.Go(func() {
					for end := time.Now().Add(seconds * time.Second); time.Now().Before(end); {
						err := write(limit(t, d), d)
						assert.Equal(t, domain.Unavailable, domain.KindOf(err), err)
						assert.NotContains(t, err.Error(), "opaque")
						time.Sleep(time.Millisecond)
					}
				})
			}
			all.Wait()
			assert.LessOrEqual(t, n.Load(), int64(2*seconds))
			t.Logf("%d fetches in %d s", n.Load(), seconds)
			assert.NotContains(t, fmt.Sprintf("%+v", spans.GetSpans()), "opaque")
		})
	}
}

func TestARefusedTokenIsReplacedWithoutARestart(t *testing.T) {
	b, o := newBackend(t)
	tokens, _ := countingTokens()
	o.Credential = tokens
	d := open(t, o)
	require.NoError(t, write(limit(t, d), d))
	time.Sleep(tokenPause)
	b.set(func() { b.login, b.ends = refusal("FATAL", "28P01"), true })
	require.Error(t, write(limit(t, d), d))
	require.Error(t, write(limit(t, d), d))
	b.set(func() { b.login, b.ends = nil, false })
	require.Eventually(t, func() bool { return write(limit(t, d), d) == nil }, 5*time.Second, 10*time.Millisecond)
	b.set(func() { assert.NotEqual(t, "opaque-1", b.passwords[len(b.passwords)-1]) })
}
