package users

import (
	"context"
	"fmt"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Operator holds the use cases of the operator of an installation. They act for no account: an
// installation needs a first superuser before anyone can sign in, and the operator must be able to help
// when no superuser can. All fields are required.
type Operator struct {
	Accounts ports.SignInStore
	Store    ports.OperatorStore
	Hasher   ports.PasswordHasher
	Audit    func(context.Context, domain.Event)
	NewID    func() string    // a UUIDv7
	Now      func() time.Time // UTC, in whole microseconds
}

// EnsureFirstSuperuser creates the first superuser of an installation and reports whether it did. The
// store remembers that there was one, so that it does not come back after a rename or a deletion.
// password is called only if there was none: a password that is not used any more need not be valid.
// It returns a text because the configuration may allow a default that no account could choose.
func (o *Operator) EnsureFirstSuperuser(
	ctx context.Context, email domain.Email, password func() (string, error),
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
	created, err := o.Store.CreateFirstSuperuser(ctx, u)
	if created {
		o.Audit(ctx, domain.Event{Name: domain.EventFirstSuperuserCreated, SubjectID: u.ID})
	}
	return created, err
}

// CreateSuperuser adds a superuser. Errors: ErrEmailTaken.
func (o *Operator) CreateSuperuser(ctx context.Context, email domain.Email, password domain.Password) (domain.User, error) {
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
	hash, err := o.Hasher.Hash(ctx, password.Reveal())
	if err != nil {
		return err
	}
	return domain.RetryStale(ctx, func() error {
		read, err := o.Accounts.UserForSignIn(ctx, email)
		if err != nil {
			return err
		}
		if !read.Superuser {
			return fmt.Errorf("%w: the account is not a superuser", domain.ErrNotFound)
		}
		next := read
		next.PasswordHash = hash
		next, _ = read.Revise(next, o.Now())
		if err := o.Store.ResetPasswordForOperator(ctx, next, read.Version); err != nil {
			return err
		}
		o.Audit(ctx, domain.Event{Name: domain.EventPasswordChanged, SubjectID: next.ID})
		return nil
	})
}

func (o *Operator) newSuperuser(ctx context.Context, email domain.Email, password string) (domain.User, error) {
	hash, err := o.Hasher.Hash(ctx, password)
	if err != nil {
		return domain.User{}, err
	}
	u := newUser(o.NewID(), o.Now(), email, hash)
	u.Superuser = true
	return u, nil
}
