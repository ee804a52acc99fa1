// Package memory is the embedded default store: everything is in the memory of this process and
// gone with it. It holds data and the rules that the contract of [ports.Store] gives to a store;
// what an account may do is decided by the use cases, never here.
package memory

import (
	"context"
	"sync"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Store implements [ports.Store]. Make one with [New].
type Store struct {
	mu sync.RWMutex // guards all below, so that each method is atomic

	accounts list[*account]
	byID     map[string]*account
	byEmail  map[domain.Email]*account
	items    map[string]*domain.Item

	activeSuperusers int
	bootstrapped     bool // whether there ever was a first superuser
}

// account is a user with the items that go when it goes, so that none can be orphaned.
type account struct {
	domain.User
	items list[*domain.Item]
}

var _ ports.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{
		byID:    map[string]*account{},
		byEmail: map[domain.Email]*account{},
		items:   map[string]*domain.Item{},
	}
}

// admit refuses a call whose context has ended or whose actor is signed out, and returns the
// actor's account. The caller holds the lock until its effect is complete.
func (s *Store) admit(ctx context.Context, by domain.Actor) (*account, error) {
	if err := inTime(ctx); err != nil {
		return nil, err
	}
	a, ok := s.byID[by.ID]
	if !ok || !a.Active || a.Epoch != by.Epoch {
		return nil, domain.ErrSignedOut
	}
	return a, nil
}

// inTime refuses a call whose context has ended.
func inTime(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return domain.ErrUnavailable.WithCause(err)
	}
	return nil
}
