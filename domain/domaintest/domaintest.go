// Package domaintest builds valid values of package domain for tests. Only tests import it.
package domaintest

import (
	"time"

	"github.com/google/uuid"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Created is when the entities of this package were created. It has microseconds, as stores keep them.
var Created = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)

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

// User returns an active account with a new ID and an e-mail of its own, changed by changes.
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

// Superuser is a change that makes the account a superuser.
func Superuser(u *domain.User) { u.Superuser = true }

// Inactive is a change that deactivates the account.
func Inactive(u *domain.User) { u.Active = false }

// WithEmail returns a change that gives the account this e-mail.
func WithEmail(e domain.Email) func(*domain.User) { return func(u *domain.User) { u.Email = e } }

// Item returns an item of owner with a new ID, changed by changes.
func Item(owner domain.User, changes ...func(*domain.Item)) domain.Item {
	i := domain.Item{
		ID: NewID(), OwnerID: owner.ID, Title: Title("a title"),
		Version: 1, CreatedAt: Created, UpdatedAt: Created,
	}
	for _, change := range changes {
		change(&i)
	}
	return i
}
