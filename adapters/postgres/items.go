package postgres

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
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

// Item implements [ports.ItemStore].
func (s *Store) Item(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string) (domain.Item, error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Item, error) {
		return readItem(ctx, c, by, scope, id)
	})
}

var selectItem = `SELECT ` + actor + `, ` + items.List("i") + `
	FROM users a
	LEFT JOIN items i ON i.id = ?
	WHERE a.id = ?`

func readItem(ctx context.Context, c session.Conn, by domain.Actor, scope domain.ItemScope,
	id string) (domain.Item, error) {
	i, err := items.one(ctx, c, by, session.Statement{SQL: selectItem, Args: []any{key(id), key(by.ID)}})
	if err == nil && !scope.Includes(i.OwnerID) {
		return domain.Item{}, domain.ErrNotFound
	}
	return i, err
}

// Items implements [ports.ItemStore].
func (s *Store) Items(ctx context.Context, by domain.Actor, ownerID string,
	req domain.PageRequest) (domain.Page[domain.Item], error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Page[domain.Item], error) {
		return items.page(ctx, c, by, req, "owner_id = ?", key(ownerID))
	})
}

// CreateItem implements [ports.ItemStore].
func (s *Store) CreateItem(ctx context.Context, by domain.Actor, i domain.Item) error {
	i.OwnerID = by.ID
	st := items.insert(i, "FROM users\nWHERE "+isSignedIn, actorArgs(by)...)
	return s.write(ctx, statement(st), items.diagnoseCreate(by, i.ID))
}

// UpdateItem implements [ports.ItemStore].
func (s *Store) UpdateItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item,
	version int64) error {
	ifVersion := domain.OnlyVersions(version)
	st := changeItem(items.update(next), by, scope, ifVersion)
	return s.write(ctx, statement(st), diagnoseItem(by, scope, next.ID, ifVersion))
}

// DeleteItem implements [ports.ItemStore].
func (s *Store) DeleteItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string,
	ifVersion domain.Versions) error {
	st := session.Statement{SQL: "DELETE FROM items\nWHERE id = ?", Args: []any{key(id)}}
	st = changeItem(st, by, scope, ifVersion)
	return s.write(ctx, statement(st), diagnoseItem(by, scope, id, ifVersion))
}

// changeItem adds the conditions of a change: the actor is signed in, and the item is in scope and has a version that
// ifVersion allows.
func changeItem(st session.Statement, by domain.Actor, scope domain.ItemScope,
	ifVersion domain.Versions) session.Statement {
	st = andVersion(st, ifVersion)
	if owner, all := scope.Owner(); !all {
		st = st.And("owner_id = ?", key(owner))
	}
	return st.And(signedIn, actorArgs(by)...)
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
