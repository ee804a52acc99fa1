package snowflake

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Each test here is a row of the table of faults: what a caller sees, how soon, and that nothing is
// doubled or left behind. .ci/cures lists what has to be removed for each to fail.

// slack is what a loaded machine may add to a deadline of ours.
const slack = 100 * time.Millisecond

func logins(s *snowflaketest.Server) []snowflaketest.Request {
	return requests(s, snowflaketest.LoginPath)
}
func queries(s *snowflaketest.Server) []snowflaketest.Request {
	return requests(s, snowflaketest.QueryPath)
}

func requests(s *snowflaketest.Server, path string) []snowflaketest.Request {
	return slices.DeleteFunc(s.Requests(), func(r snowflaketest.Request) bool { return r.Path != path })
}

// breaking returns an interceptor that breaks the first n statements that contain text.
func breaking(n int, text string, fault snowflaketest.Fault) func(*snowflaketest.Request) *snowflaketest.Fault {
	var left atomic.Int64
	left.Store(int64(n))
	return func(r *snowflaketest.Request) *snowflaketest.Fault {
		if r.Path == snowflaketest.QueryPath && strings.Contains(r.SQL, text) && left.Add(-1) >= 0 {
			return &fault
		}
		return nil
	}
}

const always = 1 << 30

func TestAReadWhoseConnectionDiesIsSentOnceMore(t *testing.T) {
	s := set(t)
	s.server.Intercept(breaking(1, "SELECT", snowflaketest.Fault{Drop: true}))
	require.NoError(t, s.read(t.Context()))
	sent := queries(s.server)
	require.Len(t, sent, 2)
	assert.Equal(t, sent[0].RequestID, sent[1].RequestID)

	s.server.Reset()
	s.server.Intercept(breaking(always, "SELECT", snowflaketest.Fault{Drop: true}))
	assert.ErrorIs(t, s.read(t.Context()), domain.ErrUnavailable)
	assert.Len(t, queries(s.server), 2)

	s.server.Intercept(nil)
	assert.NoError(t, s.read(t.Context()), "the session whose state is unknown was not used again")
	assert.Equal(t, 1, s.server.Logins())
}

func TestAWriteWhoseReplyIsLostTakesEffectOnce(t *testing.T) {
	for name, fault := range map[string]snowflaketest.Fault{
		"reset": {After: true, Drop: true}, "cut off": {Truncate: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t)
			s.server.Intercept(breaking(1, "INSERT", fault))
			require.NoError(t, s.write(t.Context(), "new"))
			assert.Equal(t, 1, s.items())
			sent := queries(s.server)
			require.Len(t, sent, 2)
			assert.Equal(t, sent[0].RequestID, sent[1].RequestID, "so that it is not executed twice")

			s.server.Intercept(breaking(always, "INSERT", fault))
			assert.ErrorIs(t, s.write(t.Context(), "newer"), domain.ErrOutcomeUnknown)
			assert.Equal(t, 2, s.items(), "one row at most")
		})
	}
}

// inTurn breaks the statements that contain text, each by the next of these faults.
func inTurn(text string, faults ...snowflaketest.Fault) func(*snowflaketest.Request) *snowflaketest.Fault {
	var n atomic.Int64
	return func(r *snowflaketest.Request) *snowflaketest.Fault {
		if r.Path != snowflaketest.QueryPath || !strings.Contains(r.SQL, text) {
			return nil
		}
		if i := int(n.Add(1)) - 1; i < len(faults) {
			return &faults[i]
		}
		return nil
	}
}

