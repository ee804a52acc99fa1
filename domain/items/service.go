// Package items holds the use cases of items. It decides which items an actor may reach. A port hides how
// they are kept.
package items

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Service implements [ports.Items]. All fields are required.
type Service struct {
	Store ports.ItemStore
	Audit func(context.Context, domain.Event)
	NewID func() string    // a UUIDv7
	Now   func() time.Time // UTC, in whole microseconds
}

var _ ports.Items = (*Service)(nil)

// List implements [ports.Items].
func (s *Service) List(
	ctx context.Context, by domain.Actor, page domain.PageRequest,
) (domain.Page[domain.Item], error) {
	return s.Store.Items(ctx, by, by.ID, page)
}

// Create implements [ports.Items].
func (s *Service) Create(ctx context.Context, by domain.Actor, in domain.ItemContent) (domain.Item, error) {
	now := s.Now()
	i := domain.Item{
		ID: s.NewID(), OwnerID: by.ID, ItemContent: in,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if err := s.Store.CreateItem(ctx, by, i); err != nil {
		return domain.Item{}, err
	}
	return i, nil
}

// Get implements [ports.Items].
func (s *Service) Get(ctx context.Context, by domain.Actor, id string) (domain.Item, error) {
	i, err := s.Store.Item(ctx, by, scopeOf(by), id)
	if err == nil {
		s.audit(ctx, by, domain.EventItemRead, i)
	}
	return i, err
}

// Update implements [ports.Items]. It reads the item, applies the patch, and writes the result back for the
// Version that it read. If a concurrent change came between, it repeats all three, unless ifVersion limits
// the Versions that the patch is meant for.
func (s *Service) Update(
	ctx context.Context, by domain.Actor, id string, p domain.ItemPatch, ifVersion domain.Versions,
) (domain.Item, error) {
	var result domain.Item
	event := domain.EventItemRead // also if the patch makes no difference
	attempt := func() error {
		old, err := s.Store.Item(ctx, by, scopeOf(by), id)
		if err != nil {
			return err
		}
		if !ifVersion.Allow(old.Version) {
			return domain.ErrStale
		}
		next, differs := old.Revise(p.ApplyTo(old), s.Now())
		if differs {
			if err := s.Store.UpdateItem(ctx, by, scopeOf(by), next, old.Version); err != nil {
				return err
			}
			event = domain.EventItemChanged
		}
		result = next
		return nil
	}
	err := domain.RetryUnlessVersioned(ctx, ifVersion, attempt)
	if err == nil {
		s.audit(ctx, by, event, result)
	}
	return result, err
}

// Delete implements [ports.Items].
func (s *Service) Delete(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	var i domain.Item
	if by.Superuser { // the audit log names the owner
		var err error
		if i, err = s.Store.Item(ctx, by, scopeOf(by), id); err != nil {
			return err
		}
	}
	if err := s.Store.DeleteItem(ctx, by, scopeOf(by), id, ifVersion); err != nil {
		return err
	}
	if by.Superuser {
		s.audit(ctx, by, domain.EventItemDeleted, i)
	}
	return nil
}

// audit records that the actor did what the event says to an item, if the item belongs to another account.
func (s *Service) audit(ctx context.Context, by domain.Actor, event string, i domain.Item) {
	if i.OwnerID != by.ID {
		s.Audit(ctx, domain.Event{
			Name: event, ActorID: by.ID, SubjectID: i.OwnerID, ObjectID: i.ID, Source: by.Source,
		})
	}
}

// scopeOf returns which items an actor may reach: its own, and for a superuser all.
func scopeOf(by domain.Actor) domain.ItemScope {
	if by.Superuser {
		return domain.AllItems()
	}
	return domain.OwnedBy(by.ID)
}
