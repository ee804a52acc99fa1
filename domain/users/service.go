// Package users holds the use cases around accounts: one's own profile, their administration by
// superusers, and (operator.go) the operator's creation of superusers and reset of their passwords. It decides who may do
// what; how accounts are kept and passwords hashed is behind ports.
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
	EmailAttempts    ports.AttemptLimiter // answers "taken", per account
	PasswordAttempts ports.AttemptLimiter // wrong current passwords, per account
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
func (s *Service) UpdateSelf(ctx context.Context, by domain.Actor, p domain.ProfilePatch, ifVersion domain.Versions) (domain.User, error) {
	change := func(u domain.User) (domain.User, error) {
		return domain.UserPatch{ProfilePatch: p}.ApplyTo(u), nil
	}
	if _, ok := p.Email.Get(); !ok || by.Superuser {
		return s.update(ctx, by, by.ID, ifVersion, change)
	}
	// Whether an e-mail is taken is somebody's secret; superusers can list all of them anyway.
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
func (s *Service) ChangePassword(ctx context.Context, by domain.Actor, current string, next domain.Password, ifVersion domain.Versions) error {
	if err := s.PasswordAttempts.Take(by.ID); err != nil {
		return s.refuse(ctx, by, err)
	}
	_, err := s.update(ctx, by, by.ID, ifVersion, func(u domain.User) (domain.User, error) {
		matches, err := s.Hasher.Verify(ctx, current, u.PasswordHash)
		if err != nil {
			return u, err
		}
		if !matches {
			return u, domain.ErrWrongPassword
		}
		if next.Reveal() == current {
			return u, domain.InvalidFields(domain.FieldError{Field: "new_password", Message: "must differ from the current password"})
		}
		u.PasswordHash, err = s.Hasher.Hash(ctx, next.Reveal())
		return u, err
	})
	switch {
	case err == nil:
		s.PasswordAttempts.Reset(by.ID)
	case errors.Is(err, domain.ErrWrongPassword):
		s.Audit(ctx, domain.Event{Name: domain.EventPasswordCheckFailed, ActorID: by.ID, SubjectID: by.ID})
	default:
		s.PasswordAttempts.Refund(by.ID)
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
func (s *Service) List(ctx context.Context, by domain.Actor, page domain.PageRequest) (domain.Page[domain.User], error) {
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
	hash, err := s.Hasher.Hash(ctx, in.Password.Reveal())
	if err != nil {
		return domain.User{}, err
	}
	u := newUser(s.NewID(), s.Now(), in.Email, hash)
	u.FullName, u.Active, u.Superuser = in.FullName, in.Active, in.Superuser
	if err := s.Store.CreateUser(ctx, by, u); err != nil {
		return domain.User{}, err
	}
	s.Audit(ctx, domain.Event{Name: domain.EventUserCreated, ActorID: by.ID, SubjectID: u.ID})
	return u, nil
}

// Update implements [ports.Users].
func (s *Service) Update(ctx context.Context, by domain.Actor, id string, p domain.UserPatch, ifVersion domain.Versions) (domain.User, error) {
	if !by.Superuser {
		return domain.User{}, s.refuse(ctx, by, domain.ErrSuperuserRequired)
	}
	var hash string // made once, however often the change is made again
	return s.update(ctx, by, id, ifVersion, func(u domain.User) (domain.User, error) {
		if password, ok := p.Password.Get(); ok {
			if hash == "" {
				var err error
				if hash, err = s.Hasher.Hash(ctx, password.Reveal()); err != nil {
					return u, err
				}
			}
			u.PasswordHash = hash
		}
		return p.ApplyTo(u), nil
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

// refuse returns reason, save to an actor who is not even signed in any more: a token that has
// ended is 401 everywhere.
func (s *Service) refuse(ctx context.Context, by domain.Actor, reason error) error {
	if _, err := s.Store.User(ctx, by, by.ID); err != nil {
		return err
	}
	return reason
}

// update reads the account, changes it and writes it back. When others were faster it starts over,
// unless the caller said which version the change is for.
func (s *Service) update(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions, change func(domain.User) (domain.User, error)) (domain.User, error) {
	var result domain.User
	attempt := func() error {
		read, err := s.Store.User(ctx, by, id)
		if err != nil {
			return err
		}
		if !ifVersion.Allow(read.Version) {
			return domain.ErrStale
		}
		next, err := change(read)
		if err != nil {
			return err
		}
		next, differs := read.Revise(next, s.Now())
		if differs {
			if err := s.Store.UpdateUser(ctx, by, next, read); err != nil {
				return err
			}
			s.auditChange(ctx, by, read, next)
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
	s.Audit(ctx, domain.Event{Name: domain.EventUserDeleted, ActorID: by.ID, SubjectID: id})
	return nil
}

func (s *Service) auditChange(ctx context.Context, by domain.Actor, old, fresh domain.User) {
	for _, c := range []struct {
		event   string
		changed bool
	}{
		{domain.EventProfileChanged, old.Email != fresh.Email || old.FullName != fresh.FullName},
		{domain.EventPasswordChanged, old.PasswordHash != fresh.PasswordHash},
		{domain.EventRoleChanged, old.Superuser != fresh.Superuser},
		{domain.EventActivationChanged, old.Active != fresh.Active},
	} {
		if c.changed {
			s.Audit(ctx, domain.Event{Name: c.event, ActorID: by.ID, SubjectID: fresh.ID})
		}
	}
}

// newUser returns an active account with its counters at their start.
func newUser(id string, now time.Time, email domain.Email, hash string) domain.User {
	return domain.User{
		ID: id, Email: email, PasswordHash: hash, Active: true,
		Version: 1, Epoch: 1, CreatedAt: now, UpdatedAt: now,
	}
}
