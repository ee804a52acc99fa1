package domain_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestVersions(t *testing.T) {
	t.Run("the zero value allows every version", func(t *testing.T) {
		var zero domain.Versions
		assert.True(t, zero.Allow(1))
		_, limited := zero.Limit()
		assert.False(t, limited)
	})
	t.Run("a set allows only its versions", func(t *testing.T) {
		two := domain.OnlyVersions(2, 3)
		assert.True(t, two.Allow(2))
		assert.True(t, two.Allow(3))
		assert.False(t, two.Allow(4))
		allowed, limited := two.Limit()
		assert.True(t, limited)
		assert.Equal(t, []int64{2, 3}, allowed)
	})
	t.Run("an empty set allows no version", func(t *testing.T) {
		assert.False(t, domain.OnlyVersions().Allow(1))
	})
}
