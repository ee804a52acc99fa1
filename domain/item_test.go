package domain_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var (
	newTitle       = must(domain.ParseTitle("New"))
	newDescription = domain.Some(must(domain.ParseDescription("New")))
	noDescription  domain.Optional[domain.Description]
)

func someItem() domain.Item {
	return domain.Item{
		ID: "i", OwnerID: "u", Title: must(domain.ParseTitle("Old")), Description: domain.Some(must(domain.ParseDescription("Old"))),
		Version: 5, CreatedAt: created, UpdatedAt: created,
	}
}

func TestItemRevise(t *testing.T) {
	for name, change := range map[string]func(*domain.Item){
		"a new title":             func(i *domain.Item) { i.Title = newTitle },
		"a new description":       func(i *domain.Item) { i.Description = newDescription },
		"a description that goes": func(i *domain.Item) { i.Description = noDescription },
	} {
		t.Run(name+" is a new version", func(t *testing.T) {
			next := someItem()
			change(&next)
			want := next
			want.Version, want.UpdatedAt = 6, now

			got, differs := someItem().Revise(next, now)
			assert.True(t, differs)
			assert.Equal(t, want, got)
		})
	}
	t.Run("no change is no new version", func(t *testing.T) {
		got, differs := someItem().Revise(someItem(), now)
		assert.False(t, differs)
		assert.Equal(t, someItem(), got)
	})
}

func TestItemPatch(t *testing.T) {
	for field, c := range map[string]struct {
		patch  domain.ItemPatch
		change func(*domain.Item)
	}{
		"nothing":                 {domain.ItemPatch{}, func(*domain.Item) {}},
		"the title":               {domain.ItemPatch{Title: domain.Some(newTitle)}, func(i *domain.Item) { i.Title = newTitle }},
		"the description":         {domain.ItemPatch{Description: domain.Some(newDescription)}, func(i *domain.Item) { i.Description = newDescription }},
		"a description that goes": {domain.ItemPatch{Description: domain.Some(noDescription)}, func(i *domain.Item) { i.Description = noDescription }},
	} {
		t.Run("replaces "+field+" alone", func(t *testing.T) {
			want := someItem()
			c.change(&want)
			assert.Equal(t, want, c.patch.ApplyTo(someItem()))
		})
	}
}

func TestScope(t *testing.T) {
	t.Run("says whose items it reaches", func(t *testing.T) {
		for scope, want := range map[domain.ItemScope]struct {
			owner     string
			everyones bool
		}{
			{}:                  {"", false},
			domain.OwnedBy("u"): {"u", false},
			domain.AllItems():   {"", true},
		} {
			owner, everyones := scope.Owner()
			assert.Equal(t, want.owner, owner)
			assert.Equal(t, want.everyones, everyones)
		}
	})
	t.Run("zero reaches nobody's items", func(t *testing.T) {
		assert.False(t, domain.ItemScope{}.Includes("u"))
		assert.False(t, domain.ItemScope{}.Includes(""))
		assert.Equal(t, domain.ItemScope{}, domain.OwnedBy(""), "of nobody")
	})
	t.Run("of one account reaches its items only", func(t *testing.T) {
		assert.True(t, domain.OwnedBy("u").Includes("u"))
		assert.False(t, domain.OwnedBy("u").Includes("v"))
		assert.False(t, domain.OwnedBy("u").Includes(""))
	})
	t.Run("of everyone reaches all", func(t *testing.T) {
		assert.True(t, domain.AllItems().Includes("u"))
	})
}
