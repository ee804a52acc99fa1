package main

import (
	"context"
	"errors"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// readOnlyStore is a store that refuses every change with ErrReadOnly, for READ_ONLY=true. Reads and sign-ins go on.
// Everything that writes does so through a store: requests, the first superuser and the superuser commands.
//
// It refuses without asking the store, so the refusal comes before all others, also before ErrSignedOut. It tells a
// caller nothing about accounts and items. A use case that reads first, such as a change of an account, still
// returns what it finds.
type readOnlyStore struct{ ports.Store }

func (readOnlyStore) CreateUser(context.Context, domain.Actor, domain.User) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) UpdateUser(context.Context, domain.Actor, domain.User, domain.User) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) DeleteUser(context.Context, domain.Actor, string, domain.Versions) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) CreateItem(context.Context, domain.Actor, domain.Item) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) UpdateItem(context.Context, domain.Actor, domain.ItemScope, domain.Item, int64) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) DeleteItem(context.Context, domain.Actor, domain.ItemScope, string, domain.Versions) error {
	return domain.ErrReadOnly
}

// CreateSession has the consequence that a sign-in returns no refresh token.
func (readOnlyStore) CreateSession(context.Context, domain.Actor, domain.Session) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) DeleteSession(context.Context, domain.Actor, string) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) RefreshSession(context.Context, domain.Session) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) EndSessionForRefresh(context.Context, string) (bool, error) {
	return false, domain.ErrReadOnly
}

func (readOnlyStore) CreateClient(context.Context, domain.Actor, domain.Client) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) DeleteClient(context.Context, domain.Actor, string) error {
	return domain.ErrReadOnly
}

// UseClientForSignIn has no consequence for the sign-in, which ignores its error.
func (readOnlyStore) UseClientForSignIn(context.Context, string, time.Time) (bool, error) {
	return false, domain.ErrReadOnly
}

func (readOnlyStore) CleanUp(context.Context, time.Time) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) CreateUserForSnowflakeSignIn(context.Context, domain.User) error {
	return domain.ErrReadOnly
}

// RehashForSignIn has no consequence for the sign-in, which ignores its error.
func (readOnlyStore) RehashForSignIn(context.Context, string, string, string) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) CreateFirstSuperuser(context.Context, domain.User) (bool, error) {
	return false, domain.ErrReadOnly.WithCause(
		errors.New("there was no superuser yet, and READ_ONLY=true: start the service once without READ_ONLY"))
}

// CreateSuperuserForOperator refuses as well: an account that is made while data moves would be missing in the copy.
func (readOnlyStore) CreateSuperuserForOperator(context.Context, domain.User) error {
	return domain.ErrReadOnly
}

func (readOnlyStore) UpdateUserForOperator(context.Context, domain.User, int64) error {
	return domain.ErrReadOnly
}
