package memory

import (
	"context"
	"slices"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// User implements [ports.UserStore].
func (s *Store) User(ctx context.Context, by domain.Actor, id string) (domain.User, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, err := s.admit(ctx, by); err != nil {
		return domain.User{}, err
	}
	a, ok := s.byID[id]
	if !ok {
		return domain.User{}, domain.ErrNotFound
	}
	return a.User, nil
}

// Users implements [ports.UserStore].
func (s *Store) Users(ctx context.Context, by domain.Actor, req domain.PageRequest) (domain.Page[domain.User], error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, err := s.admit(ctx, by); err != nil {
		return domain.Page[domain.User]{}, err
	}
	return page(s.accounts, req, func(a *account) domain.User {
		u := a.User
		u.PasswordHash = ""
		return u
	}), nil
}

// CreateUser implements [ports.UserStore].
func (s *Store) CreateUser(ctx context.Context, by domain.Actor, u domain.User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.admit(ctx, by); err != nil {
		return err
	}
	return s.add(u)
}

// UpdateUser implements [ports.UserStore].
func (s *Store) UpdateUser(ctx context.Context, by domain.Actor, next, old domain.User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.admit(ctx, by); err != nil {
		return err
	}
	a, err := s.findAccount(next.ID, domain.OnlyVersions(old.Version))
	if err != nil {
		return err
	}
	if err := s.checkUnique(next); err != nil {
		return err
	}
	if s.isLastSuperuser(a) && !isActiveSuperuser(next) {
		return domain.ErrLastSuperuser
	}
	s.unindex(a)
	next.CreatedAt = a.CreatedAt
	a.User = next
	s.index(a)
	return nil
}

// DeleteUser implements [ports.UserStore].
func (s *Store) DeleteUser(ctx context.Context, by domain.Actor, id string, ifVersion domain.Versions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.admit(ctx, by); err != nil {
		return err
	}
	a, err := s.findAccount(id, ifVersion)
	if err != nil {
		return err
	}
	if s.isLastSuperuser(a) {
		return domain.ErrLastSuperuser
	}
	for _, i := range a.items {
		delete(s.items, i.ID)
	}
	for _, session := range slices.Clone(a.sessions) {
		s.removeSession(session)
	}
	for _, c := range slices.Clone(a.clients) {
		s.removeClient(c)
	}
	s.unindex(a)
	delete(s.byID, id)
	s.accounts.remove(a)
	return nil
}

// UserForSignIn implements [ports.SignInStore].
func (s *Store) UserForSignIn(ctx context.Context, email domain.Email) (domain.User, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := checkContext(ctx); err != nil {
		return domain.User{}, err
	}
	a, ok := s.byEmail[email]
	if !ok {
		return domain.User{}, domain.ErrNotFound
	}
	return a.User, nil
}

// UserForSnowflakeSignIn implements [ports.SignInStore].
func (s *Store) UserForSnowflakeSignIn(ctx context.Context, user domain.SnowflakeUser) (domain.User, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := checkContext(ctx); err != nil {
		return domain.User{}, err
	}
	a, ok := s.byUser[user]
	if !ok {
		return domain.User{}, domain.ErrNotFound
	}
	return a.User, nil
}

// CreateUserForSnowflakeSignIn implements [ports.SignInStore].
func (s *Store) CreateUserForSnowflakeSignIn(ctx context.Context, u domain.User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil {
		return err
	}
	return s.add(u)
}

// RehashForSignIn implements [ports.SignInStore].
func (s *Store) RehashForSignIn(ctx context.Context, userID, old, fresh string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil {
		return err
	}
	if a, ok := s.byID[userID]; ok && a.PasswordHash == old {
		a.PasswordHash = fresh
	}
	return nil
}

// HadFirstSuperuser implements [ports.OperatorStore].
func (s *Store) HadFirstSuperuser(ctx context.Context) (bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := checkContext(ctx); err != nil {
		return false, err
	}
	return s.hadFirstSuperuser, nil
}

// CreateFirstSuperuser implements [ports.OperatorStore].
func (s *Store) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil || s.hadFirstSuperuser {
		return false, err
	}
	if err := s.add(u); err != nil {
		return false, err
	}
	s.hadFirstSuperuser = true
	return true, nil
}

// CreateSuperuserForOperator implements [ports.OperatorStore].
func (s *Store) CreateSuperuserForOperator(ctx context.Context, u domain.User) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil {
		return err
	}
	if err := s.add(u); err != nil {
		return err
	}
	s.hadFirstSuperuser = true
	return nil
}

// UpdateUserForOperator implements [ports.OperatorStore].
func (s *Store) UpdateUserForOperator(ctx context.Context, next domain.User, version int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := checkContext(ctx); err != nil {
		return err
	}
	a, err := s.findAccount(next.ID, domain.OnlyVersions(version))
	if err != nil {
		return err
	}
	changed := a.User
	changed.PasswordHash, changed.SnowflakeUser = next.PasswordHash, next.SnowflakeUser
	changed.Version, changed.Epoch, changed.UpdatedAt = next.Version, next.Epoch, next.UpdatedAt
	if err := s.checkUnique(changed); err != nil {
		return err
	}
	s.unindex(a)
	a.User = changed
	s.index(a)
	return nil
}

// checkUnique returns ErrEmailTaken or ErrSnowflakeUserTaken if another account has what u has.
func (s *Store) checkUnique(u domain.User) error {
	if holder, taken := s.byEmail[u.Email]; taken && holder.ID != u.ID {
		return domain.ErrEmailTaken
	}
	if user, ok := u.SnowflakeUser.Get(); ok && s.byUser[user] != nil && s.byUser[user].ID != u.ID {
		return domain.ErrSnowflakeUserTaken
	}
	return nil
}

// add stores a new account. Errors: those of checkUnique.
func (s *Store) add(u domain.User) error {
	if err := s.checkUnique(u); err != nil {
		return err
	}
	a := &account{User: u}
	s.byID[u.ID] = a
	s.accounts.insert(a)
	s.index(a)
	return nil
}

// findAccount returns the account if ifVersion allows its Version.
func (s *Store) findAccount(id string, ifVersion domain.Versions) (*account, error) {
	a, ok := s.byID[id]
	if !ok {
		return nil, domain.ErrNotFound
	}
	if !ifVersion.Allow(a.Version) {
		return nil, domain.ErrStale
	}
	return a, nil
}

// index updates what the rules across accounts need: the e-mail addresses, the users in Snowflake and the number of
// active superusers. unindex undoes it.
func (s *Store) index(a *account) {
	s.byEmail[a.Email] = a
	if user, ok := a.SnowflakeUser.Get(); ok {
		s.byUser[user] = a
	}
	if isActiveSuperuser(a.User) {
		s.activeSuperusers++
	}
}

func (s *Store) unindex(a *account) {
	delete(s.byEmail, a.Email)
	if user, ok := a.SnowflakeUser.Get(); ok {
		delete(s.byUser, user)
	}
	if isActiveSuperuser(a.User) {
		s.activeSuperusers--
	}
}

func (s *Store) isLastSuperuser(a *account) bool {
	return isActiveSuperuser(a.User) && s.activeSuperusers == 1
}

func isActiveSuperuser(u domain.User) bool { return u.Active && u.Superuser }
