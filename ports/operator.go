package ports

import (
	"context"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// OperatorStore is the part of a store that serves the operator of an installation: its first start,
// and help when no superuser can sign in. Its methods take no Actor, and their names say so. See
// [Store] for the rules that hold for every method.
type OperatorStore interface {
	// HadFirstSuperuser reports whether CreateFirstSuperuser or CreateSuperuserForOperator ever
	// succeeded in this installation.
	HadFirstSuperuser(ctx context.Context) (bool, error)
	// CreateFirstSuperuser adds u once in the life of an installation. If HadFirstSuperuser is true it
	// changes nothing and returns false, even if that account was renamed or deleted since. Of
	// concurrent calls, one returns true. Errors: ErrEmailTaken, ErrSnowflakeUserTaken. There can be
	// accounts before: those of CreateUserForSnowflakeSignIn.
	CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error)
	// CreateSuperuserForOperator adds u. Errors: ErrEmailTaken, ErrSnowflakeUserTaken.
	CreateSuperuserForOperator(ctx context.Context, u domain.User) error
	// UpdateUserForOperator gives the account with next's ID the PasswordHash, SnowflakeUser, Version, Epoch and
	// UpdatedAt of next if its Version is still version. Errors: ErrNotFound, ErrStale, ErrSnowflakeUserTaken.
	UpdateUserForOperator(ctx context.Context, next domain.User, version int64) error
}
