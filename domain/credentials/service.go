// Package credentials holds the use cases of an account's own sessions and clients: it lists and ends them, and
// creates clients. Signing in with them is in package auth.
package credentials

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Store is what the service needs of a store.
type Store interface {
	ports.SessionStore
	ports.ClientStore
}

// Service implements [ports.Credentials]. All fields are required.
type Service struct {
	Store     Store
	NewSecret func() (secret, hash string) // of a client
	Audit     func(context.Context, domain.Event)
	NewID     func() string    // a UUIDv7
	Now       func() time.Time // UTC, in whole microseconds
}

var _ ports.Credentials = (*Service)(nil)

// Sessions implements [ports.Credentials].
func (s *Service) Sessions(
	ctx context.Context, by domain.Actor, page domain.PageRequest,
) (domain.Page[domain.Session], error) {
	return s.Store.Sessions(ctx, by, s.Now(), page)
}

// EndSession implements [ports.Credentials].
func (s *Service) EndSession(ctx context.Context, by domain.Actor, id string) error {
	if err := s.Store.DeleteSession(ctx, by, id); err != nil {
		return err
	}
	s.audit(ctx, by, domain.EventSignedOut, id)
	return nil
}

// Clients implements [ports.Credentials].
func (s *Service) Clients(
	ctx context.Context, by domain.Actor, page domain.PageRequest,
) (domain.Page[domain.Client], error) {
	return s.Store.Clients(ctx, by, s.Now(), page)
}

// CreateClient implements [ports.Credentials].
func (s *Service) CreateClient(
	ctx context.Context, by domain.Actor, in domain.NewClient,
) (domain.Client, string, error) {
	now := s.Now()
	if in.ExpiresAt.IsZero() {
		in.ExpiresAt = now.Add(domain.DefaultClientLife)
	}
	if !in.ExpiresAt.After(now) || in.ExpiresAt.After(now.Add(domain.MaxClientLife)) {
		return domain.Client{}, "", domain.InvalidFields(domain.FieldError{
			Field: "expires_at", Message: "must be in the future, and at most 366 days from now",
		})
	}
	secret, hash := s.NewSecret()
	c := domain.Client{
		ID: s.NewID(), OwnerID: by.ID, Epoch: by.Epoch, Secret: hash, NewClient: in, CreatedAt: now,
	}
	if err := s.Store.CreateClient(ctx, by, c); err != nil {
		return domain.Client{}, "", err
	}
	s.audit(ctx, by, domain.EventClientCreated, c.ID)
	return c, secret, nil
}

// DeleteClient implements [ports.Credentials].
func (s *Service) DeleteClient(ctx context.Context, by domain.Actor, id string) error {
	if err := s.Store.DeleteClient(ctx, by, id); err != nil {
		return err
	}
	s.audit(ctx, by, domain.EventClientDeleted, id)
	return nil
}

// audit records that the actor did what the event says to a session or a client of its own.
func (s *Service) audit(ctx context.Context, by domain.Actor, event, id string) {
	s.Audit(ctx, domain.Event{
		Name: event, ActorID: by.ID, SubjectID: by.ID, ObjectID: id, Source: by.Source,
	})
}
