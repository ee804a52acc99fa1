// Package auth holds the use cases of signing in: it turns a credential into tokens, and a token into an actor.
// service.go has passwords, refresh.go sessions and their refresh tokens, client.go programs, and snowflake.go users
// that Snowflake proves. Ports hide how password hashes and bearer tokens are made and where accounts are kept.
package auth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Store is what the service needs of a store.
type Store interface {
	ports.SignInStore
	ports.SessionStore
	ports.ClientStore
}

// Service implements [ports.Auth]. All exported fields are required, except where a comment says otherwise.
type Service struct {
	Store  Store
	Hasher ports.PasswordHasher
	Tokens ports.TokenIssuer
	// These three limit failed sign-ins: for each pair of account and source, for each source, and for each
	// account over all sources that it has not signed in from.
	PairAttempts, SourceAttempts, AccountAttempts ports.AttemptLimiter
	// NoPasswords switches off to sign in with a password.
	NoPasswords bool
	Callers     ports.CallerIdentity // optional: switches on to sign in with Snowflake
	// CallerAttempts limits the attempts to sign in with Snowflake, for each source. It is required with Callers.
	CallerAttempts ports.AttemptLimiter
	CreateAccounts bool // for a user in Snowflake that has no account
	Audit          func(context.Context, domain.Event)
	NewID          func() string    // a UUIDv7
	Now            func() time.Time // UTC, in whole microseconds
	// FailureFloor is the shortest time that a refused sign-in takes. It hides how much work was done,
	// and so whether the account exists.
	FailureFloor time.Duration

	known knownSources
	ids   accountIDs
}

var _ ports.Auth = (*Service)(nil)

// SignIn implements [ports.Auth].
func (s *Service) SignIn(
	ctx context.Context, email, password string, from domain.Requester,
) (domain.Grant, error) {
	if s.NoPasswords {
		return domain.Grant{}, domain.ErrPasswordSignInOff
	}
	source := from.Source
	floor := s.Now().Add(s.FailureFloor)
	address, syntaxErr := domain.ParseEmail(email)
	account := email
	if syntaxErr == nil {
		account = strings.Clone(address.String()) // it is remembered, and may be a part of the whole request
	}
	taken, err := s.takeAttempt(account, source)
	if err != nil {
		s.Audit(ctx, domain.Event{
			Name: domain.EventSignInThrottled, SubjectID: s.ids.of(account), Source: source,
		})
		return domain.Grant{}, err
	}

	var u domain.User
	if syntaxErr == nil {
		u, err = s.Store.UserForSignIn(ctx, address)
		if err != nil && !errors.Is(err, domain.ErrNotFound) {
			taken.refund()
			return domain.Grant{}, err
		}
	}
	if u.ID != "" {
		s.ids.add(account, u.ID)
	}
	refusal, err := s.check(ctx, u, password, source)
	if err != nil {
		taken.refund()
		return domain.Grant{}, err
	}
	if refusal != "" {
		s.Audit(ctx, domain.Event{Name: refusal, SubjectID: u.ID, Kind: domain.SessionByPassword, Source: source})
		pause(ctx, floor.Sub(s.Now()))
		return domain.Grant{}, domain.ErrBadCredentials
	}

	taken.refund()
	s.PairAttempts.Reset(pairKey(account, source))
	s.known.add(account, source)
	s.rehash(ctx, u, password, source)
	return s.grant(ctx, u, domain.SessionByPassword, from)
}

// check returns why u may not sign in with that password, as the name of an event, or "" if it may. u is the
// zero User if there is no account. Then its hash is empty, and Verify does the same work, so that the time
// does not tell.
func (s *Service) check(ctx context.Context, u domain.User, password, source string) (refusal string, err error) {
	matches, err := s.Hasher.Verify(ctx, domain.Work{Source: source}, password, u.PasswordHash)
	if err != nil {
		// Another answer than to a wrong password would tell that there is an account.
		if domain.KindOf(err) == domain.Internal {
			return domain.EventPasswordHashUnreadable, nil
		}
		return "", err
	}
	if !matches || !u.Active {
		return domain.EventSignInFailed, nil
	}
	return "", nil
}

// attempt is an attempt to sign in that was taken from some limits.
type attempt []limit

// limit is a limiter with the key that an attempt counts for.
type limit struct {
	ports.AttemptLimiter
	key string
}

// takeAttempt spends one attempt in each limit that applies, or none if one of them has none left. SignIn takes
// it before the check, so that concurrent attempts cannot exceed a limit, and refunds it unless the password
// was wrong.
func (s *Service) takeAttempt(account, source string) (attempt, error) {
	limits := attempt{
		{s.PairAttempts, pairKey(account, source)},
		{s.SourceAttempts, source},
	}
	// An attack from many sources must not keep the owner from signing in where the owner usually does.
	if !s.known.has(account, source) {
		limits = append(limits, limit{s.AccountAttempts, account})
	}
	for i, l := range limits {
		if err := l.Take(l.key); err != nil {
			limits[:i].refund()
			return nil, err
		}
	}
	return limits, nil
}

func (a attempt) refund() {
	for _, l := range a {
		l.Refund(l.key)
	}
}

func pairKey(account, source string) string { return account + " " + source }

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

// RequireFresh implements [ports.Auth].
func (s *Service) RequireFresh(by domain.Actor) error {
	if !by.Fresh(s.Now()) {
		return domain.ErrAuthTooOld
	}
	return nil
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
