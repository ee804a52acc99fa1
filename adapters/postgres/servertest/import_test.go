//go:build unix

package servertest

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// installation is one row of each table.
type installation struct {
	user    domain.User
	item    domain.Item
	session domain.Session
	client  domain.Client
}

func newInstallation() installation {
	u := domaintest.User(domaintest.Superuser, domaintest.WithSnowflakeUser("ANN"))
	return installation{u, domaintest.Item(u), domaintest.Session(u), domaintest.Client(u)}
}

// addAll returns a function that fills the tables.
func (in installation) addAll(t *testing.T) func(*postgres.Import) error {
	return func(im *postgres.Import) error {
		return errors.Join(
			im.AddUsers(t.Context(), []domain.User{in.user}), im.AddItems(t.Context(), []domain.Item{in.item}),
			im.AddSessions(t.Context(), []domain.Session{in.session}),
			im.AddClients(t.Context(), []domain.Client{in.client}),
			im.SetFirstSuperuser(t.Context(), in.user.CreatedAt))
	}
}

// assertCopied checks what the transaction of an import sees.
func (in installation) assertCopied(t *testing.T, im *postgres.Import) {
	t.Helper()
	var got installation
	require.NoError(t, errors.Join(
		im.EachUser(t.Context(), func(u domain.User) { got.user = u }),
		im.EachItem(t.Context(), func(i domain.Item) { got.item = i }),
		im.EachSession(t.Context(), func(e domain.Session) { got.session = e }),
		im.EachClient(t.Context(), func(c domain.Client) { got.client = c })))
	assert.Equal(t, in, got)
}

func TestAnImportIsVisibleAsAWholeOrNotAtAll(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s, other := openWith(t, o), connect(t, o)
	in := newInstallation()
	u := in.user
	failed := errors.New("the source is away")
	assert.Equal(t, failed, s.Import(t.Context(), func(im *postgres.Import) error {
		require.NoError(t, in.addAll(t)(im))
		return failed
	}))
	_, err := s.UserForSignIn(t.Context(), u.Email)
	assert.ErrorIs(t, err, domain.ErrNotFound)

	require.NoError(t, s.Import(t.Context(), func(im *postgres.Import) error {
		require.NoError(t, in.addAll(t)(im))
		had, err := s.HadFirstSuperuser(t.Context())
		assert.NoError(t, err, "others can read")
		assert.False(t, had)
		for _, table := range []string{"users", "credentials", "items", "sessions", "clients", "installation"} {
			tx, err := other.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "LOCK TABLE "+table+" IN ROW EXCLUSIVE MODE NOWAIT") // as each write does
			require.NoError(t, tx.Rollback(t.Context()))
			assert.Equal(t, "55P03", code(err), "others cannot write")
		}
		in.assertCopied(t, im)
		return nil
	}))
	got, err := s.UserForSignIn(t.Context(), u.Email)
	require.NoError(t, err)
	assert.Equal(t, u, got)
	assert.ErrorContains(t, s.Import(t.Context(), in.addAll(t)), "the tables are not empty: 1 accounts, 1 items, 1 rows")
}

func TestAnImportWithoutAConfirmedCommitHasAnUnknownOutcome(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	f, o := forward(t, o)
	s := openWith(t, o)
	err := s.Import(t.Context(), func(*postgres.Import) error {
		f.lose.Store(1)
		return nil
	})
	assert.ErrorIs(t, err, domain.ErrOutcomeUnknown)
}

func TestAnImportWhoseCommitIsRefusedHasCopiedNothing(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s := openWith(t, o)
	err := s.Import(t.Context(), func(*postgres.Import) error {
		pgtest.Exec(t, pgtest.Server(t).DSN(pgserver.SuperUser, database), `SELECT pg_terminate_backend(l.pid)
			FROM pg_locks l
			WHERE l.relation = '`+o.Schema+`.users'::regclass
			AND l.mode = 'ShareRowExclusiveLock'`)
		return nil
	})
	assert.Error(t, err)
	assert.NotErrorIs(t, err, domain.ErrOutcomeUnknown)
}

func TestConstraintsHoldDuringAnImport(t *testing.T) {
	s := open(t)
	u := domaintest.User(domaintest.WithSnowflakeUser("ANN"))
	for name, fill := range map[string]func(*postgres.Import) error{
		"an e-mail of two accounts": func(im *postgres.Import) error {
			return im.AddUsers(t.Context(), []domain.User{u, domaintest.User(domaintest.WithEmail(u.Email))})
		},
		"a user of Snowflake of two accounts": func(im *postgres.Import) error {
			return im.AddUsers(t.Context(), []domain.User{u, domaintest.User(domaintest.WithSnowflakeUser("ANN"))})
		},
		"a session without an owner": func(im *postgres.Import) error {
			return im.AddSessions(t.Context(), []domain.Session{domaintest.Session(u)})
		},
		"a client without an owner": func(im *postgres.Import) error {
			return im.AddClients(t.Context(), []domain.Client{domaintest.Client(u)})
		},
		"an item without an owner": func(im *postgres.Import) error {
			return im.AddItems(t.Context(), []domain.Item{domaintest.Item(u)})
		},
	} {
		assert.Contains(t, []string{"23505", "23503"}, code(s.Import(t.Context(), fill)), name)
	}
}
