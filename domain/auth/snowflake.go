package auth

import (
	"context"
	"errors"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// SignInWithSnowflake implements [ports.Auth].
func (s *Service) SignInWithSnowflake(
	ctx context.Context, callerToken string, from domain.Requester,
) (domain.Grant, error) {
	if s.Callers == nil {
		return domain.Grant{}, domain.ErrSnowflakeSignInOff
	}
	if callerToken == "" {
		return domain.Grant{}, domain.ErrNoCallerToken
	}
	// Each attempt costs a login to Snowflake, so that those that succeed count, too.
	if err := s.CallerAttempts.Take(from.Source); err != nil {
		s.auditRefusal(ctx, domain.EventSignInThrottled, domain.User{}, from)
		return domain.Grant{}, err
	}
	caller, err := s.Callers.Identify(ctx, callerToken)
	if errors.Is(err, domain.ErrInvalidCallerToken) {
		s.auditRefusal(ctx, domain.EventSignInFailed, domain.User{}, from)
	}
	if err != nil {
		return domain.Grant{}, err
	}
	u, err := s.accountOf(ctx, caller, from)
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return domain.Grant{}, err
	}
	if err != nil || !u.Active {
		s.auditRefusal(ctx, domain.EventSignInFailed, u, from)
		return domain.Grant{}, domain.ErrNoAccount
	}
	return s.grant(ctx, u, domain.SessionBySnowflake, from)
}

// accountOf returns the account of a user in Snowflake, active or not, and creates it if the service is set to.
// Errors: ErrNotFound.
func (s *Service) accountOf(
	ctx context.Context, caller domain.SnowflakeUser, from domain.Requester,
) (domain.User, error) {
	u, err := s.Store.UserForSnowflakeSignIn(ctx, caller)
	if !s.CreateAccounts || !errors.Is(err, domain.ErrNotFound) {
		return u, err
	}
	u, err = newAccountOf(s.NewID(), caller)
	if err != nil {
		return domain.User{}, err
	}
	u.CreatedAt, u.UpdatedAt = s.Now(), s.Now()
	err = s.Store.CreateUserForSnowflakeSignIn(ctx, u)
	if errors.Is(err, domain.ErrSnowflakeUserTaken) { // by a concurrent sign-in of the same user
		return s.Store.UserForSnowflakeSignIn(ctx, caller)
	}
	if err != nil {
		return domain.User{}, err
	}
	for _, name := range []string{domain.EventUserCreated, domain.EventSnowflakeUserChanged} {
		s.Audit(ctx, domain.Event{Name: name, SubjectID: u.ID, Source: from.Source})
	}
	return u, nil
}

// newAccountOf returns a new ordinary account for a user in Snowflake. It has no password, and an e-mail in a domain
// that cannot exist (RFC 2606 §2): the name of a user is no address.
func newAccountOf(id string, caller domain.SnowflakeUser) (domain.User, error) {
	email, err := domain.ParseEmail(id + "@snowflake.invalid")
	if err != nil {
		return domain.User{}, err
	}
	name, err := domain.ParseFullName(caller.String())
	return domain.User{
		ID: id, Email: email, FullName: domain.Some(name), SnowflakeUser: domain.Some(caller), Active: true,
		Version: 1, Epoch: 1,
	}, err
}

func (s *Service) auditRefusal(ctx context.Context, name string, u domain.User, from domain.Requester) {
	s.Audit(ctx, domain.Event{
		Name: name, SubjectID: u.ID, Kind: domain.SessionBySnowflake, Source: from.Source,
	})
}
