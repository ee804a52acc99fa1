package domain_test

import (
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestErrorsWithTheSameCodeAreTheSame(t *testing.T) {
	custom := &domain.Error{Kind: domain.Conflict, Code: domain.ErrStale.Code, Message: "another message"}
	assert.ErrorIs(t, custom, domain.ErrStale)
	assert.ErrorIs(t, fmt.Errorf("update: %w", domain.ErrStale), domain.ErrStale)
	assert.NotErrorIs(t, domain.ErrEmailTaken, domain.ErrLastSuperuser, "same Kind, different Code")
	assert.NotErrorIs(t, domain.ErrStale, io.EOF)
}

func TestEveryErrorHasItsKindAndAUniqueCode(t *testing.T) {
	seen := map[string]bool{}
	for kind, errs := range map[domain.Kind][]*domain.Error{
		domain.Unauthenticated: {domain.ErrSignedOut, domain.ErrInvalidToken, domain.ErrBadCredentials},
		domain.Forbidden:       {domain.ErrWrongPassword, domain.ErrSuperuserRequired, domain.ErrCannotDeleteSelf},
		domain.NotFound:        {domain.ErrNotFound},
		domain.Conflict:        {domain.ErrEmailTaken, domain.ErrLastSuperuser},
		domain.Stale:           {domain.ErrStale},
		domain.TooMany:         {domain.ErrTooManyAttempts},
		domain.Unavailable:     {domain.ErrBusy, domain.ErrContended, domain.ErrUnavailable, domain.ErrOutcomeUnknown},
	} {
		for _, err := range errs {
			assert.Equal(t, kind, domain.KindOf(err), err.Code)
			assert.False(t, seen[err.Code], err.Code)
			seen[err.Code] = true
			assert.Equal(t, err.Code+": "+err.Message, err.Error())
		}
	}
}

func TestKindOf(t *testing.T) {
	t.Run("finds a wrapped error", func(t *testing.T) {
		assert.Equal(t, domain.NotFound, domain.KindOf(fmt.Errorf("read: %w", domain.ErrNotFound)))
	})
	t.Run("returns the Kind of the first of several errors", func(t *testing.T) {
		assert.Equal(t, domain.Unavailable, domain.KindOf(domain.ErrUnavailable.WithCause(domain.ErrNotFound)))
	})
	t.Run("is Internal for an error without a Kind", func(t *testing.T) {
		assert.Equal(t, domain.Internal, domain.KindOf(io.EOF))
		assert.Equal(t, domain.Internal, domain.KindOf(&domain.Error{Code: "new"}))
		assert.Equal(t, domain.Internal, domain.Kind(0))
	})
}

func TestWithRetryAfterChangesOnlyACopy(t *testing.T) {
	err := domain.ErrBusy.WithRetryAfter(3 * time.Second)
	want := *domain.ErrBusy
	want.RetryAfter = 3 * time.Second
	assert.Equal(t, &want, err)
	assert.ErrorIs(t, err, domain.ErrBusy)
	assert.Zero(t, domain.ErrBusy.RetryAfter)
}

func TestWithCauseKeepsTheErrorAndItsCause(t *testing.T) {
	err := domain.ErrUnavailable.WithCause(io.ErrUnexpectedEOF)
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Equal(t, domain.Unavailable, domain.KindOf(err))
	assert.EqualError(t, err, domain.ErrUnavailable.Error()+": unexpected EOF")
}

func TestChecks(t *testing.T) {
	t.Run("name every faulty field in the order of the checks", func(t *testing.T) {
		var c domain.Checks
		domain.Check(&c, "email", "ann", domain.ParseEmail)
		title := domain.Check(&c, "title", "fine", domain.ParseTitle)
		domain.CheckOptional(&c, "full_name", domain.Some("\x00"), domain.ParseFullName)
		assert.Equal(t, "fine", title.String())

		var err *domain.Error
		require.True(t, errors.As(c.Err(), &err))
		assert.Equal(t, domain.Invalid, err.Kind)
		assert.Equal(t, "invalid", err.Code)
		assert.Equal(t, []domain.FieldError{
			{Field: "email", Message: "must be a plain address like name@example.com"},
			{Field: "full_name", Message: "must not contain the character NUL"},
		}, err.Fields)
	})
	t.Run("return no error if every field is valid", func(t *testing.T) {
		var c domain.Checks
		domain.Check(&c, "title", "fine", domain.ParseTitle)
		assert.NoError(t, c.Err())
	})
	t.Run("do not parse an absent value", func(t *testing.T) {
		var c domain.Checks
		got := domain.CheckOptional(&c, "title", domain.Optional[string]{}, func(string) (domain.Title, error) {
			return domain.Title{}, errors.New("parsed")
		})
		assert.Equal(t, domain.Optional[domain.Title]{}, got)
		assert.NoError(t, c.Err())
	})
	t.Run("parse a present value that is empty", func(t *testing.T) {
		var c domain.Checks
		got := domain.CheckOptional(&c, "description", domain.Some(""), domain.ParseDescription)
		assert.Equal(t, domain.Some(domain.Description{}), got)
		domain.CheckOptional(&c, "title", domain.Some(""), domain.ParseTitle)
		assert.Error(t, c.Err())
	})
}
