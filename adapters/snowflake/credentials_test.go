package snowflake

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/requestinfo"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// behind are two stores on one database. The session of reader is older than what a test commits through writer.
type behind struct {
	*fixture
	reader  *Store
	session domain.Session // of ann
	client  domain.Client  // of ann
}

// newBehind returns two stores. reader sees the accounts of the fixture, and neither session nor client.
func newBehind(t *testing.T, rules engine.Rules) behind {
	t.Helper()
	f := newFixtureWith(t, rules)
	o := options(f.server)
	o.Connections = 1
	b := behind{f, open(t, o), domaintest.Session(f.ann), domaintest.Client(f.ann)}
	require.NoError(t, f.CreateSession(t.Context(), f.ann.Actor(), b.session))
	require.NoError(t, f.CreateClient(t.Context(), f.ann.Actor(), b.client))
	return b
}

// costs runs do and requires how often it logs in and how many statements it sends.
func (b behind) costs(t *testing.T, logins, statements int, do func()) {
	t.Helper()
	b.server.Reset()
	do()
	assert.Equal(t, logins, b.server.Logins(), "logins")
	assert.Equal(t, statements, b.server.Statements(), "statements")
}

var sessionMode = engine.Rules{StaleSessions: true}

func TestARefreshTokenIsNotRefusedBecauseTheSessionIsBehind(t *testing.T) {
	b := newBehind(t, sessionMode)
	find := func(secret string, want domain.Session) func() {
		return func() {
			got, account, err := b.reader.SessionForRefresh(t.Context(), want.Lookup, secret)
			require.NoError(t, err)
			assert.Equal(t, want, got)
			assert.Equal(t, b.ann, account)
		}
	}
	b.costs(t, 1, 2, find(b.session.Secret, b.session)) // it is newer than the session

	warm := open(t, options(b.server)) // it sees the session, but not its refreshes
	_, err := warm.UserForSignIn(t.Context(), b.ann.Email)
	require.NoError(t, err)
	b.reader = warm
	b.costs(t, 0, 1, find(b.session.Secret, b.session))
	next := b.session.Refreshed(domaintest.Hash(), domaintest.Later)
	require.NoError(t, b.RefreshSession(t.Context(), next))
	b.costs(t, 1, 2, find(next.Secret, next))
	b.costs(t, 1, 2, find("a reused secret", next)) // a new session confirms it

	b.costs(t, 2, 4, func() { // UPDATE and the diagnosis
		require.NoError(t, warm.RefreshSession(t.Context(), next), "the same refresh took effect")
	})
	assert.Equal(t, 2, b.sent("UPDATE sessions"))
	other := b.session.Refreshed(domaintest.Hash(), domaintest.Later)
	assert.ErrorIs(t, warm.RefreshSession(t.Context(), other), domain.ErrStale)
}

func TestAnAccountWithAnEarlierEpochThanTheCredentialIsReadOnceMore(t *testing.T) {
	b := newBehind(t, sessionMode)
	b.server.Exec("UPDATE sessions SET epoch = 2")
	b.server.Exec("UPDATE clients SET epoch = 2")
	reader := open(t, options(b.server))
	b.costs(t, 1, 2, func() {
		_, _, err := reader.SessionForRefresh(t.Context(), b.session.Lookup, b.session.Secret)
		require.NoError(t, err)
	})
	b.costs(t, 1, 2, func() {
		_, _, err := reader.ClientForSignIn(t.Context(), b.client.ID)
		require.NoError(t, err)
	})
}

func TestWhatASessionThatIsBehindDoesNotSeeIsLookedUpInANewOne(t *testing.T) {
	b := newBehind(t, sessionMode)
	linkedAnn := domaintest.RevisedUser(b.ann, linked)
	require.NoError(t, b.UpdateUser(t.Context(), b.admin.Actor(), linkedAnn, b.ann))
	user, _ := linkedAnn.SnowflakeUser.Get()
	b.costs(t, 1, 2, func() {
		got, err := b.reader.UserForSnowflakeSignIn(t.Context(), user)
		require.NoError(t, err)
		assert.Equal(t, linkedAnn, got)
	})
	b.costs(t, 1, 2, func() {
		got, _, err := b.reader.ClientForSignIn(t.Context(), b.client.ID)
		require.NoError(t, err)
		assert.Equal(t, b.client, got)
	})
}

