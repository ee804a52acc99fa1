package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestPositionsRunNewestFirstAndByIDWhereTimesAreEqual(t *testing.T) {
	elsewhere := time.FixedZone("elsewhere", 3600)
	inOrder := []domain.Position{
		{now.Add(time.Microsecond), "a"},
		{now.In(elsewhere), "c"}, // the same instant as those that follow
		{now, "b"},
		{now, "a"},
		{now.Add(-time.Microsecond), "z"},
	}
	for i, p := range inOrder {
		for j, q := range inOrder {
			assert.Equal(t, i < j, p.Before(q), "%v before %v", p, q)
		}
	}
}

func TestRowsKnowTheirPosition(t *testing.T) {
	assert.Equal(t, domain.Position{CreatedAt: created, ID: "u"}, someUser().Position())
	assert.Equal(t, domain.Position{CreatedAt: created, ID: "i"}, someItem().Position())
}
