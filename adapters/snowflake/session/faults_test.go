package session

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Each test here breaks the database in one way. It says what a caller sees and how soon, and that nothing is
// doubled or left behind.

// slack is what a loaded machine may add to a deadline. TestRun has the exact times, on a clock of its own.
const slack = 1500 * time.Millisecond

func TestAReadIsRepeatedOnceIfItsConnectionDies(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Intercept(breaks(1, "SELECT", snowflaketest.Fault{Drop: true}))
	require.NoError(t, f.read(t.Context()))
	sent := f.queries()
	require.Len(t, sent, 2)
	assert.Equal(t, sent[0].RequestID, sent[1].RequestID)

	f.server.Reset()
	f.server.Intercept(breaks(always, "SELECT", snowflaketest.Fault{Drop: true}))
	assert.ErrorIs(t, f.read(t.Context()), domain.ErrUnavailable)
	assert.Len(t, f.queries(), 2)

	f.server.Intercept(nil)
	assert.NoError(t, f.read(t.Context()), "a session in an unknown state is not reused")
	assert.Equal(t, 1, f.server.Logins())
}

func TestAWriteTakesEffectOnceIfItsReplyIsLost(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]snowflaketest.Fault{
		"reset": {After: true, Drop: true}, "cut off": {Truncate: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.server.Intercept(breaks(1, "INSERT", fault))
			require.NoError(t, f.write(t.Context(), "new"))
			assert.Equal(t, 1, f.notes())
			sent := f.queries()
			require.Len(t, sent, 2)
			assert.Equal(t, sent[0].RequestID, sent[1].RequestID, "Snowflake executes a request id once")

			f.server.Intercept(breaks(always, "INSERT", fault))
			assert.ErrorIs(t, f.write(t.Context(), "newer"), domain.ErrOutcomeUnknown)
			assert.Equal(t, 2, f.notes(), "one row at most")
		})
	}
}

func TestAWriteThatMustNotBeRepeatedIsSentOnce(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]snowflaketest.Fault{
		"reset": {After: true, Drop: true}, "cut off": {Truncate: true}, "lost by a gateway": {After: true, Status: http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.server.Intercept(breaks(1, "INSERT", fault))
			err := f.Write(t.Context(), func(ctx context.Context, c Conn) error {
				st := insertNote("new")
				st.Once = true
				_, err := c.Exec(ctx, st)
				return err
			})
			assert.ErrorIs(t, err, domain.ErrOutcomeUnknown)
			assert.Len(t, f.queries(), 1)
		})
	}
}

func TestAWriteThatWasNeverSentIsUnavailable(t *testing.T) {
	t.Parallel()
	test := func(name string, prevent func(*fixture) context.Context) {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			ctx := prevent(f)
			for what, write := range map[string]func(context.Context, string) error{
				"a statement": f.write, "a transaction": f.transact,
			} {
				err := write(ctx, "new")
				assert.ErrorIs(t, err, domain.ErrUnavailable, what)
				assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown, what)
			}
			assert.Zero(t, f.notes())
		})
	}
	test("after the store was closed", func(f *fixture) context.Context {
		require.NoError(t, f.Close())
		return t.Context()
	})
	test("because no connection became free", func(f *fixture) context.Context {
		f.pool.SetMaxOpenConns(1)
		taken, err := f.pool.Conn(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { _ = taken.Close() })
		return endsIn(t, 300*time.Millisecond)
	})
}

func TestALostReplyStaysAnUnknownOutcomeWhateverFollows(t *testing.T) {
	t.Parallel()
	lost := snowflaketest.Fault{After: true, Drop: true}
	for name, next := range map[string]snowflaketest.Fault{
		"the session has ended": {Code: "390111"}, "too many requests": {Status: http.StatusTooManyRequests}, "half an answer": {Truncate: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.server.Intercept(breaksInTurn("INSERT", lost, next))
			assert.ErrorIs(t, f.write(t.Context(), "new"), domain.ErrOutcomeUnknown)
			assert.Equal(t, 1, f.notes(), "never two rows")

			f.server.Intercept(breaksInTurn("COMMIT", lost, next))
			assert.ErrorIs(t, f.transact(t.Context(), "newer"), domain.ErrOutcomeUnknown)
			assert.Equal(t, 2, f.notes(), "never three rows")
		})
	}
	t.Run("the database goes down", func(t *testing.T) {
		f := newFixture(t)
		f.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
			if strings.Contains(r.SQL, "INSERT") {
				go f.server.Stop()
				return &lost
			}
			return nil
		})
		assert.ErrorIs(t, f.write(t.Context(), "new"), domain.ErrOutcomeUnknown)
	})
}

