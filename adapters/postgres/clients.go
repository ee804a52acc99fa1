package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var clients = newTable("clients",
	sqltable.Plain("id", func(e *domain.Client) *string { return &e.ID }),
	sqltable.Plain("owner_id", func(e *domain.Client) *string { return &e.OwnerID }),
	sqltable.Plain("epoch", func(e *domain.Client) *int64 { return &e.Epoch }),
	sqltable.Plain("secret_hash", func(e *domain.Client) *string { return &e.Secret }),
	sqltable.Parsed("name", func(e *domain.Client) *domain.ClientName { return &e.Name }, domain.ParseClientName),
	sqltable.Plain("read_only", func(e *domain.Client) *bool { return &e.ReadOnly }),
	sqltable.Timestamp("expires_at", func(e *domain.Client) *time.Time { return &e.ExpiresAt }),
	sqltable.Timestamp("created_at", func(e *domain.Client) *time.Time { return &e.CreatedAt }),
	sqltable.OptionalTimestamp("used_at", func(e *domain.Client) *domain.Optional[time.Time] { return &e.UsedAt }),
)

const countWorkingClients = "(SELECT count(*) FROM clients WHERE " + works + ")"

// CreateClient implements [ports.ClientStore]. It holds the lock of the account, so that each of concurrent calls
// counts the clients that those before it created. It takes no other lock, and so cannot deadlock.
func (s *Store) CreateClient(ctx context.Context, by domain.Actor, e domain.Client) error {
	e.OwnerID, e.Epoch = by.ID, by.Epoch
	lock := session.Statement{SQL: "SELECT id FROM users WHERE id = ? FOR NO KEY UPDATE", Args: []any{key(by.ID)}}
	st := clients.insert(e, "FROM users\nWHERE "+isSignedIn, actorArgs(by)...).
		And(countWorkingClients+" < ?", append(worksArgs(by, e.CreatedAt), domain.MaxClients)...)
	return s.write(ctx, under(lock, st), func(ctx context.Context, c session.Conn) error {
		var working int
		_, err := clients.one(ctx, c, by, session.Statement{
			SQL: `SELECT ` + actor + `, ` + countWorkingClients + `, ` + clients.List("e") + `
				FROM users a
				LEFT JOIN clients e ON e.id = ? AND e.owner_id = a.id
				WHERE a.id = ?`,
			Args: append(worksArgs(by, e.CreatedAt), key(e.ID), key(by.ID)),
		}, &working)
		switch {
		case err == nil:
			return errDone // its id is new: an earlier try of this statement took effect
		case !errors.Is(err, domain.ErrNotFound):
			return err
		case working >= domain.MaxClients:
			return domain.ErrTooManyClients
		}
		return nil
	})
}

// Clients implements [ports.ClientStore].
func (s *Store) Clients(ctx context.Context, by domain.Actor, now time.Time,
	req domain.PageRequest) (domain.Page[domain.Client], error) {
	return session.Read(ctx, s.db, func(ctx context.Context, c session.Conn) (domain.Page[domain.Client], error) {
		return clients.page(ctx, c, by, req, works, worksArgs(by, now)...)
	})
}

// DeleteClient implements [ports.ClientStore].
func (s *Store) DeleteClient(ctx context.Context, by domain.Actor, id string) error {
	return s.write(ctx, statement(clients.deleteOwn(by, id)), clients.diagnoseOwn(by, id))
}

// ClientForSignIn implements [ports.ClientStore].
func (s *Store) ClientForSignIn(ctx context.Context, id string) (domain.Client, domain.User, error) {
	return readWithOwner(ctx, s, clients, "e.id = ?", id)
}

// UseClientForSignIn implements [ports.ClientStore].
func (s *Store) UseClientForSignIn(ctx context.Context, id string, at time.Time) (bool, error) {
	return s.changed(ctx, session.Statement{
		SQL: `UPDATE clients
			SET used_at = ?
			WHERE id = ?
			AND used_at IS NULL`,
		Args: []any{at, key(id)},
	})
}
