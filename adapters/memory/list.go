package memory

import (
	"slices"
	"sort"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// positioned is a row of a list. Its position never changes, because no update changes ID or CreatedAt.
type positioned interface{ Position() domain.Position }

// list holds rows in the reverse of the order in which they are listed: the oldest is first. A new row is
// usually the newest, so append moves no other row. A page is a part of the list, read backwards.
type list[R positioned] []R

// countAfter returns how many rows are listed after p. That is also the index of the row at p.
func (l list[R]) countAfter(p domain.Position) int {
	return sort.Search(len(l), func(i int) bool { return !p.Before(l[i].Position()) })
}

func (l *list[R]) insert(row R) {
	*l = slices.Insert(*l, l.countAfter(row.Position()), row)
}

func (l *list[R]) remove(row R) {
	i := l.countAfter(row.Position())
	*l = slices.Delete(*l, i, i+1)
}

// page returns the page of l that req asks for. value makes the result of a row.
func page[R positioned, V any](l list[R], req domain.PageRequest, value func(R) V) domain.Page[V] {
	end := max(0, len(l)-req.Skip)
	if after, ok := req.After.Get(); ok {
		end = l.countAfter(after)
	}
	start := max(0, end-req.Limit)
	p := domain.Page[V]{Rows: make([]V, 0, end-start), More: start > 0}
	for _, row := range slices.Backward(l[start:end]) {
		p.Rows = append(p.Rows, value(row))
	}
	if req.Count {
		p.Total = domain.Some(len(l))
	}
	return p
}