func TestWhatFollowsALostReplyDoesNotMakeItAWriteThatNeverWas(t *testing.T) {
	lost := snowflaketest.Fault{After: true, Drop: true}
	for name, next := range map[string]snowflaketest.Fault{
		"the session has ended": {Code: "390111"}, "too many requests": {Status: http.StatusTooManyRequests}, "half an answer": {Truncate: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t)
			s.server.Intercept(inTurn("INSERT", lost, next))
			assert.ErrorIs(t, s.write(t.Context(), "new"), domain.ErrOutcomeUnknown)
			assert.Equal(t, 1, s.items(), "never two rows")

			s.server.Intercept(inTurn("COMMIT", lost, next))
			err := s.DeleteUser(t.Context(), s.admin.Actor(), s.ann.ID, domain.Versions{})
			assert.ErrorIs(t, err, domain.ErrOutcomeUnknown)
			assert.Len(t, s.server.Exec("SELECT id FROM users").Rows, 1)
		})
	}
	t.Run("the database goes down", func(t *testing.T) {
		s := set(t)
		s.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
			if strings.Contains(r.SQL, "INSERT") {
				go s.server.Stop()
				return &lost
			}
			return nil
		})
		assert.ErrorIs(t, s.write(t.Context(), "new"), domain.ErrOutcomeUnknown)
	})
}

func TestADatabaseThatIsSlowOrHangsIsGivenUpAtTheDeadline(t *testing.T) {
	const deadline = 300 * time.Millisecond
	for name, fault := range map[string]snowflaketest.Fault{
		"slow by a second": {Delay: time.Second}, "slow by two minutes": {Delay: 2 * time.Minute}, "hangs": {Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			for what, call := range map[string]struct {
				do   func(context.Context, *scene) error
				want error
			}{
				"a read":        {func(ctx context.Context, s *scene) error { return s.read(ctx) }, domain.ErrUnavailable},
				"a write":       {func(ctx context.Context, s *scene) error { return s.write(ctx, "new") }, domain.ErrOutcomeUnknown},
				"a transaction": {func(ctx context.Context, s *scene) error { return s.CreateUser(ctx, s.admin.Actor(), user("bob")) }, domain.ErrUnavailable},
			} {
				s := set(t, func(o *Options) { o.RequestTimeout = deadline })
				s.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &fault }) // also of what cancels a statement
				start := time.Now()
				err := call.do(ending(t, deadline), s)
				assert.ErrorIs(t, err, call.want, what)
				assert.Less(t, time.Since(start), deadline+slack, what)
			}
		})
	}
	t.Run("slow within the deadline", func(t *testing.T) {
		s := set(t)
		s.server.Intercept(breaking(always, "", snowflaketest.Fault{Delay: deadline}))
		assert.NoError(t, s.read(ending(t, 10*deadline)))
	})
}

func TestWhatHangsLeavesNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := set(t, func(o *Options) { o.RequestTimeout = 200 * time.Millisecond })
	s.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { assert.Error(t, s.read(ending(t, 200*time.Millisecond))) })
		all.Go(func() { assert.Error(t, s.write(ending(t, 200*time.Millisecond), "new")) })
	}
	all.Wait()
	s.server.Intercept(nil)
	require.Eventually(t, func() bool { return s.read(t.Context()) == nil }, 10*time.Second, 10*time.Millisecond, "it recovers by itself")
	require.NoError(t, s.Close())
	s.server.Close()
	goleak.VerifyNone(t, before)
}

func TestAProcessThatStopsDoesNotWaitForADatabaseThatHangs(t *testing.T) {
	s := set(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { assert.NoError(t, s.read(t.Context())) })
	}
	all.Wait()
	s.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &snowflaketest.Fault{Hang: true} })
	start := time.Now()
	assert.ErrorContains(t, s.Close(), "not all sessions")
	assert.Less(t, time.Since(start), 2*longestFarewell+slack)
}

