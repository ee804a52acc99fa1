package portstest

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// TestStore tests what [ports.Store] promises. open returns an empty store each time that it is
// called; it may be slow, and behind a network.
func TestStore(t *testing.T, open func(*testing.T) ports.Store) {
	for _, theme := range []struct {
		name string
		test func(*testing.T, opener)
	}{
		{"accounts", testAccounts},
		{"sign-in", testSignIn},
		{"first superuser", testFirstSuperuser},
		{"operator", testOperator},
		{"items", testItems},
		{"deletion of accounts", testCascade},
		{"list of accounts", testAccountList},
		{"list of items", testItemList},
		{"signed-out actors", testSignedOut},
		{"ended contexts", testEndedContext},
		{"order of refusals", testOrderOfRefusals},
		{"last active superuser", testLastSuperuser},
		{"races", testRaces},
	} {
		t.Run(theme.name, func(t *testing.T) { theme.test(t, open) })
	}
}

type opener func(*testing.T) ports.Store

// seeded is a store under test with a superuser in it. All seeding goes through the port.
type seeded struct {
	ports.Store
	t     *testing.T
	admin domain.User
}

func seed(t *testing.T, open opener) *seeded {
	t.Helper()
	s := &seeded{Store: open(t), t: t, admin: newUser(superuser)}
	created, err := s.CreateFirstSuperuser(t.Context(), s.admin)
	require.NoError(t, err)
	require.True(t, created)
	return s
}

func (s *seeded) addUser(changes ...func(*domain.User)) domain.User {
	s.t.Helper()
	u := newUser(changes...)
	require.NoError(s.t, s.CreateUser(s.t.Context(), s.admin.Actor(), u))
	return u
}

func (s *seeded) addUsers(n int, changes ...func(*domain.User)) []domain.User {
	s.t.Helper()
	users := make([]domain.User, n)
	for i := range users {
		users[i] = s.addUser(changes...)
	}
	return users
}

func (s *seeded) addItem(owner domain.User, changes ...func(*domain.Item)) domain.Item {
	s.t.Helper()
	i := newItem(owner, changes...)
	require.NoError(s.t, s.CreateItem(s.t.Context(), owner.Actor(), i))
	return i
}

// everyUser returns all accounts whole; a list alone would lack their password hashes.
func (s *seeded) everyUser() []domain.User {
	s.t.Helper()
	page, err := s.Users(s.t.Context(), s.admin.Actor(), all)
	require.NoError(s.t, err)
	for i, u := range page.Rows {
		page.Rows[i], err = s.UserForSignIn(s.t.Context(), u.Email)
		require.NoError(s.t, err)
	}
	return page.Rows
}

// assertUsers looks whether exactly these accounts, as they are here, and the admin are stored.
func (s *seeded) assertUsers(want ...domain.User) {
	s.t.Helper()
	assert.ElementsMatch(s.t, append(want, s.admin), s.everyUser())
}

// assertItems looks whether owner has exactly these items, as they are here, whatever their order.
func (s *seeded) assertItems(owner domain.User, want ...domain.Item) {
	s.t.Helper()
	page, err := s.Items(s.t.Context(), s.admin.Actor(), owner.ID, all)
	require.NoError(s.t, err)
	assert.ElementsMatch(s.t, want, page.Rows)
}

// assertNoItem looks whether the item is out of everyone's reach.
func (s *seeded) assertNoItem(i domain.Item) {
	s.t.Helper()
	_, err := s.Item(s.t.Context(), s.admin.Actor(), domain.AllItems(), i.ID)
	assert.ErrorIs(s.t, err, domain.ErrNotFound)
}

var (
	all        = domain.PageRequest{Limit: 1000}
	anyVersion domain.Versions

	// Times that tell microseconds from milliseconds.
	earlier = time.Date(2026, 3, 29, 1, 59, 59, 999_999_000, time.UTC)
	later   = time.Date(2026, 3, 29, 2, 0, 0, 1_000, time.UTC)
)

// newUser returns an ordinary active account with an e-mail of its own.
func newUser(changes ...func(*domain.User)) domain.User {
	id := newID()
	u := domain.User{
		ID: id, Email: email(id + "@example.com"), PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
		Active: true, Version: 1, Epoch: 1, CreatedAt: earlier, UpdatedAt: earlier,
	}
	for _, change := range changes {
		change(&u)
	}
	return u
}

func superuser(u *domain.User) { u.Superuser = true }
func inactive(u *domain.User)  { u.Active = false }

func withEmail(e domain.Email) func(*domain.User) { return func(u *domain.User) { u.Email = e } }

func newItem(owner domain.User, changes ...func(*domain.Item)) domain.Item {
	i := domain.Item{
		ID: newID(), OwnerID: owner.ID, Title: must(domain.ParseTitle("a title")),
		Version: 1, CreatedAt: earlier, UpdatedAt: earlier,
	}
	for _, change := range changes {
		change(&i)
	}
	return i
}

// revised returns u as a use case would hand it to UpdateUser after these changes.
func revised(u domain.User, changes ...func(*domain.User)) domain.User {
	next := u
	for _, change := range changes {
		change(&next)
	}
	next, _ = u.Revise(next, later)
	return next
}

func retitled(i domain.Item, title string) domain.Item {
	next := i
	next.Title = must(domain.ParseTitle(title))
	next, _ = i.Revise(next, later)
	return next
}

func email(s string) domain.Email { return must(domain.ParseEmail(s)) }

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// at returns u as if it had been read at that version.
func at(u domain.User, version int64) domain.User {
	u.Version = version
	return u
}
