package memory

import (
	"context"
	"slices"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// CreateSession implements [ports.SessionStore].
func (s *Store) CreateSession(ctx context.Context, by domain.Actor, session domain.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.admit(ctx, by)
	if err != nil {
		return err
	}
	session.OwnerID, session.Epoch = by.ID, by.Epoch
	s.sessions[session.ID] = &session
	s.byLookup[session.Lookup] = &session
	a.sessions.insert(&session)
	return nil
}

// Sessions implements [ports.SessionStore].
func (s *Store) Sessions(
	ctx context.Context, by domain.Actor, now time.Time, req domain.PageRequest,
) (domain.Page[domain.Session], error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.admit(ctx, by)
	if err != nil {
		return domain.Page[domain.Session]{}, err
	}
	return page(working(a, a.sessions, now), req, func(e *domain.Session) domain.Session { return *e }), nil
}

// DeleteSession implements [ports.SessionStore].
func (s *Store) DeleteSession(ctx context.Context, by domain.Actor, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.admit(ctx, by); err != nil {
		return err
	}
	session, ok := s.sessions[id]
	if !ok || session.OwnerID != by.ID {
		return domain.ErrNotFound
	}
	s.removeSession(session)
	return nil
}

// SessionForRefresh implements [ports.SessionStore].
func (s *Store) SessionForRefresh(ctx context.Context, lookup, _ string) (domain.Session, domain.User, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := checkContext(ctx); err != nil {
		return domain.Session{}, domain.User{}, err
	}
	session, ok := s.byLookup[lookup]
	if !ok {
		return domain.Session{}, domain.User{}, domain.ErrNotFound
	}
	return *session, s.byID[session.OwnerID].User, nil
}

// RefreshSession implements [ports.SessionStore].
func (s *Store) RefreshSession(ctx context.Context, next domain.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil {
		return err
	}
	session, ok := s.sessions[next.ID]
	if !ok {
		return domain.ErrNotFound
	}
	a := s.byID[session.OwnerID]
	switch {
	case !a.Active || a.Epoch != session.Epoch:
		return domain.ErrNotFound
	case session.Secret == next.Secret && session.Previous == next.Previous:
		return nil
	case session.Secret != next.Previous:
		return domain.ErrStale
	}
	session.Secret, session.Previous = next.Secret, next.Previous
	session.RefreshedAt, session.ExpiresAt = next.RefreshedAt, next.ExpiresAt
	return nil
}

// EndSessionForRefresh implements [ports.SessionStore].
func (s *Store) EndSessionForRefresh(ctx context.Context, id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil {
		return false, err
	}
	session, ok := s.sessions[id]
	if ok {
		s.removeSession(session)
	}
	return ok, nil
}

// CreateClient implements [ports.ClientStore].
func (s *Store) CreateClient(ctx context.Context, by domain.Actor, c domain.Client) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.admit(ctx, by)
	if err != nil {
		return err
	}
	if len(working(a, a.clients, c.CreatedAt)) >= domain.MaxClients {
		return domain.ErrTooManyClients
	}
	c.OwnerID, c.Epoch = by.ID, by.Epoch
	s.clients[c.ID] = &c
	a.clients.insert(&c)
	return nil
}

// Clients implements [ports.ClientStore].
func (s *Store) Clients(
	ctx context.Context, by domain.Actor, now time.Time, req domain.PageRequest,
) (domain.Page[domain.Client], error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	a, err := s.admit(ctx, by)
	if err != nil {
		return domain.Page[domain.Client]{}, err
	}
	return page(working(a, a.clients, now), req, func(c *domain.Client) domain.Client { return *c }), nil
}

// DeleteClient implements [ports.ClientStore].
func (s *Store) DeleteClient(ctx context.Context, by domain.Actor, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.admit(ctx, by); err != nil {
		return err
	}
	c, ok := s.clients[id]
	if !ok || c.OwnerID != by.ID {
		return domain.ErrNotFound
	}
	s.removeClient(c)
	return nil
}

// ClientForSignIn implements [ports.ClientStore].
func (s *Store) ClientForSignIn(ctx context.Context, id string) (domain.Client, domain.User, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := checkContext(ctx); err != nil {
		return domain.Client{}, domain.User{}, err
	}
	c, ok := s.clients[id]
	if !ok {
		return domain.Client{}, domain.User{}, domain.ErrNotFound
	}
	return *c, s.byID[c.OwnerID].User, nil
}

// UseClientForSignIn implements [ports.ClientStore].
func (s *Store) UseClientForSignIn(ctx context.Context, id string, at time.Time) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil {
		return false, err
	}
	c, ok := s.clients[id]
	if !ok || c.UsedAt != (domain.Optional[time.Time]{}) {
		return false, nil
	}
	c.UsedAt = domain.Some(at)
	return true, nil
}

// CleanUp implements [ports.CleanupStore].
func (s *Store) CleanUp(ctx context.Context, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil {
		return err
	}
	for _, a := range s.accounts {
		surplus := len(working(a, a.sessions, now)) - domain.MaxSessions
		a.sessions = slices.DeleteFunc(a.sessions, func(session *domain.Session) bool {
			ended := !session.WorksFor(a.User, now)
			if !ended && surplus > 0 { // the oldest are first
				surplus--
				ended = true
			}
			if ended {
				s.forgetSession(session)
			}
			return ended
		})
		for _, c := range slices.Clone(a.clients) {
			if !c.WorksFor(a.User, now) {
				s.removeClient(c)
			}
		}
	}
	return nil
}

// credential is a session or a client.
type credential interface {
	positioned
	WorksFor(u domain.User, now time.Time) bool
}

// working returns those of the account's credentials that work at that time.
func working[C credential](a *account, all list[C], now time.Time) list[C] {
	var some list[C]
	for _, c := range all {
		if c.WorksFor(a.User, now) {
			some = append(some, c)
		}
	}
	return some
}

func (s *Store) removeSession(session *domain.Session) {
	s.forgetSession(session)
	s.byID[session.OwnerID].sessions.remove(session)
}

// forgetSession removes the session, except from the list of its account.
func (s *Store) forgetSession(session *domain.Session) {
	delete(s.sessions, session.ID)
	delete(s.byLookup, session.Lookup)
}

func (s *Store) removeClient(c *domain.Client) {
	delete(s.clients, c.ID)
	s.byID[c.OwnerID].clients.remove(c)
}
