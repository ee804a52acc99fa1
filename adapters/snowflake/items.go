package snowflake

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

const (
	itemColumns = "id, owner_id, title, description, version, created_at, updated_at"

	// An item whose owner is gone does not exist any more, whatever is in the table.
	ownedItems = "SELECT i.id, i.owner_id, i.title, i.description, i.version, i.created_at, i.updated_at" +
		" FROM items i JOIN users o ON o.id = i.owner_id"
	hasOwner = "owner_id IN (SELECT id FROM users)"
)

// Item implements [ports.Store].
func (s *Store) Item(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string) (domain.Item, error) {
	return run(ctx, s, abandonedRead, func(ctx context.Context, db *sql.DB) (domain.Item, error) {
		return itemOf(ctx, db, by, scope, id)
	})
}

func itemOf(ctx context.Context, q querier, by domain.Actor, scope domain.ItemScope, id string) (domain.Item, error) {
	st := statement{withMe + ", found AS (" + ownedItems + " WHERE i.id = ?)" +
		" SELECT me.epoch, me.is_active, found.id, found.owner_id, found.title, found.description, found.version, found.created_at, found.updated_at" +
		" FROM me LEFT JOIN found ON TRUE", []any{by.ID, id}}
	i, err := one(ctx, q, by, st, (*itemRow).columns, (*itemRow).item)
	if err == nil && !scope.Includes(i.OwnerID) {
		err = domain.ErrNotFound
	}
	return i, err
}

// Items implements [ports.Store].
func (s *Store) Items(ctx context.Context, by domain.Actor, ownerID string, req domain.PageRequest) (domain.Page[domain.Item], error) {
	return run(ctx, s, abandonedRead, func(ctx context.Context, db *sql.DB) (domain.Page[domain.Item], error) {
		list := statement{ownedItems + " WHERE i.owner_id = ?", []any{ownerID}}
		return page(ctx, db, by, list, itemColumns, req, (*itemRow).columns, (*itemRow).item)
	})
}

// CreateItem implements [ports.Store].
func (s *Store) CreateItem(ctx context.Context, by domain.Actor, i domain.Item) error {
	st := statement{"INSERT INTO items (" + itemColumns + ")" +
		" SELECT ?, u.id, ?, ?, ?, ?, ? FROM users u WHERE u.id = ? AND u.is_active AND u.epoch = ?",
		append([]any{i.ID, i.Title.String(), nullable(i.Description), i.Version, i.CreatedAt, i.UpdatedAt}, asArgs(by)...)}.
		and("(SELECT COUNT(*) FROM items WHERE id = ?) = 0", i.ID) // ids are in the order of time, so this reads little
	return s.write(ctx, st, func(ctx context.Context, q querier) error {
		_, err := itemOf(ctx, q, by, domain.OwnedBy(by.ID), i.ID)
		switch {
		case err == nil:
			return errDone // our own id: an earlier try of this same statement took effect
		case errors.Is(err, domain.ErrNotFound):
			return nil
		}
		return err
	})
}

// UpdateItem implements [ports.Store].
func (s *Store) UpdateItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item, read int64) error {
	st := statement{"UPDATE items SET title = ?, description = ?, version = ?, updated_at = ? WHERE id = ? AND version = ?",
		[]any{next.Title.String(), nullable(next.Description), next.Version, next.UpdatedAt, next.ID, read}}
	return s.write(ctx, within(st, scope).and(signedIn, asArgs(by)...), whyNoItem(by, scope, next.ID, domain.OnlyVersions(read)))
}

// DeleteItem implements [ports.Store].
func (s *Store) DeleteItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string, ifVersion domain.Versions) error {
	st := ofVersion(statement{"DELETE FROM items WHERE id = ?", []any{id}}, ifVersion)
	return s.write(ctx, within(st, scope).and(signedIn, asArgs(by)...), whyNoItem(by, scope, id, ifVersion))
}

// within confines a statement to the items in scope.
func within(st statement, scope domain.ItemScope) statement {
	if owner, all := scope.Owner(); !all {
		st = st.and("owner_id = ?", owner)
	}
	return st.and(hasOwner)
}

// ofVersion adds the condition that ifVersion allows the row's version.
func ofVersion(st statement, ifVersion domain.Versions) statement {
	allowed, limited := ifVersion.Limit()
	switch {
	case !limited:
		return st
	case len(allowed) == 0:
		return st.and("FALSE")
	}
	args := make([]any, len(allowed))
	for i, v := range allowed {
		args[i] = v
	}
	return st.and("version IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
}

// whyNoItem diagnoses why a change of an item touched none.
func whyNoItem(by domain.Actor, scope domain.ItemScope, id string, ifVersion domain.Versions) func(context.Context, querier) error {
	return func(ctx context.Context, q querier) error {
		i, err := itemOf(ctx, q, by, scope, id)
		if err == nil && !ifVersion.Allow(i.Version) {
			err = domain.ErrStale
		}
		return err
	}
}

// itemRow is a row as it comes: all columns are NULL where a join found nothing.
type itemRow struct {
	id, ownerID, title, description sql.NullString
	version                         sql.NullInt64
	createdAt, updatedAt            sql.NullTime
}

func (r *itemRow) columns() []any {
	return []any{&r.id, &r.ownerID, &r.title, &r.description, &r.version, &r.createdAt, &r.updatedAt}
}

// item reports whether there is one at all.
func (r *itemRow) item() (domain.Item, bool, error) {
	title, titleErr := domain.ParseTitle(r.title.String)
	description, descriptionErr := optional(r.description, domain.ParseDescription)
	return domain.Item{
		ID: r.id.String, OwnerID: r.ownerID.String, Title: title, Description: description,
		Version: r.version.Int64, CreatedAt: r.createdAt.Time.UTC(), UpdatedAt: r.updatedAt.Time.UTC(),
	}, r.id.Valid, errors.Join(titleErr, descriptionErr)
}
