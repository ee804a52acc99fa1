package domain

import "time"

// ItemContent holds the fields of an item that its owner writes.
type ItemContent struct {
	Title       Title
	Description Optional[Description]
}

// Item is a thing that an account owns.
type Item struct {
	ID      string // UUIDv7, lower case
	OwnerID string
	ItemContent
	// Version increases by one with every change. It is the ETag.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Revise returns next as the version that follows i: it sets Version and UpdatedAt. If next equals i, it
// returns i and false.
func (i Item) Revise(next Item, now time.Time) (revised Item, differs bool) {
	if next == i {
		return i, false
	}
	next.Version = i.Version + 1
	next.UpdatedAt = now
	return next, true
}

// ItemPatch holds new values for the fields of an item that may change. An absent field stays as it is.
type ItemPatch struct {
	Title       Optional[Title]
	Description Optional[Optional[Description]]
}

// ApplyTo returns i with the fields that p holds. [Item.Revise] sets Version and UpdatedAt.
func (p ItemPatch) ApplyTo(i Item) Item {
	i.Title = p.Title.Or(i.Title)
	i.Description = p.Description.Or(i.Description)
	return i
}

// ItemScope says which items a call may reach: those of one owner, or all. A use case decides it, and a
// store filters by it. The zero ItemScope reaches none.
type ItemScope struct {
	ownerID string
	all     bool
}

// OwnedBy returns the scope of one account's items.
func OwnedBy(userID string) ItemScope { return ItemScope{ownerID: userID} }

// AllItems returns the scope of all accounts' items.
func AllItems() ItemScope { return ItemScope{all: true} }

// Owner returns the only owner whose items are in scope, or all if there is no such limit. The zero scope
// returns an empty id, which no account has.
func (s ItemScope) Owner() (id string, all bool) { return s.ownerID, s.all }

// Includes reports whether the items of ownerID are in scope.
func (s ItemScope) Includes(ownerID string) bool {
	return s.all || s.ownerID != "" && s.ownerID == ownerID
}
