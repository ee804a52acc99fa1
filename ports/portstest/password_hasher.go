package portstest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// phcSyntax is the PHC string format: an id, an optional version, parameters, a salt and a hash.
const phcSyntax = `^\$[a-z0-9-]{1,32}` +
	`(\$v=\d+)?` +
	`(\$[a-z0-9-]+=[^$,]+(,[a-z0-9-]+=[^$,]+)*)?` +
	`\$[A-Za-z0-9+/.-]+` +
	`\$[A-Za-z0-9+/]+$`

// TestPasswordHasher tests the contract of [ports.PasswordHasher]. open returns an idle hasher.
func TestPasswordHasher(t *testing.T, open func(*testing.T) ports.PasswordHasher) {
	t.Run("a hash is in PHC string format and matches its password", func(t *testing.T) {
		h := open(t)
		long := strings.Repeat("ab", 300)
		for _, plain := range []string{"", "correct horse", "Grüße 🦆", "a\x00b", " \t\n", long} {
			hash, err := h.Hash(t.Context(), domain.Work{}, plain)
			require.NoError(t, err)
			assert.Regexp(t, phcSyntax, hash)
			assertVerify(t, h, true, plain, hash)
		}
	})
	t.Run("two hashes of one password differ in their salt and their key", func(t *testing.T) {
		h := open(t)
		first, second := mustHash(t, h, "correct horse"), mustHash(t, h, "correct horse")
		salt, key := saltAndKey(first)
		assert.NotContains(t, second, salt)
		assert.NotContains(t, second, key)
	})
	t.Run("a password is compared byte for byte", func(t *testing.T) {
		h := open(t)
		long := strings.Repeat("x", 100)
		for plain, others := range map[string][]string{
			"correct horse": {
				"", "correct hors", "correct horse ", "Correct horse", "correct horse\x00",
				"correct horse\x00correct horse",
			},
			"caf\u00e9 noir": {"cafe\u0301 noir", "cafe noir"},
			"a\x00b":         {"a", "a\x00", "a\x00c"},
			long:             {long[1:], long[1:] + "y"},
		} {
			hash := mustHash(t, h, plain)
			for _, other := range others {
				assertVerify(t, h, false, other, hash)
			}
		}
	})
	t.Run("an empty hash matches nothing", func(t *testing.T) {
		h := open(t)
		for _, plain := range []string{"", "correct horse", "\x00"} {
			assertVerify(t, h, false, plain, "")
		}
	})
	// The cost is time and memory. A test can measure only the memory reliably.
	t.Run("an empty hash costs as much memory as a real one", func(t *testing.T) {
		h := open(t)
		hash := mustHash(t, h, "correct horse")
		ofReal := allocated(func() { assertVerify(t, h, false, "wrong", hash) })
		ofEmpty := allocated(func() { assertVerify(t, h, false, "wrong", "") })
		assert.InEpsilon(t, ofReal, ofEmpty, 0.01)
	})
	t.Run("a call with an ended context is unavailable", func(t *testing.T) {
		h := open(t)
		for name, call := range expensiveCalls(h, mustHash(t, h, "correct horse")) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			assert.ErrorIs(t, call(ctx), domain.ErrUnavailable, name)
		}
	})
	t.Run("too many concurrent calls are refused as busy, with the time to wait", func(t *testing.T) {
		h := open(t)
		for name, call := range expensiveCalls(h, mustHash(t, h, "correct horse")) {
			t.Run(name, func(t *testing.T) {
				const many = 1000
				refused := 0
				for _, err := range race(many, func(int) error { return call(t.Context()) }) {
					if err != nil {
						refused++
						assertRetryAfter(t, err, domain.ErrBusy)
					}
				}
				assert.Positive(t, refused)
				assert.Less(t, refused, many)
				assert.NoError(t, call(t.Context()), "the hasher is not busy any more")
			})
		}
	})
	t.Run("a call whose context ends while it waits is unavailable", func(t *testing.T) {
		h := open(t)
		for name, call := range expensiveCalls(h, mustHash(t, h, "correct horse")) {
			t.Run(name, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				const many = 1000
				ended := 0
				for _, err := range race(many, func(int) error {
					err := call(ctx)
					if err == nil {
						cancel() // the first to finish ends all that still wait
					}
					return err
				}) {
					switch {
					case errors.Is(err, domain.ErrUnavailable):
						ended++
					case err != nil:
						assert.ErrorIs(t, err, domain.ErrBusy)
					}
				}
				assert.Positive(t, ended)
			})
		}
	})
	t.Run("sources take turns", func(t *testing.T) {
		h := open(t)
		done := flood(t, h, []domain.Work{{Source: "a"}})
		for range 10 {
			assertNext(t, h, domain.Work{Source: "b"}, done)
		}
	})
	for _, authenticated := range []bool{true, false} {
		kind := map[bool]string{true: "authenticated", false: "other"}[authenticated]
		t.Run("three sources leave places to a fourth one, for "+kind+" work", func(t *testing.T) {
			h := open(t)
			var sources []domain.Work
			for _, source := range []string{"a", "b", "c"} {
				sources = append(sources, domain.Work{Source: source, Authenticated: authenticated})
			}
			flood(t, h, sources)
			for range 10 {
				assertAdmitted(t, h, domain.Work{Source: "d", Authenticated: authenticated})
			}
		})
	}
	t.Run("authenticated work has places of its own and runs before all other work that waits", func(t *testing.T) {
		h := open(t)
		var sources []domain.Work
		for i := range 100 {
			sources = append(sources, domain.Work{Source: fmt.Sprint(i)})
		}
		done := flood(t, h, sources)
		for range 10 {
			assertNext(t, h, domain.Work{Source: "0", Authenticated: true}, done)
		}
	})
	t.Run("a hash that cannot be read is an internal error", func(t *testing.T) {
		h := open(t)
		valid := mustHash(t, h, "correct horse")
		salt, key := saltAndKey(valid)
		for _, hash := range []string{
			"x", "$", "$$$$", "\x00", "correct horse", "$unknown$c2FsdA$aGFzaA",
			" " + valid, valid + " ", valid + "\n", valid + "$", valid + "=",
			strings.TrimSuffix(valid, key), strings.Replace(valid, salt, "", 1), valid[1:], strings.ToUpper(valid),
		} {
			matches, err := h.Verify(t.Context(), domain.Work{}, "correct horse", hash)
			assert.False(t, matches, hash)
			require.Error(t, err, hash)
			assert.Equal(t, domain.Internal, domain.KindOf(err), hash)
		}
	})
	t.Run("a hash that would cost too much work is an internal error", func(t *testing.T) {
		h := open(t)
		for _, cost := range []string{"m=4294967295,t=1,p=1", "m=65536,t=4294967295,p=1", "m=65536,t=1,p=255"} {
			hash := "$argon2id$v=19$" + cost + "$c2FsdHNhbHRzYWx0c2FsdA$a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2U"
			_, err := h.Verify(t.Context(), domain.Work{}, "correct horse", hash)
			require.Error(t, err, cost)
			assert.Equal(t, domain.Internal, domain.KindOf(err), cost)
		}
	})
	t.Run("a fresh hash is not outdated and a weak one is", func(t *testing.T) {
		h := open(t)
		assert.False(t, h.Outdated(mustHash(t, h, "correct horse")))
		assert.True(t, h.Outdated("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$a2V5a2V5a2V5a2V5a2V5aw"))
	})
}

