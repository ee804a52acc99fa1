package users

import (
	"context"
	"fmt"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Operator holds the use cases of the operator of an installation. They need no actor, for two reasons: a
// new installation has no account that could sign in, and the operator must be able to help when no
// superuser can sign in. All fields are required.
type Operator struct {
	Accounts ports.SignInStore
	Store    ports.OperatorStore
	Hasher   ports.PasswordHasher
	Audit    func(context.Context, domain.Event)
	NewID    func() string    // a UUIDv7
	Now      func() time.Time // UTC, in whole microseconds
}

// operatorWork does not wait for clients.
var operatorWork = domain.Work{Authenticated: true}

// EnsureFirstSuperuser creates the first superuser of an installation and reports whether it did. It does
// nothing if the installation ever had one, even if that account was renamed or deleted since. It calls
// password, and hashes the result, only if there was no first superuser yet, so that a password that is
// no longer used need not be valid. The result is not a [domain.Password], because the configuration may
// allow a default that no account may choose. If it is empty, the account has no password.
func (o *Operator) EnsureFirstSuperuser(
	ctx context.Context, email domain.Email, snowflakeUser domain.Optional[domain.SnowflakeUser],
	password func() (string, error),
) (bool, error) {
	if had, err := o.Store.HadFirstSuperuser(ctx); err != nil || had {
		return false, err
	}
	initial, err := password()
	if err != nil {
		return false, err
	}
	u, err := o.newSuperuser(ctx, email, initial)
	if err != nil {
		return false, err
	}
	u.SnowflakeUser = snowflakeUser
	created, err := o.Store.CreateFirstSuperuser(ctx, u)
	if !created {
		return false, err
	}
	o.Audit(ctx, domain.Event{Name: domain.EventFirstSuperuserCreated, SubjectID: u.ID})
	if _, linked := snowflakeUser.Get(); linked {
		o.Audit(ctx, domain.Event{Name: domain.EventSnowflakeUserChanged, SubjectID: u.ID})
	}
	return true, err
}

// CreateSuperuser adds a superuser. Errors: ErrEmailTaken.
func (o *Operator) CreateSuperuser(
	ctx context.Context, email domain.Email, password domain.Password,
) (domain.User, error) {
	u, err := o.newSuperuser(ctx, email, password.Reveal())
	if err != nil {
		return domain.User{}, err
	}
	if err := o.Store.CreateSuperuserForOperator(ctx, u); err != nil {
		return domain.User{}, err
	}
	o.Audit(ctx, domain.Event{Name: domain.EventUserCreated, SubjectID: u.ID})
	return u, nil
}

// ResetPassword gives a superuser a new password and ends all tokens of the account.
// Errors: ErrNotFound, also if the account is not a superuser.
func (o *Operator) ResetPassword(ctx context.Context, email domain.Email, password domain.Password) error {
	hash, err := o.Hasher.Hash(ctx, operatorWork, password.Reveal())
	if err != nil {
		return err
	}
	return o.update(ctx, email, domain.EventPasswordChanged, func(u *domain.User) { u.PasswordHash = hash })
}

// LinkSnowflakeUser makes a user in Snowflake the one that signs in to the account of a superuser. Errors: ErrNotFound,
// also if the account is not a superuser; ErrSnowflakeUserTaken.
func (o *Operator) LinkSnowflakeUser(ctx context.Context, email domain.Email, user domain.SnowflakeUser) error {
	return o.update(ctx, email, domain.EventSnowflakeUserChanged, func(u *domain.User) {
		u.SnowflakeUser = domain.Some(user)
	})
}

// update changes the account of a superuser and records event.
func (o *Operator) update(ctx context.Context, email domain.Email, event string, change func(*domain.User)) error {
	return domain.RetryStale(ctx, func() error {
		old, err := o.Accounts.UserForSignIn(ctx, email)
		if err != nil {
			return err
		}
		if !old.Superuser {
			return fmt.Errorf("%w: the account is not a superuser", domain.ErrNotFound)
		}
		next := old
		change(&next)
		next, differs := old.Revise(next, o.Now())
		if !differs {
			return nil
		}
		if err := o.Store.UpdateUserForOperator(ctx, next, old.Version); err != nil {
			return err
		}
		o.Audit(ctx, domain.Event{Name: event, SubjectID: next.ID})
		return nil
	})
}

// newSuperuser returns a new superuser, without a password if that is empty.
func (o *Operator) newSuperuser(ctx context.Context, email domain.Email, password string) (domain.User, error) {
	var hash string
	if password != "" {
		var err error
		if hash, err = o.Hasher.Hash(ctx, operatorWork, password); err != nil {
			return domain.User{}, err
		}
	}
	u := newUser(o.NewID(), o.Now(), email, hash)
	u.Superuser = true
	return u, nil
}
