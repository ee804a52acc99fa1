package users_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// assertRefusedPassword checks that err is about that field only.
func assertRefusedPassword(t *testing.T, err error, field string) {
	t.Helper()
	var invalid *domain.Error
	require.ErrorAs(t, err, &invalid)
	assert.Equal(t, domain.Invalid, invalid.Kind)
	assert.Equal(t, []domain.FieldError{{
		Field:   field,
		Message: "is little more than the e-mail address or the name of this service: choose another",
	}}, invalid.Fields)
}

func TestPasswordsOfKnownWordsAreRefused(t *testing.T) {
	ofService, ofAnn := domaintest.Password("snowflake-echo"), domaintest.Password("ann@example.com!")
	password := func(p domain.Password) domain.UserPatch { return domain.UserPatch{Password: domain.Some(p)} }

	run(t, "when an account changes its own, without costing an attempt", func(t *testing.T, s *fixture) {
		for _, next := range []domain.Password{ofService, ofAnn} {
			err := s.ChangePassword(t.Context(), s.ann.Actor(), correct, next, anyVersion)
			assertRefusedPassword(t, err, "new_password")
		}
		s.assertStored(t, s.ann)
		assert.Empty(t, s.events)
		s.assertAttempts(t, attempts)
	})
	run(t, "when a superuser creates an account", func(t *testing.T, s *fixture) {
		in := newUser
		in.Password = ofService
		_, err := s.Create(t.Context(), s.root.Actor(), in)
		assertRefusedPassword(t, err, "password")
		in.Email, in.Password = domaintest.Email("new.ann@example.com"), ofAnn
		_, err = s.Create(t.Context(), s.root.Actor(), in)
		assertRefusedPassword(t, err, "password")
		_, err = s.Create(t.Context(), signedOut(s.root), in)
		assert.Equal(t, domain.ErrSignedOut, err)
		assert.Zero(t, s.hasher.Hashed.Load())
	})
	run(t, "when a superuser changes one, for the e-mail that the account gets", func(t *testing.T, s *fixture) {
		_, err := s.Update(t.Context(), s.root.Actor(), s.ann.ID, password(ofService), anyVersion)
		assertRefusedPassword(t, err, "password")
		_, err = s.Update(t.Context(), s.root.Actor(), s.ann.ID, password(ofAnn), anyVersion)
		assertRefusedPassword(t, err, "password")
		patch := password(domaintest.Password("zoe.example"))
		patch.Email = domain.Some(domaintest.Email("zoe@example.com"))
		_, err = s.Update(t.Context(), s.root.Actor(), s.ann.ID, patch, anyVersion)
		assertRefusedPassword(t, err, "password")
		s.assertStored(t, s.ann)
		assert.Zero(t, s.hasher.Hashed.Load())
	})
}
