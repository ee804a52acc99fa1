package memory

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// Item implements [ports.ItemStore].
func (s *Store) Item(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string) (domain.Item, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, err := s.admit(ctx, by); err != nil {
		return domain.Item{}, err
	}
	i, err := s.findItem(scope, id, domain.Versions{})
	if err != nil {
		return domain.Item{}, err
	}
	return *i, nil
}

// Items implements [ports.ItemStore].
func (s *Store) Items(
	ctx context.Context, by domain.Actor, ownerID string, req domain.PageRequest,
) (domain.Page[domain.Item], error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, err := s.admit(ctx, by); err != nil {
		return domain.Page[domain.Item]{}, err
	}
	var items list[*domain.Item]
	if owner, ok := s.byID[ownerID]; ok {
		items = owner.items
	}
	return page(items, req, func(i *domain.Item) domain.Item { return *i }), nil
}

// CreateItem implements [ports.ItemStore].
func (s *Store) CreateItem(ctx context.Context, by domain.Actor, i domain.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, err := s.admit(ctx, by)
	if err != nil {
		return err
	}
	i.OwnerID = by.ID
	s.items[i.ID] = &i
	owner.items.insert(&i)
	return nil
}

// UpdateItem implements [ports.ItemStore].
func (s *Store) UpdateItem(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item, version int64,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.admit(ctx, by); err != nil {
		return err
	}
	i, err := s.findItem(scope, next.ID, domain.OnlyVersions(version))
	if err != nil {
		return err
	}
	next.OwnerID, next.CreatedAt = i.OwnerID, i.CreatedAt
	*i = next
	return nil
}

// DeleteItem implements [ports.ItemStore].
func (s *Store) DeleteItem(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, id string, ifVersion domain.Versions,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.admit(ctx, by); err != nil {
		return err
	}
	i, err := s.findItem(scope, id, ifVersion)
	if err != nil {
		return err
	}
	delete(s.items, id)
	s.byID[i.OwnerID].items.remove(i)
	return nil
}

// findItem returns the item if it is in scope and ifVersion allows its Version.
func (s *Store) findItem(scope domain.ItemScope, id string, ifVersion domain.Versions) (*domain.Item, error) {
	i, ok := s.items[id]
	if !ok || !scope.Includes(i.OwnerID) {
		return nil, domain.ErrNotFound
	}
	if !ifVersion.Allow(i.Version) {
		return nil, domain.ErrStale
	}
	return i, nil
}
