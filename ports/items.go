package ports

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// ItemStore keeps items. See [Store] for the rules that hold for every method.
type ItemStore interface {
	// Item returns the item if it is in scope. Errors: ErrNotFound, also if the owner no longer exists.
	Item(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string) (domain.Item, error)
	// Items returns a page of the items of one owner. An unknown owner has none.
	Items(
		ctx context.Context, by domain.Actor, ownerID string, page domain.PageRequest,
	) (domain.Page[domain.Item], error)
	// CreateItem adds i to the items of by, whatever i's OwnerID is.
	CreateItem(ctx context.Context, by domain.Actor, i domain.Item) error
	// UpdateItem replaces the item that has next's ID with next if it is in scope and the stored Version is
	// still version. Errors: ErrNotFound, ErrStale.
	UpdateItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item, version int64) error
	// DeleteItem removes the item if it is in scope and ifVersion allows its Version.
	// Errors: ErrNotFound, ErrStale. Of overlapping deletes at least one reports success.
	DeleteItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string, ifVersion domain.Versions) error
}
