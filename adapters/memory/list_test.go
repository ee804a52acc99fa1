package memory

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestAListHasThePagesOfASortedSlice(t *testing.T) {
	position := rapid.Custom(func(t *rapid.T) domain.Position {
		return domain.Position{
			CreatedAt: time.Unix(rapid.Int64Range(0, 3).Draw(t, "second"), 0).UTC(),
			ID:        rapid.StringMatching(`[a-d]`).Draw(t, "id"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		var l list[*domain.Item]
		var model []domain.Item // in the order in which it is listed
		t.Repeat(map[string]func(*rapid.T){
			"insert": func(t *rapid.T) {
				p := position.Draw(t, "position")
				i := domain.Item{ID: p.ID, CreatedAt: p.CreatedAt}
				if slices.Contains(model, i) {
					return // ids are never reused
				}
				l.insert(&i)
				model = append(model, i)
				slices.SortFunc(model, func(a, b domain.Item) int {
					if a.Position().Before(b.Position()) {
						return -1
					}
					return 1
				})
			},
			"remove": func(t *rapid.T) {
				if len(model) == 0 {
					return
				}
				n := rapid.IntRange(0, len(model)-1).Draw(t, "row")
				l.remove(&model[n])
				model = slices.Delete(model, n, n+1)
			},
			"page": func(t *rapid.T) {
				req := domain.PageRequest{
					Limit: rapid.IntRange(1, 20).Draw(t, "limit"), Count: rapid.Bool().Draw(t, "count"),
				}
				if rapid.Bool().Draw(t, "by position") {
					req.After = domain.Some(position.Draw(t, "after"))
				} else {
					req.Skip = rapid.IntRange(0, 20).Draw(t, "skip")
				}
				require.Equal(t, pageOf(model, req), page(l, req, func(i *domain.Item) domain.Item { return *i }))
			},
		})
	})
}

// pageOf returns the same page as page, in the simplest way.
func pageOf(rows []domain.Item, req domain.PageRequest) domain.Page[domain.Item] {
	p := domain.Page[domain.Item]{Rows: []domain.Item{}}
	if req.Count {
		p.Total = domain.Some(len(rows))
	}
	skip := req.Skip
	for _, i := range rows {
		if after, ok := req.After.Get(); ok && !after.Before(i.Position()) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if len(p.Rows) == req.Limit {
			p.More = true
			break
		}
		p.Rows = append(p.Rows, i)
	}
	return p
}