// unknown calls each method that looks in a new session for what it does not find.
func (b behind) unknown(t *testing.T, logins, statements int) {
	t.Helper()
	b.costs(t, logins, statements, func() {
		_, _, err := b.reader.SessionForRefresh(t.Context(), "unknown", "secret")
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
	b.costs(t, logins, statements, func() {
		ended, err := b.reader.EndSessionForRefresh(t.Context(), "unknown")
		assert.NoError(t, err)
		assert.False(t, ended)
	})
	b.costs(t, 2*logins, 2*statements, func() { // UPDATE and the diagnosis
		assert.ErrorIs(t, b.reader.RefreshSession(t.Context(), domaintest.Session(b.ann)), domain.ErrNotFound)
	})
	b.costs(t, 2*logins, 2*statements, func() { // DELETE and the diagnosis
		assert.ErrorIs(t, b.reader.DeleteSession(t.Context(), b.ann.Actor(), "unknown"), domain.ErrNotFound)
	})
	b.costs(t, 2*logins, 2*statements, func() {
		assert.ErrorIs(t, b.reader.DeleteClient(t.Context(), b.ann.Actor(), "unknown"), domain.ErrNotFound)
	})
	b.costs(t, logins, statements, func() {
		_, err := b.reader.UserForSnowflakeSignIn(t.Context(), domaintest.Must(domain.ParseSnowflakeUser("UNKNOWN")))
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
	b.costs(t, logins, statements, func() {
		_, _, err := b.reader.ClientForSignIn(t.Context(), "unknown")
		assert.ErrorIs(t, err, domain.ErrNotFound)
	})
}

func TestWhatIsNotFoundIsLookedUpInANewSessionUnlessEverySessionSeesTheLatestCommits(t *testing.T) {
	t.Run("SESSION", func(t *testing.T) { newBehind(t, sessionMode).unknown(t, 1, 2) })
	t.Run("GLOBAL", func(t *testing.T) {
		b := newBehind(t, engine.Rules{})
		b.unknown(t, 0, 1)
		b.costs(t, 0, 1, func() {
			_, _, err := b.reader.SessionForRefresh(t.Context(), b.session.Lookup, "a reused secret")
			assert.NoError(t, err)
		})
	})
}

func TestACallAboutCredentialsSendsAsFewStatementsAsPossible(t *testing.T) {
	b := newBehind(t, engine.Rules{})
	ctx, actor, page := t.Context(), b.ann.Actor(), domain.PageRequest{Limit: 10, Count: true}
	next := b.session.Refreshed(domaintest.Hash(), domaintest.Later)
	linkedAnn := domaintest.RevisedUser(b.ann, linked)
	unlinkedAnn := domaintest.RevisedUser(linkedAnn, func(u *domain.User) { u.SnowflakeUser = b.ann.SnowflakeUser })
	for _, c := range []struct {
		name string
		want int
		call func() error
	}{
		{"a new session", 1, func() error { return b.CreateSession(ctx, actor, domaintest.Session(b.ann)) }},
		{"a list of sessions", 1, func() error { _, err := b.Sessions(ctx, actor, domaintest.Later, page); return err }},
		{"a session for a refresh", 1, func() error {
			_, _, err := b.SessionForRefresh(ctx, b.session.Lookup, b.session.Secret)
			return err
		}},
		{"a refresh", 1, func() error { return b.RefreshSession(ctx, next) }},
		{"a refresh that took effect before", 2, func() error { return b.RefreshSession(ctx, next) }},
		{"the end of a session", 1, func() error { _, err := b.EndSessionForRefresh(ctx, b.session.ID); return err }},
		{"a new client", 4, func() error { return b.CreateClient(ctx, actor, domaintest.Client(b.ann)) }},
		{"a list of clients", 1, func() error { _, err := b.Clients(ctx, actor, domaintest.Later, page); return err }},
		{"a client that signs in", 1, func() error { _, _, err := b.ClientForSignIn(ctx, b.client.ID); return err }},
		{"its first use", 1, func() error { _, err := b.UseClientForSignIn(ctx, b.client.ID, domaintest.Later); return err }},
		{"the end of a client", 1, func() error { return b.DeleteClient(ctx, actor, b.client.ID) }},
		{"a link to a user of Snowflake", 4, func() error { return b.UpdateUser(ctx, b.admin.Actor(), linkedAnn, b.ann) }},
		{"the end of the link", 1, func() error {
			return b.UpdateUser(ctx, b.admin.Actor(), unlinkedAnn, linkedAnn)
		}},
		{"the end of an account", 7, func() error {
			return b.DeleteUser(ctx, unlinkedAnn.Actor(), b.ann.ID, domain.Versions{})
		}},
	} {
		b.server.Reset()
		require.NoError(t, c.call(), c.name)
		assert.Equal(t, c.want, b.server.Statements(), c.name)
	}
}

func TestAUserOfSnowflakeIsUniqueUnderTheLockOnHybridTablesToo(t *testing.T) {
	f := newFixtureWith(t, hybrid)
	linkedAnn := domaintest.RevisedUser(f.ann, linked)
	for name, call := range map[string]func() error{
		"a new account": func() error { return f.CreateUser(t.Context(), f.admin.Actor(), domaintest.User(linked)) },
		"a sign-in":     func() error { return f.CreateUserForSnowflakeSignIn(t.Context(), domaintest.User(linked)) },
		"a change":      func() error { return f.UpdateUser(t.Context(), f.admin.Actor(), linkedAnn, f.ann) },
		"an operator":   func() error { return f.UpdateUserForOperator(t.Context(), linkedAnn, f.ann.Version) },
	} {
		f.server.Reset()
		require.NoError(t, call(), name)
		assert.Equal(t, 1, f.sent(takeLock.SQL), name)
		f.server.Exec("UPDATE users SET snowflake_user = NULL, version = 1")
	}
}

func TestRefreshesThatWaitForEachOtherTakeNoConnectionFromReads(t *testing.T) {
	f := newFixture(t, func(o *session.Options) { o.RequestTimeout = patience })
	s := domaintest.Session(f.ann)
	require.NoError(t, f.CreateSession(t.Context(), f.ann.Actor(), s))
	next := s.Refreshed(domaintest.Hash(), domaintest.Later)
	release := hold(t, f.server, "UPDATE sessions SET seed = seed")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { assert.NoError(t, f.RefreshSession(endsIn(t, patience), next)) })
	}
	require.Eventually(t, func() bool { return f.server.Waiters() == changesPerTable }, 10*time.Second, time.Millisecond)
	for range 10 {
		require.NoError(t, f.read(t.Context()))
	}
	release()
	all.Wait()
}

// newDead returns a fixture with an expired session and an expired client.
func newDead(t *testing.T, rules engine.Rules) (f *fixture, now time.Time) {
	t.Helper()
	f = newFixtureWith(t, rules)
	s, c := domaintest.Session(f.ann), domaintest.Client(f.ann)
	require.NoError(t, f.CreateSession(t.Context(), f.ann.Actor(), s))
	require.NoError(t, f.CreateClient(t.Context(), f.ann.Actor(), c))
	f.server.Reset()
	return f, c.ExpiresAt
}

// credentials returns how many sessions and clients are stored.
func (f *fixture) credentials() int {
	return len(f.server.Exec("SELECT id FROM sessions").Rows) + len(f.server.Exec("SELECT id FROM clients").Rows)
}

func TestACleanupNeverResumesAWarehouse(t *testing.T) {
	f, now := newDead(t, engine.Rules{Suspended: true})
	require.NoError(t, f.CleanUp(t.Context(), now))
	requests := f.server.Requests()
	require.Len(t, requests, 1, "the other warehouse, which runs, is not that of the session")
	assert.Equal(t, "SHOW WAREHOUSES", requests[0].SQL)
	assert.Equal(t, 2, f.credentials())
}

func TestACleanupDoesNothingIfItCannotSeeTheWarehouse(t *testing.T) {
	f, now := newDead(t, engine.Rules{})
	f.server.Intercept(breaks(1, "SHOW WAREHOUSES", snowflaketest.Fault{Code: "3001"}))
	assert.Error(t, f.CleanUp(t.Context(), now))
	assert.Equal(t, 2, f.credentials())
}

func TestACleanupRemovesWhatHasEnded(t *testing.T) {
	f, now := newDead(t, engine.Rules{})
	info := &requestinfo.Info{Route: "cleanup"}
	require.NoError(t, f.CleanUp(requestinfo.NewContext(t.Context(), info), now))
	assert.Zero(t, f.credentials())
	requests := f.server.Requests()
	require.Len(t, requests, 4)
	for _, r := range requests {
		var tag struct{ Route string }
		require.NoError(t, json.Unmarshal([]byte(r.Tag), &tag), r.SQL)
		assert.Equal(t, "cleanup", tag.Route, r.SQL)
	}
}

func TestACleanupWaitsForALockAsOtherChangesDo(t *testing.T) {
	f, now := newDead(t, engine.Rules{})
	release := hold(t, f.server, "UPDATE sessions SET seed = seed")
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { assert.NoError(t, f.CleanUp(endsIn(t, patience), now)) })
	}
	require.Eventually(t, func() bool { return f.server.Waiters() == changesPerTable }, 10*time.Second, time.Millisecond)
	assert.Equal(t, changesPerTable, f.sent("DELETE FROM sessions"))
	release()
	all.Wait()
	assert.Zero(t, f.credentials())
}