// flood keeps the hasher busy with much work of each of the sources until the test ends. It returns when a call
// has been refused, with a counter of the calls that were not.
func flood(t *testing.T, h ports.PasswordHasher, sources []domain.Work) *atomic.Int64 {
	var done atomic.Int64
	full := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	t.Cleanup(func() { stop(); callers.Wait() })
	var once sync.Once
	for i := range max(200, len(sources)) {
		callers.Go(func() {
			for ctx.Err() == nil {
				_, err := h.Hash(ctx, sources[i%len(sources)], "a flood")
				if err == nil {
					done.Add(1)
					continue
				}
				once.Do(func() { close(full) })
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	<-full
	return &done
}

// assertAdmitted checks that the hasher does w, or lets it wait.
func assertAdmitted(t *testing.T, h ports.PasswordHasher, w domain.Work) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond) // it may wait longer, but need not
	defer cancel()
	if _, err := h.Hash(ctx, w, "correct horse"); err != nil {
		assert.ErrorIs(t, err, domain.ErrUnavailable)
	}
}

// assertNext checks that the hasher does w before most of the work that waits already. done counts that work. On
// a slow machine, w may wait too long.
func assertNext(t *testing.T, h ports.PasswordHasher, w domain.Work, done *atomic.Int64) {
	t.Helper()
	before, start := done.Load(), time.Now()
	if _, err := h.Hash(t.Context(), w, "correct horse"); err != nil {
		assert.ErrorIs(t, err, domain.ErrBusy)
		assert.Greater(t, time.Since(start), 100*time.Millisecond, "refused without waiting")
	}
	assert.Less(t, done.Load()-before, int64(12), "work that waited longer came first")
}

// expensiveCalls returns the calls that cost the work of a hash.
func expensiveCalls(h ports.PasswordHasher, hash string) map[string]func(context.Context) error {
	verify := func(hash string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := h.Verify(ctx, domain.Work{}, "correct horse", hash)
			return err
		}
	}
	return map[string]func(context.Context) error{
		"making a hash": func(ctx context.Context) error {
			_, err := h.Hash(ctx, domain.Work{}, "correct horse")
			return err
		},
		"verifying a hash":        verify(hash),
		"verifying an empty hash": verify(""),
	}
}

func mustHash(t *testing.T, h ports.PasswordHasher, plain string) string {
	t.Helper()
	hash, err := h.Hash(t.Context(), domain.Work{}, plain)
	require.NoError(t, err)
	return hash
}

func assertVerify(t *testing.T, h ports.PasswordHasher, want bool, plain, hash string) {
	t.Helper()
	matches, err := h.Verify(t.Context(), domain.Work{}, plain, hash)
	require.NoError(t, err)
	assert.Equal(t, want, matches, "%q", plain)
}

// allocated returns how many bytes f allocates, including those that it frees.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// saltAndKey returns the last two fields of a hash in PHC string format.
func saltAndKey(hash string) (string, string) {
	fields := strings.Split(hash, "$")
	return fields[len(fields)-2], fields[len(fields)-1]
}

// assertRetryAfter checks that err is want and has a RetryAfter.
func assertRetryAfter(t *testing.T, err error, want *domain.Error) *domain.Error {
	t.Helper()
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	assert.ErrorIs(t, e, want)
	assert.Positive(t, e.RetryAfter)
	return e
}
