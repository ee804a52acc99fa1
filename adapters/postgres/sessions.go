package postgres

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var sessions = newTable("sessions",
	sqltable.Plain("id", func(e *domain.Session) *string { return &e.ID }),
	sqltable.Plain("owner_id", func(e *domain.Session) *string { return &e.OwnerID }),
	sqltable.Plain("epoch", func(e *domain.Session) *int64 { return &e.Epoch }),
	sqltable.Plain("kind", func(e *domain.Session) *domain.SessionKind { return &e.Kind }),
	sqltable.Plain("lookup_hash", func(e *domain.Session) *string { return &e.Lookup }),
	sqltable.Plain("secret_hash", func(e *domain.Session) *string { return &e.Secret }).Updatable(),
	sqltable.Plain("previous_hash", func(e *domain.Session) *string { return &e.Previous }).Updatable(),
	sqltable.Plain("seed", func(e *domain.Session) *string { return &e.Seed }),
	sqltable.Plain("user_agent", func(e *domain.Session) *string { return &e.UserAgent }),
	sqltable.Timestamp("created_at", func(e *domain.Session) *time.Time { return &e.CreatedAt }),
	sqltable.Timestamp("refreshed_at", func(e *domain.Session) *time.Time { return &e.RefreshedAt }).Updatable(),
	sqltable.Timestamp("expires_at", func(e *domain.Session) *time.Time { return &e.ExpiresAt }).Updatable(),
)

// CreateSession implements [ports.SessionStore].
func (s *Store) CreateSession(ctx context.Context, by domain.Actor, e domain.Session) error {
	e.OwnerID, e.Epoch = by.ID, by.Epoch
	st := sessions.insert(e, "FROM users\nWHERE "+isSignedIn, actorArgs(by)...)
	return s.write(ctx, statement(st), sessions.diagnoseCreate(by, e.ID))
}

// Sessions implements [ports.SessionStore].
func (s *Store) Sessions(ctx context.Context, by domain.Actor, now time.Time,
	req domain.PageRequest) (domain.Page[domain.Session], error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Page[domain.Session], error) {
		return sessions.page(ctx, c, by, req, works, worksArgs(by, now)...)
	})
}

// DeleteSession implements [ports.SessionStore].
func (s *Store) DeleteSession(ctx context.Context, by domain.Actor, id string) error {
	return s.write(ctx, statement(sessions.deleteOwn(by, id)), sessions.diagnoseOwn(by, id))
}

// SessionForRefresh implements [ports.SessionStore]. A statement sees all that was committed before it, so that it
// cannot miss a row or a secret.
func (s *Store) SessionForRefresh(ctx context.Context, lookup, _ string) (domain.Session, domain.User, error) {
	return readWithOwner(ctx, s, sessions, "e.lookup_hash = ?", lookup)
}

// RefreshSession implements [ports.SessionStore].
func (s *Store) RefreshSession(ctx context.Context, next domain.Session) error {
	st := sessions.update(next).
		And("secret_hash = ?", next.Previous).
		And("EXISTS (SELECT FROM users u WHERE u.id = sessions.owner_id AND u.is_active AND u.epoch = sessions.epoch)")
	return s.write(ctx, statement(st), func(ctx context.Context, c session.Conn) error {
		current, owner, err := oneWithOwner(ctx, c, sessions, "e.id = ?", next.ID)
		switch {
		case err != nil:
			return err
		case !owner.Active || owner.Epoch != current.Epoch:
			return domain.ErrNotFound
		case current.Secret == next.Secret && current.Previous == next.Previous:
			return errDone // a concurrent refresh took effect
		case current.Secret != next.Previous:
			return domain.ErrStale
		}
		return nil
	})
}

// EndSessionForRefresh implements [ports.SessionStore].
func (s *Store) EndSessionForRefresh(ctx context.Context, id string) (bool, error) {
	st := session.Statement{SQL: "DELETE FROM sessions\nWHERE id = ?", Args: []any{key(id)}}
	return s.changed(ctx, st)
}
