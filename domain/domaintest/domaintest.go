// Package domaintest builds valid values of package domain for tests, and holds the fakes that the tests of
// several use cases share. Only tests import it.
package domaintest

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Times in whole microseconds, as stores keep them.
var (
	Created = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC) // when the entities of this package were created
	Later   = Created.Add(time.Hour + time.Microsecond)       // when they are changed
)

// Must returns v. It panics if err is not nil.
func Must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// NewID returns a new UUIDv7.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// Email returns s as an e-mail address.
func Email(s string) domain.Email { return Must(domain.ParseEmail(s)) }

// Password returns s as a password.
func Password(s string) domain.Password { return Must(domain.ParsePassword(s)) }

// FullName returns s as a full name that is present.
func FullName(s string) domain.Optional[domain.FullName] {
	return domain.Some(Must(domain.ParseFullName(s)))
}

// Title returns s as a title.
func Title(s string) domain.Title { return Must(domain.ParseTitle(s)) }

// Description returns s as a description that is present.
func Description(s string) domain.Optional[domain.Description] {
	return domain.Some(Must(domain.ParseDescription(s)))
}

// User returns an active account after changes. Its ID and its e-mail are new.
func User(changes ...func(*domain.User)) domain.User {
	id := NewID()
	u := domain.User{
		ID: id, Email: Email(id + "@example.com"), PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
		Active: true, Version: 1, Epoch: 1, CreatedAt: Created, UpdatedAt: Created,
	}
	for _, change := range changes {
		change(&u)
	}
	return u
}

// RevisedUser returns u as a use case passes it to UpdateUser after changes at the time Later.
func RevisedUser(u domain.User, changes ...func(*domain.User)) domain.User {
	next := u
	for _, change := range changes {
		change(&next)
	}
	next, _ = u.Revise(next, Later)
	return next
}

// Superuser is a change that makes the account a superuser.
func Superuser(u *domain.User) { u.Superuser = true }

// Inactive is a change that deactivates the account.
func Inactive(u *domain.User) { u.Active = false }

// WithEmail returns a change that gives the account this e-mail.
func WithEmail(e domain.Email) func(*domain.User) { return func(u *domain.User) { u.Email = e } }

// WithPasswordHash returns a change that gives the account this password hash.
func WithPasswordHash(hash string) func(*domain.User) {
	return func(u *domain.User) { u.PasswordHash = hash }
}

// WithFullName returns a change that gives the account this full name.
func WithFullName(name string) func(*domain.User) {
	return func(u *domain.User) { u.FullName = FullName(name) }
}

// Item returns an item of owner after changes. Its ID is new.
func Item(owner domain.User, changes ...func(*domain.Item)) domain.Item {
	i := domain.Item{
		ID: NewID(), OwnerID: owner.ID, ItemContent: domain.ItemContent{Title: Title("a title")},
		Version: 1, CreatedAt: Created, UpdatedAt: Created,
	}
	for _, change := range changes {
		change(&i)
	}
	return i
}

// RevisedItem returns i as a use case passes it to UpdateItem after changes at the time Later.
func RevisedItem(i domain.Item, changes ...func(*domain.Item)) domain.Item {
	next := i
	for _, change := range changes {
		change(&next)
	}
	next, _ = i.Revise(next, Later)
	return next
}

// WithTitle returns a change that gives the item this title.
func WithTitle(title string) func(*domain.Item) {
	return func(i *domain.Item) { i.Title = Title(title) }
}

// WithDescription returns a change that gives the item this description.
func WithDescription(text string) func(*domain.Item) {
	return func(i *domain.Item) { i.Description = Description(text) }
}

// WithSnowflakeUser returns a change that gives the account this user in Snowflake.
func WithSnowflakeUser(name string) func(*domain.User) {
	return func(u *domain.User) { u.SnowflakeUser = domain.Some(SnowflakeUser(name)) }
}

// SnowflakeUser returns s as the name of a user in Snowflake.
func SnowflakeUser(s string) domain.SnowflakeUser { return Must(domain.ParseSnowflakeUser(s)) }

// ClientName returns s as the name of a client.
func ClientName(s string) domain.ClientName { return Must(domain.ParseClientName(s)) }

// Hash returns a new text of the form of a SHA-256 in hexadecimal.
func Hash() string {
	sum := sha256.Sum256([]byte(NewID()))
	return hex.EncodeToString(sum[:])
}

// Session returns a session of owner after changes. Its ID, its hashes and its seed are new.
func Session(owner domain.User, changes ...func(*domain.Session)) domain.Session {
	s := domain.Session{
		ID: NewID(), OwnerID: owner.ID, Epoch: owner.Epoch, Kind: domain.SessionByPassword,
		Lookup: Hash(), Secret: Hash(), Seed: Hash(), UserAgent: "curl/8.5.0",
		CreatedAt: Created, RefreshedAt: Created, ExpiresAt: Created.Add(domain.SessionIdle),
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

// Client returns a client of owner after changes. Its ID and its secret are new.
func Client(owner domain.User, changes ...func(*domain.Client)) domain.Client {
	c := domain.Client{
		ID: NewID(), OwnerID: owner.ID, Epoch: owner.Epoch, Secret: Hash(),
		NewClient: domain.NewClient{Name: ClientName("a client"), ExpiresAt: Created.Add(domain.DefaultClientLife)},
		CreatedAt: Created,
	}
	for _, change := range changes {
		change(&c)
	}
	return c
}
