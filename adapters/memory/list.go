package memory

import (
	"slices"
	"sort"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// placed is a row of a list. Its place never changes, because nobody changes an id or CreatedAt.
type placed interface{ Position() domain.Position }

// list holds rows in the reverse of their listed order, oldest first: a new row usually is the
// newest, and appending it moves nothing. A page is a stretch of it, read backwards.
type list[R placed] []R

// behind returns how many rows are listed behind p, which is also the index of the row at p.
func (l list[R]) behind(p domain.Position) int {
	return sort.Search(len(l), func(i int) bool { return !p.Before(l[i].Position()) })
}

func (l *list[R]) insert(row R) {
	*l = slices.Insert(*l, l.behind(row.Position()), row)
}

func (l *list[R]) remove(row R) {
	i := l.behind(row.Position())
	*l = slices.Delete(*l, i, i+1)
}

// page returns the page of l that req asks for, each row turned into a value by read.
func page[R placed, V any](l list[R], req domain.PageRequest, read func(R) V) domain.Page[V] {
	end := max(0, len(l)-req.Skip)
	if after, ok := req.After.Get(); ok {
		end = l.behind(after)
	}
	start := max(0, end-req.Limit)
	p := domain.Page[V]{Rows: make([]V, 0, end-start), More: start > 0}
	for _, row := range slices.Backward(l[start:end]) {
		p.Rows = append(p.Rows, read(row))
	}
	if req.Count {
		p.Total = domain.Some(len(l))
	}
	return p
}
