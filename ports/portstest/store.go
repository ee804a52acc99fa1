package portstest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// TestStore tests the contract of [ports.Store]. open returns an empty store each time it is called. The
// store may be slow and may be behind a network.
func TestStore(t *testing.T, open func(*testing.T) ports.Store) {
	for _, group := range []struct {
		name string
		test func(*testing.T, opener)
	}{
		{"accounts", testAccounts},
		{"sign-in", testSignIn},
		{"first superuser", testFirstSuperuser},
		{"operator", testOperator},
		{"sign-in with Snowflake", testSnowflakeSignIn},
		{"items", testItems},
		{"sessions", testSessions},
		{"clients", testClients},
		{"cleanup", testCleanUp},
		{"deletion of accounts", testDeleteUser},
		{"list of accounts", testAccountList},
		{"list of items", testItemList},
		{"signed-out actors", testSignedOut},
		{"ended contexts", testEndedContext},
		{"order of refusals", testOrderOfRefusals},
		{"last active superuser", testLastSuperuser},
		{"races", testRaces},
		{"races on a warm store", func(t *testing.T, open opener) { testRaces(t, warm(open)) }},
	} {
		t.Run(group.name, func(t *testing.T) { group.test(t, open) })
	}
}

type opener func(*testing.T) ports.Store

// fixture is a store under test with a superuser in it. It uses the store only through the port.
type fixture struct {
	ports.Store
	t     *testing.T
	admin domain.User
}

func newFixture(t *testing.T, open opener) *fixture {
	t.Helper()
	s := &fixture{Store: open(t), t: t, admin: domaintest.User(domaintest.Superuser)}
	created, err := s.CreateFirstSuperuser(t.Context(), s.admin)
	require.NoError(t, err)
	require.True(t, created)
	return s
}

func (s *fixture) addUser(changes ...func(*domain.User)) domain.User {
	s.t.Helper()
	u := domaintest.User(changes...)
	require.NoError(s.t, s.CreateUser(s.t.Context(), s.admin.Actor(), u))
	return u
}

func (s *fixture) addUsers(n int, changes ...func(*domain.User)) []domain.User {
	s.t.Helper()
	users := make([]domain.User, n)
	for i := range users {
		users[i] = s.addUser(changes...)
	}
	return users
}

func (s *fixture) addItem(owner domain.User, changes ...func(*domain.Item)) domain.Item {
	s.t.Helper()
	i := domaintest.Item(owner, changes...)
	require.NoError(s.t, s.CreateItem(s.t.Context(), owner.Actor(), i))
	return i
}

// allUsers returns all accounts with their password hashes, which Users leaves empty.
func (s *fixture) allUsers() []domain.User {
	s.t.Helper()
	page, err := s.Users(s.t.Context(), s.admin.Actor(), all)
	require.NoError(s.t, err)
	for i, u := range page.Rows {
		page.Rows[i], err = s.UserForSignIn(s.t.Context(), u.Email)
		require.NoError(s.t, err)
	}
	return page.Rows
}

// assertUsers checks that the store holds exactly the admin and these accounts.
func (s *fixture) assertUsers(want ...domain.User) {
	s.t.Helper()
	assert.ElementsMatch(s.t, append(want, s.admin), s.allUsers())
}

// assertItems checks that owner has exactly these items, in any order.
func (s *fixture) assertItems(owner domain.User, want ...domain.Item) {
	s.t.Helper()
	page, err := s.Items(s.t.Context(), s.admin.Actor(), owner.ID, all)
	require.NoError(s.t, err)
	assert.ElementsMatch(s.t, want, page.Rows)
}

// assertNoItem checks that no actor can read the item.
func (s *fixture) assertNoItem(i domain.Item) {
	s.t.Helper()
	_, err := s.Item(s.t.Context(), s.admin.Actor(), domain.AllItems(), i.ID)
	assert.ErrorIs(s.t, err, domain.ErrNotFound)
}

var (
	all        = domain.PageRequest{Limit: 1000}
	anyVersion domain.Versions

	// Sets of Versions for an entity at Version 5.
	with5    = []domain.Versions{domain.OnlyVersions(5), domain.OnlyVersions(4, 5), anyVersion}
	without5 = []domain.Versions{
		domain.OnlyVersions(4), domain.OnlyVersions(6), domain.OnlyVersions(4, 6), domain.OnlyVersions(),
	}
)

// withVersion returns a change that gives the account this Version.
func withVersion(version int64) func(*domain.User) {
	return func(u *domain.User) { u.Version = version }
}

// at returns u as if it had been read at that version.
func at(u domain.User, version int64) domain.User {
	u.Version = version
	return u
}
