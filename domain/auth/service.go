// Package auth holds the use cases of signing in: it turns an e-mail and a password into a token, and a
// token into an actor. Ports hide how hashes and tokens are made and where accounts are kept.
package auth

import (
	"context"
	"errors"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Service implements [ports.Auth]. All fields are required.
type Service struct {
	Store    ports.SignInStore
	Hasher   ports.PasswordHasher
	Tokens   ports.TokenIssuer
	Attempts ports.AttemptLimiter // failed sign-ins, per e-mail and source
	Audit    func(context.Context, domain.Event)
	Now      func() time.Time
	// FailureFloor is the shortest time that a refused sign-in takes. It hides how much work was done,
	// and so whether the account exists.
	FailureFloor time.Duration
}

var _ ports.Auth = (*Service)(nil)

// SignIn implements [ports.Auth].
func (s *Service) SignIn(ctx context.Context, email, password, source string) (domain.Token, error) {
	floor := s.Now().Add(s.FailureFloor)
	address, syntaxErr := domain.ParseEmail(email)
	key := address.String() + " " + source
	if syntaxErr != nil {
		key = email + " " + source
	}
	// The attempt is taken before the check, so that concurrent attempts cannot exceed the limit.
	if err := s.Attempts.Take(key); err != nil {
		s.Audit(ctx, domain.Event{Name: domain.EventSignInThrottled})
		return domain.Token{}, err
	}

	var u domain.User
	if syntaxErr == nil {
		found, err := s.Store.UserForSignIn(ctx, address)
		if err != nil && !errors.Is(err, domain.ErrNotFound) {
			s.Attempts.Refund(key)
			return domain.Token{}, err
		}
		u = found
	}
	// If there is no account, the hash is empty. Verify then does the same work, so the time does not tell.
	matches, err := s.Hasher.Verify(ctx, domain.Work{Source: source}, password, u.PasswordHash)
	if err != nil {
		s.Attempts.Refund(key)
		return domain.Token{}, err
	}
	if !matches || !u.Active {
		s.Audit(ctx, domain.Event{Name: domain.EventSignInFailed, SubjectID: u.ID})
		pause(ctx, floor.Sub(s.Now()))
		return domain.Token{}, domain.ErrBadCredentials
	}

	s.Attempts.Reset(key)
	s.rehash(ctx, u, password, source)
	token, err := s.Tokens.Issue(u.Actor())
	if err != nil {
		return domain.Token{}, err
	}
	s.Audit(ctx, domain.Event{Name: domain.EventSignedIn, ActorID: u.ID, SubjectID: u.ID})
	return token, nil
}

// rehash replaces an outdated hash. It ignores errors: the password was correct, so the sign-in succeeds,
// and the next sign-in tries again.
func (s *Service) rehash(ctx context.Context, u domain.User, password, source string) {
	if !s.Hasher.Outdated(u.PasswordHash) {
		return
	}
	if fresh, err := s.Hasher.Hash(ctx, domain.Work{Source: source, Authenticated: true}, password); err == nil {
		_ = s.Store.RehashForSignIn(ctx, u.ID, u.PasswordHash, fresh)
	}
}

// Authenticate implements [ports.Auth].
func (s *Service) Authenticate(token string) (domain.Actor, error) { return s.Tokens.Verify(token) }

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
