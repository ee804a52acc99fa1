// Package memory is the default store. It keeps all data in the memory of this process and loses it when
// the process ends. It enforces the rules that the contract of [ports.Store] gives to a store, and no
// others: the use cases decide what an account may do.
package memory

import (
	"context"
	"sync"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Store implements [ports.Store]. Create it with [New].
//
// Each exported method holds mu from its first check to its last effect. That makes it atomic.
type Store struct {
	mu sync.RWMutex // guards all fields below

	accounts list[*account]
	byID     map[string]*account
	byEmail  map[domain.Email]*account
	byUser   map[domain.SnowflakeUser]*account
	items    map[string]*domain.Item
	sessions map[string]*domain.Session
	byLookup map[string]*domain.Session
	clients  map[string]*domain.Client

	activeSuperusers  int
	hadFirstSuperuser bool
}

// account is a user with what it owns. They are removed together, so nothing loses its owner.
type account struct {
	domain.User
	items    list[*domain.Item]
	sessions list[*domain.Session]
	clients  list[*domain.Client]
}

var _ ports.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{
		byID:     map[string]*account{},
		byEmail:  map[domain.Email]*account{},
		byUser:   map[domain.SnowflakeUser]*account{},
		items:    map[string]*domain.Item{},
		sessions: map[string]*domain.Session{},
		byLookup: map[string]*domain.Session{},
		clients:  map[string]*domain.Client{},
	}
}

// admit returns the actor's account. It refuses a call whose context has ended or whose actor is signed out.
func (s *Store) admit(ctx context.Context, by domain.Actor) (*account, error) {
	if err := checkContext(ctx); err != nil {
		return nil, err
	}
	a, ok := s.byID[by.ID]
	if !ok || !a.Active || a.Epoch != by.Epoch {
		return nil, domain.ErrSignedOut
	}
	return a, nil
}

// checkContext refuses a call whose context has ended.
func checkContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return domain.ErrUnavailable.WithCause(err)
	}
	return nil
}
