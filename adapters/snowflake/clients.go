package snowflake

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/sqltable"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var clients = newTable("clients",
	sqltable.Plain("id", func(c *domain.Client) *string { return &c.ID }),
	sqltable.Plain("owner_id", func(c *domain.Client) *string { return &c.OwnerID }),
	sqltable.Plain("epoch", func(c *domain.Client) *int64 { return &c.Epoch }),
	sqltable.Plain("secret_hash", func(c *domain.Client) *string { return &c.Secret }),
	sqltable.Parsed("name", func(c *domain.Client) *domain.ClientName { return &c.Name }, domain.ParseClientName),
	sqltable.Plain("read_only", func(c *domain.Client) *bool { return &c.ReadOnly }),
	sqltable.Timestamp("created_at", func(c *domain.Client) *time.Time { return &c.CreatedAt }),
	sqltable.Timestamp("expires_at", func(c *domain.Client) *time.Time { return &c.ExpiresAt }),
	sqltable.OptionalTimestamp("used_at", func(c *domain.Client) *domain.Optional[time.Time] { return &c.UsedAt }),
)

// CreateClient implements [ports.ClientStore]. Its limit depends on other rows.
func (s *Store) CreateClient(ctx context.Context, by domain.Actor, client domain.Client) error {
	const working = "(SELECT COUNT(*) FROM clients WHERE " + isWorking + ")"
	client.OwnerID, client.Epoch = by.ID, by.Epoch
	args := workingArgs(by, client.CreatedAt)
	st := clients.insert(client, "FROM users\nWHERE "+isSignedIn, actorArgs(by)...).
		And(working+" < ?", append(args, domain.MaxClients)...)
	return s.writeAccount(ctx, true, st, nil, func(ctx context.Context, c session.Conn) error {
		st := session.Statement{
			SQL: `WITH ` + actorRow + `
				SELECT actor.epoch, actor.is_active, ` + working + `
				FROM actor`,
			Args: append([]any{by.ID}, args...),
		}
		var n int
		err := queryAs(ctx, c, by, st, func(scan func(...any) error) error { return scan(&n) })
		if err == nil && n >= domain.MaxClients {
			err = domain.ErrTooManyClients
		}
		return err
	})
}

// Clients implements [ports.ClientStore].
func (s *Store) Clients(
	ctx context.Context, by domain.Actor, now time.Time, req domain.PageRequest,
) (domain.Page[domain.Client], error) {
	return listWorking(ctx, s, clients, by, now, req)
}

// DeleteClient implements [ports.ClientStore].
func (s *Store) DeleteClient(ctx context.Context, by domain.Actor, id string) error {
	return deleteCredential(ctx, s, clients, by, id)
}

// ClientForSignIn implements [ports.ClientStore].
func (s *Store) ClientForSignIn(ctx context.Context, id string) (domain.Client, domain.User, error) {
	return findCredential(ctx, s, clients, "id", id, func(c domain.Client, u domain.User) bool {
		return u.Epoch < c.Epoch
	})
}

// UseClientForSignIn implements [ports.ClientStore].
func (s *Store) UseClientForSignIn(ctx context.Context, id string, at time.Time) (bool, error) {
	st := session.Statement{
		SQL: `UPDATE clients
			SET used_at = ?
			WHERE id = ?
			AND used_at IS NULL`,
		Args: []any{at, id},
	}
	return s.changed(ctx, clients.Name, st, domain.ErrNotFound)
}