func TestCallersReturnAtTheirDeadlineIfTheDatabaseIsSlowOrHangs(t *testing.T) {
	t.Parallel()
	const deadline = 300 * time.Millisecond
	for name, fault := range map[string]snowflaketest.Fault{
		"slow by a second": {Delay: time.Second}, "slow by two minutes": {Delay: 2 * time.Minute}, "hangs": {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			for what, call := range map[string]struct {
				do   func(f *fixture, ctx context.Context) error
				want error
			}{
				"a read": {(*fixture).read, domain.ErrUnavailable},
				"a write": {func(f *fixture, ctx context.Context) error { return f.write(ctx, "new") },
					domain.ErrOutcomeUnknown},
				"a transaction": {func(f *fixture, ctx context.Context) error { return f.transact(ctx, "new") },
					domain.ErrUnavailable},
			} {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					f := newFixture(t, func(o *Options) { o.RequestTimeout = deadline })
					f.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &fault })
					start := time.Now()
					err := call.do(f, endsIn(t, deadline))
					assert.ErrorIs(t, err, call.want)
					assert.Less(t, time.Since(start), deadline+slack)
				})
			}
		})
	}
	t.Run("slow within the deadline", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		f.server.Intercept(breaks(always, "", snowflaketest.Fault{Delay: deadline}))
		assert.NoError(t, f.read(endsIn(t, 10*deadline)))
	})
}

func TestHangingCallsLeakNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	f := newFixture(t, func(o *Options) { o.RequestTimeout = 200 * time.Millisecond })
	f.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { assert.Error(t, f.read(endsIn(t, 200*time.Millisecond))) })
		all.Go(func() { assert.Error(t, f.write(endsIn(t, 200*time.Millisecond), "new")) })
	}
	all.Wait()
	f.server.Intercept(nil)
	require.Eventually(t, func() bool { return f.read(t.Context()) == nil }, 10*time.Second, 10*time.Millisecond, "it recovers")
	require.NoError(t, f.Close())
	f.server.Close()
	goleak.VerifyNone(t, before)
}

func TestCloseDoesNotWaitForADatabaseThatHangs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { assert.NoError(t, f.read(t.Context())) })
	}
	all.Wait()
	f.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
	start := time.Now()
	assert.ErrorContains(t, f.Close(), "not all sessions")
	assert.Less(t, time.Since(start), 2*cleanupTimeout+slack)
}

func TestACallerThatLeavesFreesItsConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *Options) { o.Connections = 1 })
	for name, call := range map[string]func(context.Context) error{
		"a read":  f.read,
		"a write": func(ctx context.Context) error { return f.write(ctx, "new") },
	} {
		t.Run(name, func(t *testing.T) {
			f.server.Intercept(breaks(1, "", snowflaketest.Fault{Delay: time.Minute}))
			ctx, leave := context.WithCancel(t.Context())
			gone := make(chan error)
			f.server.Reset()
			go func() { gone <- call(ctx) }()
			require.Eventually(t, func() bool { return len(f.queries()) == 1 }, 10*time.Second, time.Millisecond)
			leave()
			left := time.Now()
			require.Error(t, <-gone)
			require.NoError(t, f.read(t.Context()))
			assert.Less(t, time.Since(left), slack)
		})
	}
}

func TestAnExpiredSessionIsRenewed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Intercept(breaks(1, "", snowflaketest.Fault{Code: "390112"}))
	require.NoError(t, f.read(t.Context()))
	assert.Len(t, f.server.Requests(), 3, "the statement, the renewal, the statement")
}

func TestASessionThatExpiresAgainAndAgainCostsFewRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Intercept(breaks(always, "", snowflaketest.Fault{Code: "390112"}))
	assert.ErrorIs(t, f.read(endsIn(t, 2*time.Second)), domain.ErrUnavailable)
	assert.LessOrEqual(t, len(f.server.Requests()), requestsPerCall+2, "the limit of one call, and the end of the session")
}

