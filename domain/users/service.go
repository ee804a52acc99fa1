// Package users holds the use cases of accounts: an account changes itself, a superuser changes all
// accounts, and the operator of the installation creates superusers and resets their passwords
// (operator.go). It decides which actor may do what. Ports hide how accounts are kept and passwords hashed.
package users

import (
	"context"
	"errors"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// Service implements [ports.Users]. All fields are required.
type Service struct {
	Store            ports.UserStore
	Hasher           ports.PasswordHasher
	EmailAttempts    ports.AttemptLimiter // refusals with ErrEmailTaken, per account
	PasswordAttempts ports.AttemptLimiter // wrong current passwords, per session and source
	ServiceName      string               // no password may be little more than this
	Audit            func(context.Context, domain.Event)
	NewID            func() string    // a UUIDv7
	Now              func() time.Time // UTC, in whole microseconds
}

var _ ports.Users = (*Service)(nil)

// Self implements [ports.Users].
func (s *Service) Self(ctx context.Context, by domain.Actor) (domain.User, error) {
	return s.Store.User(ctx, by, by.ID)
}

// UpdateSelf implements [ports.Users].
func (s *Service) UpdateSelf(
	ctx context.Context, by domain.Actor, p domain.ProfilePatch, ifVersion domain.Versions,
) (domain.User, error) {
	change := func(u domain.User) (domain.User, error) {
		return domain.UserPatch{ProfilePatch: p}.ApplyTo(u), nil
	}
	if _, ok := p.Email.Get(); !ok || by.Superuser {
		return s.update(ctx, by, by.ID, ifVersion, change)
	}
	// ErrEmailTaken tells that another person has an account. The limit keeps an account from testing
	// many addresses. Superusers need no limit, because they can list all accounts.
	if err := s.EmailAttempts.Take(by.ID); err != nil {
		return domain.User{}, s.refuse(ctx, by, err)
	}
	u, err := s.update(ctx, by, by.ID, ifVersion, change)
	if !errors.Is(err, domain.ErrEmailTaken) {
		s.EmailAttempts.Refund(by.ID)
	}
	return u, err
}

// ChangePassword implements [ports.Users].
func (s *Service) ChangePassword(
	ctx context.Context, by domain.Actor, current string, next domain.Password, ifVersion domain.Versions,
) error {
	// A session that was stolen, or used from another source, leaves the owner all attempts. Tokens do not count: a
	// session and a client can have any number of them.
	key := by.ID + " " + by.SessionID + " " + by.Source
	if err := s.PasswordAttempts.Take(key); err != nil {
		s.audit(ctx, by, domain.EventPasswordCheckThrottled, by.ID)
		return s.refuse(ctx, by, err)
	}
	_, err := s.update(ctx, by, by.ID, ifVersion, func(u domain.User) (domain.User, error) {
		matches, err := s.Hasher.Verify(ctx, by.Work(), current, u.PasswordHash)
		if err != nil {
			return u, err
		}
		if !matches {
			return u, domain.ErrWrongPassword
		}
		if next.Reveal() == current {
			return u, domain.InvalidFields(domain.FieldError{
				Field: "new_password", Message: "must differ from the current password",
			})
		}
		if err := s.checkPassword("new_password", next, u.Email); err != nil {
			return u, err
		}
		u.PasswordHash, err = s.Hasher.Hash(ctx, by.Work(), next.Reveal())
		return u, err
	})
	switch {
	case err == nil:
		s.PasswordAttempts.Reset(key)
	case errors.Is(err, domain.ErrWrongPassword):
		s.audit(ctx, by, domain.EventPasswordCheckFailed, by.ID)
	default:
		s.PasswordAttempts.Refund(key)
	}
	return err
}

// SignOutSelf implements [ports.Users]. It asks for no password, so that the limit on wrong passwords cannot stop the
// owner of the account.
func (s *Service) SignOutSelf(ctx context.Context, by domain.Actor) error {
	return s.signOut(ctx, by, by.ID)
}

// SignOut implements [ports.Users].
func (s *Service) SignOut(ctx context.Context, by domain.Actor, id string) error {
	if !by.Superuser {
		return s.refuse(ctx, by, domain.ErrSuperuserRequired)
	}
	return s.signOut(ctx, by, id)
}

func (s *Service) signOut(ctx context.Context, by domain.Actor, id string) error {
	_, err := s.update(ctx, by, id, domain.Versions{}, func(u domain.User) (domain.User, error) {
		return u.SignedOut(), nil
	})
	if err == nil {
		s.audit(ctx, by, domain.EventSignedOutEverywhere, id)
	}
	return err
}

// DeleteSelf implements [ports.Users].
func (s *Service) DeleteSelf(ctx context.Context, by domain.Actor, ifVersion domain.Versions) error {
	if by.Superuser {
		return s.refuse(ctx, by, domain.ErrCannotDeleteSelf)
	}
	return s.delete(ctx, by, by.ID, ifVersion)
}

// Get implements [ports.Users].
func (s *Service) Get(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	if !by.Superuser {
		return domain.User{}, s.refuse(ctx, by, domain.ErrSuperuserRequired)
	}
	return s.Store.User(ctx, by, id)
}

// List implements [ports.Users].
func (s *Service) List(
	ctx context.Context, by domain.Actor, page domain.PageRequest,
) (domain.Page[domain.User], error) {
	if !by.Superuser {
		return domain.Page[domain.User]{}, s.refuse(ctx, by, domain.ErrSuperuserRequired)
	}
	return s.Store.Users(ctx, by, page)
}

// Create implements [ports.Users].
func (s *Service) Create(ctx context.Context, by domain.Actor, in domain.NewUser) (domain.User, error) {
	if !by.Superuser {
		return domain.User{}, s.refuse(ctx, by, domain.ErrSuperuserRequired)
	}
	if err := s.checkPassword("password", in.Password, in.Email); err != nil {
		return domain.User{}, s.refuse(ctx, by, err)
	}
	hash, err := s.Hasher.Hash(ctx, by.Work(), in.Password.Reveal())
	if err != nil {
		return domain.User{}, err
	}
	u := newUser(s.NewID(), s.Now(), in.Email, hash)
	u.FullName, u.Active, u.Superuser, u.SnowflakeUser = in.FullName, in.Active, in.Superuser, in.SnowflakeUser
	if err := s.Store.CreateUser(ctx, by, u); err != nil {
		return domain.User{}, err
	}
	s.audit(ctx, by, domain.EventUserCreated, u.ID)
	if _, linked := u.SnowflakeUser.Get(); linked {
		s.audit(ctx, by, domain.EventSnowflakeUserChanged, u.ID)
	}
	return u, nil
}

// Update implements [ports.Users].
func (s *Service) Update(
	ctx context.Context, by domain.Actor, id string, p domain.UserPatch, ifVersion domain.Versions,
) (domain.User, error) {
	if !by.Superuser {
		return domain.User{}, s.refuse(ctx, by, domain.ErrSuperuserRequired)
	}
	var hash string // made once for all tries
	return s.update(ctx, by, id, ifVersion, func(u domain.User) (domain.User, error) {
		u = p.ApplyTo(u)
		if password, ok := p.Password.Get(); ok {
			if err := s.checkPassword("password", password, u.Email); err != nil {
				return u, err
			}
			if hash == "" {
				var err error
				if hash, err = s.Hasher.Hash(ctx, by.Work(), password.Reveal()); err != nil {
					return u, err
				}
			}
			u.PasswordHash = hash
		}
		return u, nil
	})
}

// Delete implements [ports.Users].
func (s *Service) Delete(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	switch {
	case !by.Superuser:
		return s.refuse(ctx, by, domain.ErrSuperuserRequired)
	case id == by.ID:
		return s.refuse(ctx, by, domain.ErrCannotDeleteSelf)
	}
	return s.delete(ctx, by, id, ifVersion)
}

// checkPassword returns an error of Kind Invalid for that field if the account may not have the password.
func (s *Service) checkPassword(field string, p domain.Password, email domain.Email) error {
	if err := p.CheckContext(email, s.ServiceName); err != nil {
		return domain.InvalidFields(domain.FieldError{Field: field, Message: err.Error()})
	}
	return nil
}

// refuse returns reason. If the actor is signed out it returns ErrSignedOut instead, because a token that
// is no longer valid must have the same answer everywhere.
func (s *Service) refuse(ctx context.Context, by domain.Actor, reason error) error {
	if _, err := s.Store.User(ctx, by, by.ID); err != nil {
		return err
	}
	return reason
}

// update reads the account, changes it and writes it back. If a concurrent change came between, it repeats
// all three, unless ifVersion limits the Versions that the change is meant for.
func (s *Service) update(
	ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions,
	change func(domain.User) (domain.User, error),
) (domain.User, error) {
	var result domain.User
	attempt := func() error {
		old, err := s.Store.User(ctx, by, id)
		if err != nil {
			return err
		}
		if !ifVersion.Allow(old.Version) {
			return domain.ErrStale
		}
		next, err := change(old)
		if err != nil {
			return err
		}
		next, differs := old.Revise(next, s.Now())
		if differs {
			if err := s.Store.UpdateUser(ctx, by, next, old); err != nil {
				return err
			}
			s.auditChanges(ctx, by, old, next)
		}
		result = next
		return nil
	}
	err := domain.RetryUnlessVersioned(ctx, ifVersion, attempt)
	return result, err
}

func (s *Service) delete(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	if err := s.Store.DeleteUser(ctx, by, id, ifVersion); err != nil {
		return err
	}
	s.audit(ctx, by, domain.EventUserDeleted, id)
	return nil
}

// auditChanges records one event for each kind of change between old and next.
func (s *Service) auditChanges(ctx context.Context, by domain.Actor, old, next domain.User) {
	for _, c := range []struct {
		event   string
		changed bool
	}{
		{domain.EventProfileChanged, old.Email != next.Email || old.FullName != next.FullName},
		{domain.EventPasswordChanged, old.PasswordHash != next.PasswordHash},
		{domain.EventRoleChanged, old.Superuser != next.Superuser},
		{domain.EventActivationChanged, old.Active != next.Active},
		{domain.EventSnowflakeUserChanged, old.SnowflakeUser != next.SnowflakeUser},
	} {
		if c.changed {
			s.audit(ctx, by, c.event, next.ID)
		}
	}
}

// audit records that the actor did what the event says to the account.
func (s *Service) audit(ctx context.Context, by domain.Actor, event, id string) {
	s.Audit(ctx, domain.Event{Name: event, ActorID: by.ID, SubjectID: id, Source: by.Source})
}

// newUser returns a new active account.
func newUser(id string, now time.Time, email domain.Email, hash string) domain.User {
	return domain.User{
		ID: id, Email: email, PasswordHash: hash, Active: true,
		Version: 1, Epoch: 1, CreatedAt: now, UpdatedAt: now,
	}
}
