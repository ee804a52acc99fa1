package domain_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestOptional(t *testing.T) {
	t.Run("the zero value is absent", func(t *testing.T) {
		v, ok := domain.Optional[int]{}.Get()
		assert.False(t, ok)
		assert.Zero(t, v)
		assert.Equal(t, 7, domain.Optional[int]{}.Or(7))
	})
	t.Run("a zero value can be present", func(t *testing.T) {
		v, ok := domain.Some(0).Get()
		assert.True(t, ok)
		assert.Zero(t, v)
		assert.Equal(t, 0, domain.Some(0).Or(7))
	})
	t.Run("a present zero value differs from an absent one", func(t *testing.T) {
		assert.NotEqual(t, domain.Optional[string]{}, domain.Some(""))
	})
	t.Run("a patch distinguishes leaving, clearing and setting a field", func(t *testing.T) {
		old := domain.Some("old")
		var leave domain.Optional[domain.Optional[string]]
		clear, set := domain.Some(domain.Optional[string]{}), domain.Some(domain.Some("new"))
		assert.Equal(t, old, leave.Or(old))
		assert.Equal(t, domain.Optional[string]{}, clear.Or(old))
		assert.Equal(t, domain.Some("new"), set.Or(old))
	})
}

func TestOptionalPrintsAsItsValue(t *testing.T) {
	printed := fmt.Sprintf("[%v %v %q]", domain.Some(5), domain.Optional[int]{}, domain.Some("é"))
	assert.Equal(t, `[5 none "é"]`, printed)
}