func TestASessionThatEndedIsReplaced(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"390104", "390110", "390111", "390113", "390114", "390115", "390195", "390318"} {
		t.Run(code, func(t *testing.T) {
			token := filepath.Join(t.TempDir(), "token")
			require.NoError(t, os.WriteFile(token, []byte("first\n"), 0o600))
			f := newFixture(t, func(o *Options) { o.Auth = Auth{TokenPath: token} })
			require.NoError(t, os.WriteFile(token, []byte("second\n"), 0o600))
			old := f.queries()
			require.Empty(t, old)
			for name, call := range map[string]func() error{
				"a read":        func() error { return f.read(t.Context()) },
				"a write":       func() error { return f.write(t.Context(), "new"+code) },
				"a transaction": func() error { return f.transact(t.Context(), "bob") },
			} {
				f.server.Reset()
				f.server.Intercept(breaks(1, "", snowflaketest.Fault{Code: code}))
				require.NoError(t, call(), name)
				require.Len(t, f.logins(), 1, name)
				assert.Equal(t, "second", f.logins()[0].Token, "the token is read again and trimmed")
				sent := f.queries()
				assert.NotEqual(t, sent[0].Session, sent[1].Session, name)
			}
		})
	}
	t.Run("in the middle of a transaction", func(t *testing.T) {
		f := newFixture(t)
		f.server.Intercept(breaks(1, "INSERT", snowflaketest.Fault{Code: "390111"}))
		require.NoError(t, f.transact(t.Context(), "bob"))
		assert.Equal(t, 1, f.notes())
	})
	t.Run("by a restart of the database", func(t *testing.T) {
		f := newFixture(t)
		f.server.Restart()
		assert.NoError(t, f.read(t.Context()))
	})
}

func TestATokenThatCannotBeReadStopsOnlyNewSessions(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("good"), 0o600))
	f := newFixture(t, func(o *Options) { o.Auth = Auth{TokenPath: token} })
	f.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
		if r.Path == snowflaketest.LoginPath && r.Token != "good" {
			return &snowflaketest.Fault{Code: "390303"}
		}
		return nil
	})
	for name, spoil := range map[string]func() error{
		"missing":      func() error { return os.Remove(token) },
		"empty":        func() error { return os.WriteFile(token, nil, 0o600) },
		"half-written": func() error { return os.WriteFile(token, []byte("go"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, spoil())
			assert.NoError(t, f.read(t.Context()), "open sessions keep working")
			f.server.Restart()
			assert.ErrorIs(t, f.read(t.Context()), domain.ErrUnavailable)
			assert.ErrorIs(t, f.write(t.Context(), "new"), domain.ErrUnavailable, "it was not sent")
			require.NoError(t, os.WriteFile(token, []byte("good\n"), 0o600))
			assert.NoError(t, f.read(t.Context()))
		})
	}
	assert.Zero(t, f.notes())
}

func TestALoginThatBreaksIsRepeatedOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault    snowflaketest.Fault
		times    int64
		wantErr  error
		requests int
	}{
		"reset":                {snowflaketest.Fault{Drop: true}, 1, nil, 2},
		"cut off":              {snowflaketest.Fault{Truncate: true}, 1, nil, 2},
		"502":                  {snowflaketest.Fault{Status: http.StatusBadGateway}, 1, nil, 2},
		"a page of a gateway":  {snowflaketest.Fault{Status: http.StatusOK, Body: "<html>"}, 1, nil, 2},
		"reset, twice":         {snowflaketest.Fault{Drop: true}, 2, domain.ErrUnavailable, 2},
		"429":                  {snowflaketest.Fault{Status: http.StatusTooManyRequests}, 1, domain.ErrUnavailable, 1},
		"refused by Snowflake": {snowflaketest.Fault{Code: "390100"}, 1, domain.ErrUnavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			for what, call := range map[string]func(*fixture) error{
				"a read":        func(f *fixture) error { return f.read(t.Context()) },
				"a write":       func(f *fixture) error { return f.write(t.Context(), "new") },
				"a transaction": func(f *fixture) error { return f.transact(t.Context(), "new") },
			} {
				f := newFixture(t)
				f.server.Restart() // the session ends
				var left atomic.Int64
				left.Store(tt.times)
				f.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
					if r.Path == snowflaketest.LoginPath && left.Add(-1) >= 0 {
						return &tt.fault
					}
					return nil
				})
				assert.ErrorIs(t, call(f), tt.wantErr, what)
				assert.Len(t, f.logins(), tt.requests, what)
			}
		})
	}
	t.Run("not while other calls fail", func(t *testing.T) {
		f := newFixture(t)
		f.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Drop: true} })
		for range 3 {
			assert.Error(t, f.read(t.Context()))
		}
		assert.Len(t, f.logins(), 2, "the first call used a session")
	})
}

