package domain

import "time"

// Item is a thing that an account owns.
type Item struct {
	ID          string // UUIDv7, lower case
	OwnerID     string
	Title       Title
	Description Optional[Description]
	// Version rises by one with every change and is the ETag.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Revise returns i changed to what next holds, with Version and UpdatedAt set, and whether
// anything differs at all; if not, i comes back as it was.
func (i Item) Revise(next Item, now time.Time) (Item, bool) {
	if next == i {
		return i, false
	}
	next.Version = i.Version + 1
	next.UpdatedAt = now
	return next, true
}

// NewItem is what it takes to create an item.
type NewItem struct {
	Title       Title
	Description Optional[Description]
}

// ItemPatch is what may be changed of an item.
type ItemPatch struct {
	Title       Optional[Title]
	Description Optional[Optional[Description]]
}

// ApplyTo returns i with the patched fields replaced; Version is [Item.Revise]'s.
func (p ItemPatch) ApplyTo(i Item) Item {
	i.Title = p.Title.Or(i.Title)
	i.Description = p.Description.Or(i.Description)
	return i
}

// ItemScope is the decision whose items an actor may reach. The zero ItemScope reaches none.
type ItemScope struct {
	ownerID string
	all     bool
}

// OwnedBy reaches the items of one account.
func OwnedBy(userID string) ItemScope { return ItemScope{ownerID: userID} }

// AllItems reaches the items of all accounts.
func AllItems() ItemScope { return ItemScope{all: true} }

// Owner returns whose items are within reach, if not everyone's. Of the zero Scope that is nobody.
func (s ItemScope) Owner() (id string, everyones bool) { return s.ownerID, s.all }

// Includes reports whether the items of ownerID are within reach.
func (s ItemScope) Includes(ownerID string) bool {
	return s.all || s.ownerID != "" && s.ownerID == ownerID
}
