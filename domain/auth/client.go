package auth

import (
	"context"
	"errors"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// SignInClient implements [ports.Auth].
func (s *Service) SignInClient(ctx context.Context, id, secret, source string) (domain.Token, error) {
	if err := s.SourceAttempts.Check(source); err != nil {
		return domain.Token{}, err
	}
	c, u, err := s.Store.ClientForSignIn(ctx, id)
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return domain.Token{}, err
	}
	if err != nil || !equal(c.Secret, hashOf(secret)) || !c.WorksFor(u, s.Now()) {
		s.Audit(ctx, domain.Event{
			Name: domain.EventClientSignInFailed, SubjectID: c.OwnerID, ObjectID: c.ID, Source: source,
		})
		s.countFailure(source)
		return domain.Token{}, domain.ErrInvalidClient
	}
	if _, used := c.UsedAt.Get(); !used {
		// An error only delays the event until the next use.
		if first, _ := s.Store.UseClientForSignIn(ctx, c.ID, s.Now()); first {
			s.Audit(ctx, domain.Event{
				Name: domain.EventClientFirstUsed, ActorID: u.ID, SubjectID: u.ID, ObjectID: c.ID, Source: source,
			})
		}
	}
	actor := u.Actor()
	actor.ReadOnly = c.ReadOnly
	return s.Tokens.Issue(actor)
}