func TestAGatewayThatRefusesOpensTheBreaker(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]snowflaketest.Fault{
		"429": {Status: http.StatusTooManyRequests},
		"502": {Status: http.StatusBadGateway, Body: "<html>Bad Gateway</html>"},
		"503": {Status: http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &fault })
			start := time.Now()
			var refusal *domain.Error
			for range 200 {
				require.ErrorAs(t, f.read(t.Context()), &refusal)
				assert.Equal(t, domain.Unavailable, refusal.Kind)
			}
			assert.Equal(t, time.Second, refusal.RetryAfter)
			// Each of the first calls sends a statement, the end of the session or a login; then there
			// is one probe a second.
			most := guard.FailuresToOpen + int(time.Since(start)/time.Second)
			assert.LessOrEqual(t, len(f.queries())+len(f.logins()), most)

			f.server.Intercept(nil)
			require.Eventually(t, func() bool { return f.read(t.Context()) == nil }, 5*time.Second, 10*time.Millisecond, "it recovers")
		})
	}
	t.Run("429 was not executed, 502 may have been", func(t *testing.T) {
		f := newFixture(t)
		f.server.Intercept(breaks(1, "", snowflaketest.Fault{Status: http.StatusTooManyRequests}))
		assert.ErrorIs(t, f.write(t.Context(), "new"), domain.ErrUnavailable)
		f.server.Intercept(breaks(1, "", snowflaketest.Fault{Status: http.StatusBadGateway}))
		assert.ErrorIs(t, f.write(t.Context(), "new"), domain.ErrOutcomeUnknown)
	})
}

func TestADatabaseThatIsDownIsUnavailableUntilItIsBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.server.Stop()
	for range 3 {
		assert.ErrorIs(t, f.read(t.Context()), domain.ErrUnavailable)
	}
	err := f.write(t.Context(), "new")
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown, "it was not sent")
	f.server.Start()
	start := time.Now()
	require.Eventually(t, func() bool { return f.read(t.Context()) == nil }, 5*time.Second, 10*time.Millisecond)
	assert.Less(t, time.Since(start), 5*time.Second)
}

func TestNothingIsSentWithoutTLS(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	o := options(f.server)
	o.Protocol = "https" // and the server speaks plain HTTP
	secure, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = secure.Close() })
	assert.ErrorIs(t, secure.Ping(t.Context()), domain.ErrUnavailable)
	assert.Empty(t, f.server.Requests())
}

func TestNothingIsSentToAServerWithAnUntrustedCertificate(t *testing.T) {
	t.Parallel()
	var received atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received.Add(1) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	f := newFixture(t)
	o := options(f.server)
	o.Protocol, o.Port = "https", server.Listener.Addr().(*net.TCPAddr).Port
	untrusting, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = untrusting.Close() })
	err = untrusting.Ping(t.Context())
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorContains(t, err, "certificate")
	assert.Zero(t, received.Load())
	assert.Empty(t, f.server.Requests())
}

func TestACallerWaitsOneSecondForAConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(o *Options) { o.Connections = 1 })
	f.server.Intercept(breaks(always, "", snowflaketest.Fault{Delay: 3 * time.Second}))
	first := make(chan error)
	go func() { first <- f.read(context.Background()) }()
	require.Eventually(t, func() bool { return len(f.queries()) == 1 }, 10*time.Second, time.Millisecond)
	start := time.Now()
	assert.ErrorIs(t, f.read(t.Context()), domain.ErrBusy)
	assert.Less(t, time.Since(start), guard.MaxWait+slack)
	require.NoError(t, <-first)
}