func TestACallerWhoLeavesFreesItsTurn(t *testing.T) {
	s := set(t, func(o *Options) { o.Connections = 1 })
	for name, call := range map[string]func(context.Context) error{
		"of a read":  s.read,
		"of a write": func(ctx context.Context) error { return s.write(ctx, "new") },
	} {
		t.Run(name, func(t *testing.T) {
			s.server.Intercept(breaking(1, "", snowflaketest.Fault{Delay: time.Minute}))
			ctx, leave := context.WithCancel(t.Context())
			gone := make(chan error)
			s.server.Reset()
			go func() { gone <- call(ctx) }()
			require.Eventually(t, func() bool { return len(queries(s.server)) == 1 }, 10*time.Second, time.Millisecond)
			leave()
			left := time.Now()
			require.Error(t, <-gone)
			require.NoError(t, s.read(t.Context()))
			assert.Less(t, time.Since(left), slack)
		})
	}
}

func TestASessionThatExpiresIsRenewedUnseen(t *testing.T) {
	s := set(t)
	s.server.Intercept(breaking(1, "", snowflaketest.Fault{Code: "390112"}))
	require.NoError(t, s.read(t.Context()))
	assert.Len(t, s.server.Requests(), 3, "the statement, the renewal, the statement")
}

func TestASessionThatExpiresForEverCostsAHandfulOfRequests(t *testing.T) {
	s := set(t)
	s.server.Intercept(breaking(always, "", snowflaketest.Fault{Code: "390112"}))
	assert.ErrorIs(t, s.read(ending(t, 2*time.Second)), domain.ErrUnavailable)
	assert.LessOrEqual(t, len(s.server.Requests()), requestsPerCall+2, "the budget of one call, and the end of the session")
}

func TestASessionThatEndedIsReplacedUnseen(t *testing.T) {
	for _, code := range []string{"390104", "390110", "390111", "390113", "390114", "390115", "390195", "390318"} {
		t.Run(code, func(t *testing.T) {
			token := filepath.Join(t.TempDir(), "token")
			require.NoError(t, os.WriteFile(token, []byte("first\n"), 0o600))
			s := set(t, func(o *Options) { o.Auth = Auth{TokenPath: token} })
			require.NoError(t, os.WriteFile(token, []byte("second\n"), 0o600))
			old := queries(s.server)
			require.Empty(t, old)
			for name, call := range map[string]func() error{
				"a read":        func() error { return s.read(t.Context()) },
				"a write":       func() error { return s.write(t.Context(), "new"+code) },
				"a transaction": func() error { return s.CreateUser(t.Context(), s.admin.Actor(), user("bob")) },
			} {
				s.server.Reset()
				s.server.Intercept(breaking(1, "", snowflaketest.Fault{Code: code}))
				require.NoError(t, call(), name)
				require.Len(t, logins(s.server), 1, name)
				assert.Equal(t, "second", logins(s.server)[0].Token, "the token is read anew and trimmed")
				sent := queries(s.server)
				assert.NotEqual(t, sent[0].Session, sent[1].Session, name)
			}
		})
	}
	t.Run("in the middle of a transaction", func(t *testing.T) {
		s := set(t)
		s.server.Intercept(breaking(1, "INSERT", snowflaketest.Fault{Code: "390111"}))
		require.NoError(t, s.CreateUser(t.Context(), s.admin.Actor(), user("bob")))
		assert.Len(t, s.server.Exec("SELECT id FROM users").Rows, 3)
	})
	t.Run("by a restart of the database", func(t *testing.T) {
		s := set(t)
		s.server.Restart()
		assert.NoError(t, s.read(t.Context()))
	})
}

func TestATokenThatCannotBeReadStopsNewSessionsOnly(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("good"), 0o600))
	s := set(t, func(o *Options) { o.Auth = Auth{TokenPath: token} })
	s.server.Intercept(func(r *snowflaketest.Request) *snowflaketest.Fault {
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
			assert.NoError(t, s.read(t.Context()), "open sessions live on")
			s.server.Restart()
			assert.ErrorIs(t, s.read(t.Context()), domain.ErrUnavailable)
			assert.ErrorIs(t, s.write(t.Context(), "new"), domain.ErrUnavailable, "it was not sent")
			require.NoError(t, os.WriteFile(token, []byte("good\n"), 0o600))
			assert.NoError(t, s.read(t.Context()))
		})
	}
	assert.Zero(t, s.items())
}

