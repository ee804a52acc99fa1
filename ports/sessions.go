package ports

import (
	"context"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// SessionStore keeps the sessions of accounts. See [Store] for the rules that hold for every method. The names of
// the methods that take no Actor say what they are for: they serve the holder of a refresh token.
type SessionStore interface {
	// CreateSession adds s to the sessions of by, whatever s's OwnerID and Epoch are.
	CreateSession(ctx context.Context, by domain.Actor, s domain.Session) error
	// Sessions returns a page of the actor's sessions that work at the time now.
	Sessions(
		ctx context.Context, by domain.Actor, now time.Time, page domain.PageRequest,
	) (domain.Page[domain.Session], error)
	// DeleteSession removes a session of the actor, also one that has ended. Errors: ErrNotFound, also for a
	// session of another account.
	DeleteSession(ctx context.Context, by domain.Actor, id string) error

	// SessionForRefresh returns the session with that Lookup and its account, whether it works or not. If the
	// session that the store sees has secret neither as Secret nor as Previous, or if it sees none, it looks once
	// more in a way that cannot miss what was committed before. Errors: ErrNotFound, also if the account no longer
	// exists.
	SessionForRefresh(ctx context.Context, lookup, secret string) (domain.Session, domain.User, error)
	// RefreshSession gives the session with next's ID the Secret, Previous, RefreshedAt and ExpiresAt of next, if
	// its Secret is still next's Previous, its Epoch is that of its account, and the account is active. If it has
	// these secrets already, because a concurrent refresh took effect, RefreshSession changes nothing and succeeds.
	// Errors: ErrNotFound if the session no longer exists, or no longer works because of its account; ErrStale if
	// it has other secrets.
	RefreshSession(ctx context.Context, next domain.Session) error
	// EndSessionForRefresh removes the session and reports whether it existed. If it sees none, it tries once more
	// in a way that cannot miss what was committed before.
	EndSessionForRefresh(ctx context.Context, id string) (bool, error)
}

// ClientStore keeps the clients of accounts. See [Store] for the rules that hold for every method.
type ClientStore interface {
	// CreateClient adds c to the clients of by, whatever c's OwnerID and Epoch are. Errors: ErrTooManyClients if
	// the account has MaxClients clients that work at the time c.CreatedAt, also of concurrent calls.
	CreateClient(ctx context.Context, by domain.Actor, c domain.Client) error
	// Clients returns a page of the actor's clients that work at the time now.
	Clients(
		ctx context.Context, by domain.Actor, now time.Time, page domain.PageRequest,
	) (domain.Page[domain.Client], error)
	// DeleteClient removes a client of the actor, also one that has ended. Errors: ErrNotFound, also for a client
	// of another account.
	DeleteClient(ctx context.Context, by domain.Actor, id string) error

	// ClientForSignIn returns the client and its account, whether it works or not. Errors: ErrNotFound, also if the
	// account no longer exists.
	ClientForSignIn(ctx context.Context, id string) (domain.Client, domain.User, error)
	// UseClientForSignIn sets UsedAt of the client and reports whether it did. It changes nothing if UsedAt was
	// set, or if there is no such client. Of concurrent calls, one returns true.
	UseClientForSignIn(ctx context.Context, id string, at time.Time) (bool, error)
}

// CleanupStore removes what no account needs.
type CleanupStore interface {
	// CleanUp removes the sessions and clients that do not work at the time now, also those whose account no longer
	// exists, and of each account all sessions except the newest MaxSessions. It may do nothing and return nil if
	// the work would cost money at this time, and it may leave what was created while it ran.
	CleanUp(ctx context.Context, now time.Time) error
}
