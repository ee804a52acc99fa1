//go:build unix

package servertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/local/pgserver"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// repeatableRead returns the options of a service in a database whose administrator chose a stricter isolation.
func repeatableRead(t *testing.T) session.Options {
	t.Helper()
	name := pgtest.NewDatabase(t)
	o := newSchemaIn(t, pgtest.Server(t), name)
	migrate(t, o)
	pgtest.Exec(t, pgtest.Server(t).DSN(pgserver.SuperUser, name),
		"ALTER DATABASE "+name+" SET default_transaction_isolation = 'repeatable read'",
		"ALTER ROLE "+app+" IN DATABASE "+name+" SET search_path = "+o.Schema)
	return o
}

// behindPooler returns o without the settings that a session of the service has otherwise: a pooler refuses them.
func behindPooler(o session.Options) session.Options {
	o.Pooler, o.Schema = true, ""
	return o
}

func TestSessionsUseReadCommittedWhateverTheDatabaseSays(t *testing.T) {
	found, err := openUnchecked(t, repeatableRead(t)).Check(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "read committed", found.Isolation)
}

func TestBehindAPoolerTheRoleNeedsItsIsolation(t *testing.T) {
	o := repeatableRead(t)
	s := openUnchecked(t, behindPooler(o))
	_, err := s.Check(t.Context())
	require.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorContains(t, err, "ALTER ROLE … SET default_transaction_isolation = 'read committed'")

	pgtest.Exec(t, pgtest.Server(t).DSN(pgserver.SuperUser, o.Database),
		"ALTER ROLE "+app+" IN DATABASE "+o.Database+" SET default_transaction_isolation = 'read committed'")
	_, err = openUnchecked(t, behindPooler(o)).Check(t.Context())
	assert.NoError(t, err)
}

// The lock pins the isolation of its transaction: with a stricter one, each of the two would see the other.
func TestTheRuleOfTheLastSuperuserHoldsUnderAStricterIsolation(t *testing.T) {
	s := openUnchecked(t, behindPooler(repeatableRead(t)))
	admin := newAdmin(t, s)
	for range 200 {
		other := domaintest.User(domaintest.Superuser)
		require.NoError(t, s.CreateUser(t.Context(), admin.Actor(), other))
		two, errs := []domain.User{admin, other}, make([]error, 2)
		var both sync.WaitGroup
		for i := range two {
			both.Go(func() { errs[i] = s.DeleteUser(t.Context(), two[i].Actor(), two[1-i].ID, domain.Versions{}) })
		}
		both.Wait()
		remaining := 0
		for i, err := range errs {
			if err != nil {
				assert.True(t, errors.Is(err, domain.ErrSignedOut) || errors.Is(err, domain.ErrLastSuperuser), err)
				admin = two[1-i]
				remaining++
			}
		}
		require.Equal(t, 1, remaining, "%v", errs)
	}
}

func TestSerializationFailuresDoNotReachCallers(t *testing.T) {
	s := openUnchecked(t, behindPooler(repeatableRead(t)))
	admin := newAdmin(t, s)
	results := during(500*time.Millisecond, func(int) error {
		ctx := context.WithoutCancel(t.Context())
		current, err := s.User(ctx, admin.Actor(), admin.ID)
		if err != nil {
			return err
		}
		next := domaintest.RevisedUser(current, func(u *domain.User) { u.FullName = domaintest.FullName(domaintest.NewID()) })
		return s.UpdateUser(ctx, admin.Actor(), next, current)
	})
	succeeded := successes(t, results, domain.ErrStale)
	assert.Positive(t, succeeded)
	assert.Less(t, succeeded, len(results), "no two came at the same time")
}
