package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestPositionsAreOrderedNewestFirstAndThenByID(t *testing.T) {
	now, zone := domaintest.Created, time.FixedZone("another zone", 3600)
	inOrder := []domain.Position{
		{now.Add(time.Microsecond), "a"},
		{now.In(zone), "c"}, // the same instant as the next two
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

func TestThePositionOfARowIsItsCreationAndID(t *testing.T) {
	assert.Equal(t, domain.Position{CreatedAt: domaintest.Created, ID: ann.ID}, ann.Position())
	assert.Equal(t, domain.Position{CreatedAt: domaintest.Created, ID: book.ID}, book.Position())
}
