package domain_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

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
		domain.Unavailable:     {domain.ErrBusy, domain.ErrContended, domain.ErrUnavailable, domain.ErrOutcomeUnknown, domain.ErrReadOnly},
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

func TestAReadOnlyServiceAsksClientsToWaitHalfAMinute(t *testing.T) {
	assert.Equal(t, 30*time.Second, domain.ErrReadOnly.RetryAfter)
}
