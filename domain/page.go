package domain

import "time"

// PageRequest asks for one page of a list, newest first: CreatedAt descending, then ID descending.
type PageRequest struct {
	Skip  int // rows to pass over, ≥ 0; not together with After
	Limit int // rows at most, 1 to 1000
	After Optional[Position]
	Count bool // whether the total is wanted, which costs
}

// Position is a place in a list: behind the row that it names, whether or not that still exists.
type Position struct {
	CreatedAt time.Time
	ID        string
}

// Before reports whether a row at p comes before one at q in a list.
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
	Total Optional[int] // of all rows, not only those behind After; present when asked for
	More  bool          // whether rows follow
}
