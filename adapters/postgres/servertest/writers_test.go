//go:build unix

package servertest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// callers is how many call the store concurrently: as many as it has connections.
const callers = 8

// successes returns how many calls succeeded. It checks that each other call failed with refusal.
func successes(t *testing.T, errs []error, refusal error) (n int) {
	t.Helper()
	for _, err := range errs {
		if err == nil {
			n++
		} else {
			assert.ErrorIs(t, err, refusal)
		}
	}
	return n
}

// during makes calls concurrently for that long and returns their errors.
func during(d time.Duration, call func(caller int) error) []error {
	results := make([][]error, callers)
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			for end := time.Now().Add(d); time.Now().Before(end); {
				results[caller] = append(results[caller], call(caller))
			}
		})
	}
	all.Wait()
	var joined []error
	for _, r := range results {
		joined = append(joined, r...)
	}
	return joined
}

// writers create items until they are stopped, and remember what they were told.
type writers struct {
	fixture *fixture
	stop    chan struct{}
	all     sync.WaitGroup

	mu      sync.Mutex
	answers map[string]error // by the item's id
	healthy time.Time        // of the last success
}

func (f *fixture) startWriters() *writers {
	w := &writers{fixture: f, stop: make(chan struct{}), answers: map[string]error{}}
	for range callers {
		w.all.Go(func() {
			for {
				select {
				case <-w.stop:
					return
				default:
					w.write()
				}
			}
		})
	}
	return w
}

func (w *writers) write() {
	i := w.fixture.newItem()
	err := w.fixture.write(i)
	w.mu.Lock()
	w.answers[i.ID] = err
	if err == nil {
		w.healthy = time.Now()
	}
	w.mu.Unlock()
	if err != nil {
		time.Sleep(time.Millisecond) // as a client does
	}
}

// healthyAfter waits for a success after that time, and returns how long it took.
func (w *writers) healthyAfter(t *testing.T, when time.Time) time.Duration {
	t.Helper()
	var took time.Duration
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		took = w.healthy.Sub(when)
		return took > 0
	}, 20*time.Second, time.Millisecond)
	return took
}

// end stops the writers, checks that no answer was wrong, and returns how many there were of each kind.
func (w *writers) end(t *testing.T) (succeeded, refused, unknown int) {
	t.Helper()
	close(w.stop)
	w.all.Wait()
	stored := w.fixture.stored()
	for id, err := range w.answers {
		switch {
		case err == nil:
			succeeded++
			assert.True(t, stored[id], "a write that succeeded is not there")
		case errors.Is(err, domain.ErrOutcomeUnknown):
			unknown++
		default:
			refused++
			assert.Equal(t, domain.Unavailable, domain.KindOf(err), err)
			assert.False(t, stored[id], "a write that failed is there: %v", err)
		}
	}
	t.Logf("%d writes succeeded, %d failed, %d had an unknown outcome", succeeded, refused, unknown)
	return succeeded, refused, unknown
}

func TestASessionThatAnAdministratorEndsLosesNoAnswer(t *testing.T) {
	t.Parallel()
	server, o := ownServer(t, pgserver.Options{TCP: true})
	f := newFixture(t, o)
	w := f.startWriters()
	for range 60 {
		time.Sleep(10 * time.Millisecond)
		pgtest.Exec(t, admin(server), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+app+
			"' ORDER BY random() LIMIT 1")
	}
	succeeded, _, unknown := w.end(t)
	assert.Positive(t, succeeded)
	assert.Zero(t, unknown)
}

func TestAPlannedRestartOfTheServerHasNoUnknownOutcome(t *testing.T) {
	server, o := ownServer(t, pgserver.Options{TCP: true})
	f := newFixture(t, o)
	w := f.startWriters()
	for range 3 {
		time.Sleep(200 * time.Millisecond)
		require.NoError(t, server.Stop(t.Context(), pgserver.Fast))
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, server.Start(t.Context()))
		assert.Less(t, w.healthyAfter(t, time.Now()), 2*time.Second)
	}
	_, refused, unknown := w.end(t)
	assert.Positive(t, refused)
	assert.Zero(t, unknown)
}

func TestACrashOfTheServerMakesNoWrongAnswer(t *testing.T) {
	t.Parallel()
	server, o := ownServer(t, pgserver.Options{TCP: true, Settings: map[string]string{"synchronous_commit": "on"}})
	f := newFixture(t, o)
	w := f.startWriters()
	for range 4 {
		time.Sleep(200 * time.Millisecond)
		require.NoError(t, server.Stop(t.Context(), pgserver.Immediate))
		require.NoError(t, server.Start(t.Context()))
		assert.Less(t, w.healthyAfter(t, time.Now()), 2*time.Second)
	}
	w.end(t)
}

func TestCallersOfAServerThatHangsReturnByTheirDeadline(t *testing.T) {
	server, o := ownServer(t, pgserver.Options{TCP: true})
	o.RequestTimeout = time.Second
	f := newFixture(t, o)
	for _, err := range during(100*time.Millisecond, func(int) error { return f.read() }) { // all connections are open
		require.NoError(t, err)
	}
	require.NoError(t, server.Pause())
	items := make([]domain.Item, callers)
	errs := make([]error, callers)
	var all sync.WaitGroup
	for caller := range callers {
		items[caller] = f.newItem()
		all.Go(func() {
			began := time.Now()
			errs[caller] = f.write(items[caller])
			assert.Less(t, time.Since(began), o.RequestTimeout+guard.Grace+100*time.Millisecond)
		})
	}
	all.Wait()
	for _, err := range errs {
		assert.Equal(t, domain.Unavailable, domain.KindOf(err), err)
	}
	began := time.Now()
	assert.ErrorIs(t, f.write(f.newItem()), domain.ErrUnavailable)
	assert.Less(t, time.Since(began), 100*time.Millisecond, "the circuit breaker is open")

	require.NoError(t, server.Resume())
	began = time.Now()
	require.Eventually(t, func() bool { return f.write(f.newItem()) == nil }, 20*time.Second, 10*time.Millisecond)
	assert.Less(t, time.Since(began), 3*time.Second)
	stored := f.stored()
	for i, err := range errs {
		if !errors.Is(err, domain.ErrOutcomeUnknown) {
			assert.False(t, stored[items[i].ID], err)
		}
	}
}

// The host name then leads to another machine. The connections to the old one are of no use, and nothing says so.
func TestTheStoreRecoversFromTheLossOfTheServersMachine(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	between, o := forward(t, o)
	o.RequestTimeout = time.Second
	f := newFixture(t, o)
	for _, err := range during(100*time.Millisecond, func(int) error { return f.read() }) { // all connections are open
		require.NoError(t, err)
	}
	for name, pause := range map[string]time.Duration{"in use": 0, "idle": 1100 * time.Millisecond} {
		between.silence()
		time.Sleep(pause)
		w := f.startWriters()
		assert.Less(t, w.healthyAfter(t, time.Now()), 5*time.Second, name)
		w.end(t)
	}
}
