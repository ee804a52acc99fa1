package ports

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// UserStore keeps accounts. See [Store] for the rules that hold for every method.
type UserStore interface {
	// User returns the account. Errors: ErrNotFound.
	User(ctx context.Context, by domain.Actor, id string) (domain.User, error)
	// Users returns a page of all accounts. It leaves PasswordHash empty.
	Users(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.User], error)
	// CreateUser adds u. Errors: ErrEmailTaken, ErrSnowflakeUserTaken. Of concurrent calls with one e-mail or one
	// SnowflakeUser, one succeeds.
	CreateUser(ctx context.Context, by domain.Actor, u domain.User) error
	// UpdateUser replaces old, the account as it was read, with next if the stored Version is still that
	// of old. It needs all of old: the differences decide which rules across accounts apply.
	// Errors: ErrNotFound; ErrStale; ErrEmailTaken; ErrSnowflakeUserTaken; ErrLastSuperuser if no active
	// superuser would remain.
	UpdateUser(ctx context.Context, by domain.Actor, next, old domain.User) error
	// DeleteUser removes the account, its items and its credentials if ifVersion allows its Version.
	// Errors: ErrNotFound; ErrStale; ErrLastSuperuser if no active superuser would remain. Of
	// overlapping deletes at least one reports success.
	DeleteUser(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error
}
