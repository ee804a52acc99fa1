package snowflake

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var sessions = newTable("sessions",
	sqltable.Plain("id", func(e *domain.Session) *string { return &e.ID }),
	sqltable.Plain("owner_id", func(e *domain.Session) *string { return &e.OwnerID }),
	sqltable.Plain("epoch", func(e *domain.Session) *int64 { return &e.Epoch }),
	sqltable.Plain("kind", func(e *domain.Session) *string { return (*string)(&e.Kind) }),
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
	return add(ctx, s, sessions, by, e.ID, e)
}

// Sessions implements [ports.SessionStore].
func (s *Store) Sessions(
	ctx context.Context, by domain.Actor, now time.Time, req domain.PageRequest,
) (domain.Page[domain.Session], error) {
	return listWorking(ctx, s, sessions, by, now, req)
}

// DeleteSession implements [ports.SessionStore].
func (s *Store) DeleteSession(ctx context.Context, by domain.Actor, id string) error {
	return deleteCredential(ctx, s, sessions, by, id)
}

// SessionForRefresh implements [ports.SessionStore].
func (s *Store) SessionForRefresh(ctx context.Context, lookup, secret string) (domain.Session, domain.User, error) {
	return findCredential(ctx, s, sessions, "lookup_hash", lookup, func(e domain.Session, u domain.User) bool {
		// A refresh that this session does not see may have made the secret, and a sign-out the epoch.
		return e.Secret != secret && e.Previous != secret || u.Epoch < e.Epoch
	})
}

// RefreshSession implements [ports.SessionStore].
func (s *Store) RefreshSession(ctx context.Context, next domain.Session) error {
	const ofThisEpoch = `epoch = (
		SELECT u.epoch
		FROM sessions t
		JOIN users u ON u.id = t.owner_id
		WHERE t.id = ? AND u.is_active)`
	st := sessions.update(next).And("secret_hash = ?", next.Previous).And(ofThisEpoch, next.ID)
	return s.change(ctx, sessions.Name, st, func(ctx context.Context, c session.Conn) error {
		e, u, err := sessions.withAccount(ctx, c, "id", next.ID)
		switch {
		case err != nil:
			return err
		case !u.Active || u.Epoch != e.Epoch:
			return maybeBehind{domain.ErrNotFound}
		case e.Secret == next.Secret && e.Previous == next.Previous:
			return errDone // a concurrent refresh took effect, or an earlier try of this statement
		}
		return maybeBehind{domain.ErrStale}
	})
}

// EndSessionForRefresh implements [ports.SessionStore].
func (s *Store) EndSessionForRefresh(ctx context.Context, id string) (bool, error) {
	st := session.Statement{SQL: "DELETE FROM sessions\nWHERE id = ?", Args: []any{id}}
	return s.changed(ctx, sessions.Name, st, maybeBehind{domain.ErrNotFound})
}
