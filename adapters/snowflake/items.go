package snowflake

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var items = newTable("items",
	sqltable.Plain("id", func(i *domain.Item) *string { return &i.ID }),
	sqltable.Plain("owner_id", func(i *domain.Item) *string { return &i.OwnerID }),
	sqltable.Parsed("title", func(i *domain.Item) *domain.Title { return &i.Title }, domain.ParseTitle).Updatable(),
	sqltable.Optional("description",
		func(i *domain.Item) *domain.Optional[domain.Description] { return &i.Description },
		domain.ParseDescription).Updatable(),
	sqltable.Plain("version", func(i *domain.Item) *int64 { return &i.Version }).Updatable(),
	sqltable.Timestamp("created_at", func(i *domain.Item) *time.Time { return &i.CreatedAt }),
	sqltable.Timestamp("updated_at", func(i *domain.Item) *time.Time { return &i.UpdatedAt }).Updatable(),
)

// An item whose owner is gone does not exist any more, even if its row is still in the table.
var (
	ownedItems = `SELECT ` + items.List("i") + `
		FROM items i
		JOIN users o ON o.id = i.owner_id`
	hasOwner = "owner_id IN (SELECT id FROM users)"
)

// Item implements [ports.ItemStore].
func (s *Store) Item(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string) (domain.Item, error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Item, error) {
		return readItem(ctx, c, by, scope, id)
	})
}

func readItem(ctx context.Context, c session.Conn, by domain.Actor, scope domain.ItemScope,
	id string) (domain.Item, error) {
	i, err := items.one(ctx, c, by, session.Statement{SQL: ownedItems + "\nWHERE i.id = ?", Args: []any{id}})
	if err == nil && !scope.Includes(i.OwnerID) {
		return domain.Item{}, domain.ErrNotFound
	}
	return i, err
}

// Items implements [ports.ItemStore].
func (s *Store) Items(ctx context.Context, by domain.Actor, ownerID string,
	req domain.PageRequest) (domain.Page[domain.Item], error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Page[domain.Item], error) {
		rows := session.Statement{SQL: ownedItems + "\nWHERE i.owner_id = ?", Args: []any{ownerID}}
		return items.page(ctx, c, by, rows, req)
	})
}

// CreateItem implements [ports.ItemStore].
func (s *Store) CreateItem(ctx context.Context, by domain.Actor, i domain.Item) error {
	i.OwnerID = by.ID
	return add(ctx, s, items, by, i.ID, i)
}

// UpdateItem implements [ports.ItemStore].
func (s *Store) UpdateItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item,
	version int64) error {
	ifVersion := domain.OnlyVersions(version)
	st := changeItem(items.update(next), by, scope, ifVersion)
	return s.change(ctx, items.Name, st, diagnoseItem(by, scope, next.ID, ifVersion))
}

// DeleteItem implements [ports.ItemStore].
func (s *Store) DeleteItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string,
	ifVersion domain.Versions) error {
	st := session.Statement{SQL: "DELETE FROM items\nWHERE id = ?", Args: []any{id}}
	return s.change(ctx, items.Name, changeItem(st, by, scope, ifVersion), diagnoseItem(by, scope, id, ifVersion))
}

// changeItem adds the conditions of a change: the actor is signed in, and the item is in scope, has an
// owner and a version that ifVersion allows.
func changeItem(st session.Statement, by domain.Actor, scope domain.ItemScope,
	ifVersion domain.Versions) session.Statement {
	st = andVersion(st, ifVersion)
	if owner, all := scope.Owner(); !all {
		st = st.And("owner_id = ?", owner)
	}
	return st.And(hasOwner).And(signedIn, actorArgs(by)...)
}

// diagnoseItem finds out why a change of an item touched no row.
func diagnoseItem(by domain.Actor, scope domain.ItemScope, id string, ifVersion domain.Versions) diagnosis {
	return func(ctx context.Context, c session.Conn) error {
		i, err := readItem(ctx, c, by, scope, id)
		if err == nil && !ifVersion.Allow(i.Version) {
			err = domain.ErrStale
		}
		return err
	}
}
