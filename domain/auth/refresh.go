package auth

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// grant starts a session for u, which has just proved who it is, and returns the first tokens of it.
func (s *Service) grant(
	ctx context.Context, u domain.User, kind domain.SessionKind, from domain.Requester,
) (domain.Grant, error) {
	token, now := newRefreshToken(), s.Now()
	session := domain.Session{
		ID: s.NewID(), OwnerID: u.ID, Epoch: u.Epoch, Kind: kind,
		Lookup: hashOf(token.lookup), Seed: hex.EncodeToString(randomBytes(secretSize)),
		UserAgent: domain.UserAgentOf(from.UserAgent), CreatedAt: now,
	}.Refreshed(hashOf(token.secret), now)
	err := s.Store.CreateSession(ctx, u.Actor(), session)
	switch {
	case errors.Is(err, domain.ErrReadOnly):
		session.ID = "" // RFC 6749 §5.1: a refresh token is optional
	case errors.Is(err, domain.ErrSignedOut):
		// The account has changed since it was read. The next try sees how.
		return domain.Grant{}, domain.ErrContended.WithCause(err)
	case err != nil:
		return domain.Grant{}, err
	}
	g, err := s.tokensOf(u, session, token, now)
	if err != nil {
		return domain.Grant{}, err
	}
	if session.ID == "" {
		g.Refresh = domain.Optional[domain.Token]{}
	}
	s.Audit(ctx, domain.Event{
		Name: domain.EventSignedIn, ActorID: u.ID, SubjectID: u.ID, ObjectID: session.ID, Kind: kind,
		Source: from.Source,
	})
	return g, nil
}

// tokensOf returns the tokens of a session. now is the time of the sign-in or the refresh.
func (s *Service) tokensOf(
	u domain.User, session domain.Session, refresh refreshToken, now time.Time,
) (domain.Grant, error) {
	actor := u.Actor()
	actor.SessionID, actor.AuthTime = session.ID, session.CreatedAt
	access, err := s.Tokens.Issue(actor)
	return domain.Grant{
		Access:  access,
		Refresh: domain.Some(domain.Token{Value: refresh.String(), ExpiresIn: session.ExpiresAt.Sub(now)}),
	}, err
}

// Refresh implements [ports.Auth].
func (s *Service) Refresh(ctx context.Context, refreshToken, source string) (domain.Grant, error) {
	if err := s.SourceAttempts.Check(source); err != nil {
		return domain.Grant{}, err
	}
	var g domain.Grant
	err := error(domain.ErrInvalidGrant)
	if token, ok := parseRefreshToken(refreshToken); ok {
		err = domain.RetryStale(ctx, func() (err error) {
			g, err = s.refresh(ctx, token, source)
			return err
		})
	}
	if errors.Is(err, domain.ErrNotFound) {
		err = domain.ErrInvalidGrant
	}
	if errors.Is(err, domain.ErrInvalidGrant) {
		s.countFailure(source)
	}
	if err != nil {
		return domain.Grant{}, err
	}
	return g, nil
}

// refresh is one try of Refresh. Errors: ErrStale if a concurrent refresh came between; ErrNotFound or
// ErrInvalidGrant if the token is not valid.
func (s *Service) refresh(ctx context.Context, token refreshToken, source string) (domain.Grant, error) {
	secret := hashOf(token.secret)
	session, u, err := s.Store.SessionForRefresh(ctx, hashOf(token.lookup), secret)
	if err != nil {
		return domain.Grant{}, err
	}
	now := s.Now()
	if !session.WorksFor(u, now) {
		return domain.Grant{}, domain.ErrInvalidGrant
	}
	next := token.successor(session.Seed)
	switch {
	case equal(session.Secret, secret):
		session = session.Refreshed(hashOf(next.secret), now)
		if err := s.Store.RefreshSession(ctx, session); err != nil {
			return domain.Grant{}, err
		}
	case equal(session.Previous, secret) && now.Before(session.RefreshedAt.Add(domain.RefreshWindow)):
		// The reply was lost, or another tab or instance was faster.
	default:
		return domain.Grant{}, s.endReused(ctx, session, source)
	}
	return s.tokensOf(u, session, next, now)
}

// endReused ends a session of which a token was used that had been replaced: a thief may have one of its tokens.
func (s *Service) endReused(ctx context.Context, session domain.Session, source string) error {
	ended, err := s.Store.EndSessionForRefresh(ctx, session.ID)
	if err != nil {
		return err
	}
	if ended {
		s.Audit(ctx, domain.Event{
			Name: domain.EventRefreshTokenReused, SubjectID: session.OwnerID, ObjectID: session.ID, Source: source,
		})
	}
	return domain.ErrInvalidGrant
}

// SignOut implements [ports.Auth].
func (s *Service) SignOut(ctx context.Context, refreshToken, source string) error {
	if err := s.SourceAttempts.Check(source); err != nil {
		return err
	}
	session, err := domain.Session{}, error(domain.ErrNotFound)
	if token, ok := parseRefreshToken(refreshToken); ok {
		session, _, err = s.Store.SessionForRefresh(ctx, hashOf(token.lookup), hashOf(token.secret))
	}
	if errors.Is(err, domain.ErrNotFound) {
		s.countFailure(source)
		return nil
	}
	if err != nil {
		return err
	}
	return s.endSession(ctx, session.ID, session.OwnerID, source)
}

// SignOutSession implements [ports.Auth].
func (s *Service) SignOutSession(ctx context.Context, by domain.Actor) error {
	if by.SessionID == "" { // the token belongs to a client, or the store could not keep the session
		return nil
	}
	return s.endSession(ctx, by.SessionID, by.ID, by.Source)
}

func (s *Service) endSession(ctx context.Context, id, ownerID, source string) error {
	ended, err := s.Store.EndSessionForRefresh(ctx, id)
	if ended {
		s.Audit(ctx, domain.Event{
			Name: domain.EventSignedOut, ActorID: ownerID, SubjectID: ownerID, ObjectID: id, Source: source,
		})
	}
	return err
}

// countFailure counts a failure of the source.
func (s *Service) countFailure(source string) {
	_ = s.SourceAttempts.Take(source) // an error means that none is left: the next try is refused
}