func TestAFrontThatRefusesOpensTheBreaker(t *testing.T) {
	for name, fault := range map[string]snowflaketest.Fault{
		"429": {Status: http.StatusTooManyRequests},
		"502": {Status: http.StatusBadGateway, Body: "<html>Bad Gateway</html>"},
		"503": {Status: http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := set(t)
			s.server.Intercept(func(*snowflaketest.Request) *snowflaketest.Fault { return &fault })
			start := time.Now()
			var refusal *domain.Error
			for range 200 {
				require.ErrorAs(t, s.read(t.Context()), &refusal)
				assert.Equal(t, domain.Unavailable, refusal.Kind)
			}
			assert.Equal(t, time.Second, refusal.RetryAfter)
			// Each of the first calls sends a statement, the end of the session or a login; then there
			// is one probe a second.
			most := failuresToOpen + int(time.Since(start)/time.Second)
			assert.LessOrEqual(t, len(queries(s.server))+len(logins(s.server)), most)

			s.server.Intercept(nil)
			require.Eventually(t, func() bool { return s.read(t.Context()) == nil }, 5*time.Second, 10*time.Millisecond, "it recovers by itself")
		})
	}
	t.Run("429 was not executed, 502 may have been", func(t *testing.T) {
		s := set(t)
		s.server.Intercept(breaking(1, "", snowflaketest.Fault{Status: http.StatusTooManyRequests}))
		assert.ErrorIs(t, s.write(t.Context(), "new"), domain.ErrUnavailable)
		s.server.Intercept(breaking(1, "", snowflaketest.Fault{Status: http.StatusBadGateway}))
		assert.ErrorIs(t, s.write(t.Context(), "new"), domain.ErrOutcomeUnknown)
	})
}

func TestADatabaseThatIsDownIsSaidSoAndComesBack(t *testing.T) {
	s := set(t)
	s.server.Stop()
	for range 3 {
		assert.ErrorIs(t, s.read(t.Context()), domain.ErrUnavailable)
	}
	err := s.write(t.Context(), "new")
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown, "it was not sent")
	s.server.Start()
	start := time.Now()
	require.Eventually(t, func() bool { return s.read(t.Context()) == nil }, 5*time.Second, 10*time.Millisecond)
	assert.Less(t, time.Since(start), 5*time.Second)
}

func TestWithoutTLSNothingIsSent(t *testing.T) {
	s := set(t)
	o := options(s.server)
	o.Protocol = "https" // and the server speaks plain HTTP
	secure, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = secure.Close() })
	_, err = secure.User(t.Context(), s.ann.Actor(), s.ann.ID)
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.Empty(t, s.server.Requests())
}

func TestAServerWhoseCertificateIsNotTrustedIsSentNothing(t *testing.T) {
	var received atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { received.Add(1) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	s := set(t)
	o := options(s.server)
	o.Protocol, o.Port = "https", server.Listener.Addr().(*net.TCPAddr).Port
	untrusting, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = untrusting.Close() })
	_, err = untrusting.User(t.Context(), s.ann.Actor(), s.ann.ID)
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorContains(t, err, "certificate")
	assert.Zero(t, received.Load())
	assert.Empty(t, s.server.Requests())
}

func TestTheTurnOfAnExhaustedPoolIsWaitedForASecond(t *testing.T) {
	s := set(t, func(o *Options) { o.Connections = 1 })
	s.server.Intercept(breaking(always, "", snowflaketest.Fault{Delay: 3 * time.Second}))
	first := make(chan error)
	go func() { first <- s.read(context.Background()) }()
	require.Eventually(t, func() bool { return len(queries(s.server)) == 1 }, 10*time.Second, time.Millisecond)
	start := time.Now()
	assert.ErrorIs(t, s.read(t.Context()), domain.ErrBusy)
	assert.Less(t, time.Since(start), longestWait+slack)
	require.NoError(t, <-first)
}
