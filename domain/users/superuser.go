package users

import (
	"context"
	"fmt"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// What follows acts for no account: an installation needs a first superuser before anybody can
// sign in, and an operator must be able to help when nobody can any more.

// EnsureFirstSuperuser creates the first superuser of an installation and reports whether it did:
// a store remembers that it had one, so that neither a rename nor a deletion brings it back.
// password is taken as the configuration has it; the wiring checks it.
func (s *Service) EnsureFirstSuperuser(ctx context.Context, email domain.Email, password string) (bool, error) {
	u, err := s.newSuperuser(ctx, email, password)
	if err != nil {
		return false, err
	}
	created, err := s.Store.CreateFirstSuperuser(ctx, u)
	if created {
		s.Audit(ctx, domain.Event{Name: domain.EventFirstSuperuserCreated, SubjectID: u.ID})
	}
	return created, err
}

// CreateSuperuser is the operator's: it adds a superuser. Errors: ErrEmailTaken.
func (s *Service) CreateSuperuser(ctx context.Context, email domain.Email, password domain.Password) (domain.User, error) {
	u, err := s.newSuperuser(ctx, email, password.Reveal())
	if err != nil {
		return domain.User{}, err
	}
	if err := s.Store.CreateSuperuserForOperator(ctx, u); err != nil {
		return domain.User{}, err
	}
	s.Audit(ctx, domain.Event{Name: domain.EventUserCreated, SubjectID: u.ID})
	return u, nil
}

// ResetPassword is the operator's: it gives a superuser a new password and ends the account's
// tokens. Errors: ErrNotFound, also for an account that is no superuser.
func (s *Service) ResetPassword(ctx context.Context, email domain.Email, password domain.Password) error {
	hash, err := s.Hasher.Hash(ctx, password.Reveal())
	if err != nil {
		return err
	}
	return domain.RetryStale(ctx, func() error {
		read, err := s.Store.UserForSignIn(ctx, email)
		if err != nil {
			return err
		}
		if !read.Superuser {
			return fmt.Errorf("%w: the account is not a superuser's", domain.ErrNotFound)
		}
		next := read
		next.PasswordHash = hash
		next, _ = read.Revise(next, s.Now())
		if err := s.Store.ResetPasswordForOperator(ctx, next, read.Version); err != nil {
			return err
		}
		s.Audit(ctx, domain.Event{Name: domain.EventPasswordChanged, SubjectID: next.ID})
		return nil
	})
}

func (s *Service) newSuperuser(ctx context.Context, email domain.Email, password string) (domain.User, error) {
	hash, err := s.Hasher.Hash(ctx, password)
	if err != nil {
		return domain.User{}, err
	}
	u := s.newUser(email, hash)
	u.Superuser = true
	return u, nil
}
