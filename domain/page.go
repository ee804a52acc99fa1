package domain

import "time"

// PageRequest asks for one page of a list, newest first: CreatedAt descending, then ID descending.
type PageRequest struct {
	Skip  int // rows before the page, ≥ 0; zero if After is present
	Limit int // largest number of rows, 1 to 1000
	After Optional[Position]
	Count bool // the page should have a Total, which costs time
}

// Position is the place of a row in a list. It stays valid after the row is deleted.
type Position struct {
	CreatedAt time.Time
	ID        string
}

// Before reports whether a row at p is listed before a row at q.
func (p Position) Before(q Position) bool {
	if c := p.CreatedAt.Compare(q.CreatedAt); c != 0 {
		return c > 0
	}
	return p.ID > q.ID
}

// Position returns the user's place in a list.
func (u User) Position() Position { return Position{u.CreatedAt, u.ID} }

// Position returns the item's place in a list.
func (i Item) Position() Position { return Position{i.CreatedAt, i.ID} }

// Page is one page of a list.
type Page[T any] struct {
	Rows  []T           // never nil
	Total Optional[int] // number of all rows, also of those before the page; present if Count was set
	More  bool          // rows follow after the page
}
