package domain_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// book is an item that tests change copies of.
var book = domaintest.Item(ann, domaintest.WithDescription("Old"), func(i *domain.Item) { i.Version = 5 })

var noDescription domain.Optional[domain.Description]

func withoutDescription(i *domain.Item) { i.Description = noDescription }

func TestItemRevise(t *testing.T) {
	for name, change := range map[string]func(*domain.Item){
		"a new title":           domaintest.WithTitle("New"),
		"a new description":     domaintest.WithDescription("New"),
		"a removed description": withoutDescription,
	} {
		t.Run(name+" makes a new version", func(t *testing.T) {
			next := book
			change(&next)
			want := next
			want.Version, want.UpdatedAt = 6, domaintest.Later

			got, differs := book.Revise(next, domaintest.Later)
			assert.True(t, differs)
			assert.Equal(t, want, got)
		})
	}
	t.Run("without a change there is no new version", func(t *testing.T) {
		got, differs := book.Revise(book, domaintest.Later)
		assert.False(t, differs)
		assert.Equal(t, book, got)
	})
}

func TestItemPatch(t *testing.T) {
	for name, c := range map[string]struct {
		patch domain.ItemPatch
		want  func(*domain.Item)
	}{
		"an empty patch changes nothing": {domain.ItemPatch{}, func(*domain.Item) {}},
		"a title replaces only the title": {
			domain.ItemPatch{Title: domain.Some(domaintest.Title("New"))}, domaintest.WithTitle("New"),
		},
		"a description replaces only the description": {
			domain.ItemPatch{Description: domain.Some(domaintest.Description("New"))},
			domaintest.WithDescription("New"),
		},
		"an absent description removes only the description": {
			domain.ItemPatch{Description: domain.Some(noDescription)}, withoutDescription,
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := book
			c.want(&want)
			assert.Equal(t, want, c.patch.ApplyTo(book))
		})
	}
}

func TestItemScope(t *testing.T) {
	t.Run("Owner names the owner or says that there is no limit", func(t *testing.T) {
		for scope, want := range map[domain.ItemScope]struct {
			owner string
			all   bool
		}{
			{}:                  {"", false},
			domain.OwnedBy("u"): {"u", false},
			domain.AllItems():   {"", true},
		} {
			owner, all := scope.Owner()
			assert.Equal(t, want.owner, owner)
			assert.Equal(t, want.all, all)
		}
	})
	t.Run("the zero scope includes no items", func(t *testing.T) {
		assert.False(t, domain.ItemScope{}.Includes("u"))
		assert.False(t, domain.ItemScope{}.Includes(""))
		assert.Equal(t, domain.ItemScope{}, domain.OwnedBy(""))
	})
	t.Run("the scope of one account includes only its items", func(t *testing.T) {
		assert.True(t, domain.OwnedBy("u").Includes("u"))
		assert.False(t, domain.OwnedBy("u").Includes("v"))
		assert.False(t, domain.OwnedBy("u").Includes(""))
	})
	t.Run("the scope of all items includes every owner", func(t *testing.T) {
		assert.True(t, domain.AllItems().Includes("u"))
	})
}