// A refresh that a cleanup waits for gives the session more time.
func TestACleanupKeepsASessionThatIsRefreshedMeanwhile(t *testing.T) {
	for _, rules := range []engine.Rules{{}, {SnapshotSubqueries: true}} {
		f, now := newDead(t, rules)
		refresh := begin(t, f.server, "UPDATE sessions SET expires_at = ?", now.Add(time.Hour))
		cleaned := make(chan error, 1)
		go func() { cleaned <- f.CleanUp(endsIn(t, patience), now) }()
		require.Eventually(t, func() bool { return f.server.Waiters() == 1 }, 10*time.Second, time.Millisecond)
		require.NoError(t, refresh.Commit())
		require.NoError(t, <-cleaned)
		assert.Equal(t, 1, f.credentials())
	}
}

// During an upgrade, two versions of the service run on the new tables. The first one knows no credentials but passwords.
func TestTheFirstVersionWorksOnTheseTables(t *testing.T) {
	b := newBehind(t, engine.Rules{})
	created := domaintest.User()
	b.server.Exec(`INSERT INTO users (id, email, full_name, password_hash, is_active, is_superuser, version, epoch,
			created_at, updated_at)
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
		FROM account_lock`,
		created.ID, created.Email.String(), nil, created.PasswordHash, true, false, 1, 1, created.CreatedAt, created.UpdatedAt)
	got, err := b.UserForSignIn(t.Context(), created.Email)
	require.NoError(t, err)
	assert.Equal(t, domain.Optional[domain.SnowflakeUser]{}, got.SnowflakeUser)

	b.server.Exec("DELETE FROM users WHERE id = ?", b.ann.ID) // and neither its session nor its client
	_, _, err = b.SessionForRefresh(t.Context(), b.session.Lookup, b.session.Secret)
	assert.ErrorIs(t, err, domain.ErrNotFound)
	next := b.session.Refreshed(domaintest.Hash(), domaintest.Later)
	assert.ErrorIs(t, b.RefreshSession(t.Context(), next), domain.ErrNotFound)
	_, _, err = b.ClientForSignIn(t.Context(), b.client.ID)
	assert.ErrorIs(t, err, domain.ErrNotFound)
	require.NoError(t, b.CleanUp(t.Context(), domaintest.Later))
	assert.Zero(t, b.credentials())
}
