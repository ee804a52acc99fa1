package main

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// faultyStore is a store that injects faults into the first store call of each use case.
type faultyStore struct {
	ports.Store
	// before is called with the name of the method. If it returns an error, so does the method.
	before func(ctx context.Context, method string) error
}

func (s faultyStore) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	if err := s.before(ctx, "CreateFirstSuperuser"); err != nil {
		return false, err
	}
	return s.Store.CreateFirstSuperuser(ctx, u)
}

func (s faultyStore) UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error) {
	if err := s.before(ctx, "UserForSignIn"); err != nil {
		return domain.User{}, err
	}
	return s.Store.UserForSignIn(ctx, email)
}

func (s faultyStore) User(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	if err := s.before(ctx, "User"); err != nil {
		return domain.User{}, err
	}
	return s.Store.User(ctx, by, id)
}

func (s faultyStore) Users(
	ctx context.Context, by domain.Actor, page domain.PageRequest,
) (domain.Page[domain.User], error) {
	if err := s.before(ctx, "Users"); err != nil {
		return domain.Page[domain.User]{}, err
	}
	return s.Store.Users(ctx, by, page)
}

func (s faultyStore) CreateUser(ctx context.Context, by domain.Actor, u domain.User) error {
	if err := s.before(ctx, "CreateUser"); err != nil {
		return err
	}
	return s.Store.CreateUser(ctx, by, u)
}

func (s faultyStore) DeleteUser(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	if err := s.before(ctx, "DeleteUser"); err != nil {
		return err
	}
	return s.Store.DeleteUser(ctx, by, id, ifVersion)
}

func (s faultyStore) Item(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, id string,
) (domain.Item, error) {
	if err := s.before(ctx, "Item"); err != nil {
		return domain.Item{}, err
	}
	return s.Store.Item(ctx, by, scope, id)
}

func (s faultyStore) Items(
	ctx context.Context, by domain.Actor, ownerID string, page domain.PageRequest,
) (domain.Page[domain.Item], error) {
	if err := s.before(ctx, "Items"); err != nil {
		return domain.Page[domain.Item]{}, err
	}
	return s.Store.Items(ctx, by, ownerID, page)
}

func (s faultyStore) CreateItem(ctx context.Context, by domain.Actor, i domain.Item) error {
	if err := s.before(ctx, "CreateItem"); err != nil {
		return err
	}
	return s.Store.CreateItem(ctx, by, i)
}

func (s faultyStore) DeleteItem(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, id string, ifVersion domain.Versions,
) error {
	if err := s.before(ctx, "DeleteItem"); err != nil {
		return err
	}
	return s.Store.DeleteItem(ctx, by, scope, id, ifVersion)
}

func (s faultyStore) SessionForRefresh(
	ctx context.Context, lookup, secret string,
) (domain.Session, domain.User, error) {
	if err := s.before(ctx, "SessionForRefresh"); err != nil {
		return domain.Session{}, domain.User{}, err
	}
	return s.Store.SessionForRefresh(ctx, lookup, secret)
}

func (s faultyStore) Sessions(
	ctx context.Context, by domain.Actor, now time.Time, page domain.PageRequest,
) (domain.Page[domain.Session], error) {
	if err := s.before(ctx, "Sessions"); err != nil {
		return domain.Page[domain.Session]{}, err
	}
	return s.Store.Sessions(ctx, by, now, page)
}

func (s faultyStore) DeleteSession(ctx context.Context, by domain.Actor, id string) error {
	if err := s.before(ctx, "DeleteSession"); err != nil {
		return err
	}
	return s.Store.DeleteSession(ctx, by, id)
}

func (s faultyStore) Clients(
	ctx context.Context, by domain.Actor, now time.Time, page domain.PageRequest,
) (domain.Page[domain.Client], error) {
	if err := s.before(ctx, "Clients"); err != nil {
		return domain.Page[domain.Client]{}, err
	}
	return s.Store.Clients(ctx, by, now, page)
}

func (s faultyStore) CreateClient(ctx context.Context, by domain.Actor, c domain.Client) error {
	if err := s.before(ctx, "CreateClient"); err != nil {
		return err
	}
	return s.Store.CreateClient(ctx, by, c)
}

func (s faultyStore) DeleteClient(ctx context.Context, by domain.Actor, id string) error {
	if err := s.before(ctx, "DeleteClient"); err != nil {
		return err
	}
	return s.Store.DeleteClient(ctx, by, id)
}
