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

// addAll returns a function that fills the tables with an account and an item.
func addAll(t *testing.T, u domain.User, i domain.Item) func(*postgres.Import) error {
	return func(im *postgres.Import) error {
		return errors.Join(
			im.AddUsers(t.Context(), []domain.User{u}), im.AddItems(t.Context(), []domain.Item{i}),
			im.SetFirstSuperuser(t.Context(), u.CreatedAt))
	}
}

func TestAnImportIsVisibleAsAWholeOrNotAtAll(t *testing.T) {
	o := newSchema(t)
	migrate(t, o)
	s, other := openWith(t, o), connect(t, o)
	u := domaintest.User(domaintest.Superuser)
	i := domaintest.Item(u)
	failed := errors.New("the source is away")
	assert.Equal(t, failed, s.Import(t.Context(), func(im *postgres.Import) error {
		require.NoError(t, addAll(t, u, i)(im))
		return failed
	}))
	_, err := s.UserForSignIn(t.Context(), u.Email)
	assert.ErrorIs(t, err, domain.ErrNotFound)

	require.NoError(t, s.Import(t.Context(), func(im *postgres.Import) error {
		require.NoError(t, addAll(t, u, i)(im))
		had, err := s.HadFirstSuperuser(t.Context())
		assert.NoError(t, err, "others can read")
		assert.False(t, had)
		for _, table := range []string{"users", "credentials", "items", "installation"} {
			tx, err := other.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "LOCK TABLE "+table+" IN ROW EXCLUSIVE MODE NOWAIT") // as each write does
			require.NoError(t, tx.Rollback(t.Context()))
			assert.Equal(t, "55P03", code(err), "others cannot write")
		}
		var users []domain.User
		require.NoError(t, im.EachUser(t.Context(), func(u domain.User) { users = append(users, u) }))
		assert.Equal(t, []domain.User{u}, users)
		return im.EachItem(t.Context(), func(got domain.Item) { assert.Equal(t, i, got) })
	}))
	got, err := s.UserForSignIn(t.Context(), u.Email)
	require.NoError(t, err)
	assert.Equal(t, u, got)
	assert.ErrorContains(t, s.Import(t.Context(), addAll(t, u, i)), "the tables are not empty: 1 accounts, 1 items, 1 rows")
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
	u := domaintest.User()
	for name, fill := range map[string]func(*postgres.Import) error{
		"an e-mail of two accounts": func(im *postgres.Import) error {
			return im.AddUsers(t.Context(), []domain.User{u, domaintest.User(domaintest.WithEmail(u.Email))})
		},
		"an item without an owner": func(im *postgres.Import) error {
			return im.AddItems(t.Context(), []domain.Item{domaintest.Item(u)})
		},
	} {
		assert.Contains(t, []string{"23505", "23503"}, code(s.Import(t.Context(), fill)), name)
	}
}
