package portstest

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// row is an element of a list: a user or an item.
type row interface{ Position() domain.Position }

// listing is a list of the store under test.
type listing[R row] struct {
	t      *testing.T
	rows   []R // the expected rows in the expected order
	page   func(domain.PageRequest) (domain.Page[R], error)
	create func(domain.Position) R
	delete func(R)
}

func testAccountList(t *testing.T, open opener) {
	t.Run("rows have no password hash", func(t *testing.T) {
		s := newFixture(t, open)
		s.addUser()
		page, err := s.Users(t.Context(), s.admin.Actor(), all)
		require.NoError(t, err)
		for _, u := range page.Rows {
			assert.Empty(t, u.PasswordHash)
		}
	})
	testPaging(t, func(t *testing.T) *listing[domain.User] {
		s := newFixture(t, open)
		listed := func(u domain.User) domain.User {
			u.PasswordHash = ""
			return u
		}
		return &listing[domain.User]{
			t:    t,
			rows: []domain.User{listed(s.admin)},
			page: func(req domain.PageRequest) (domain.Page[domain.User], error) {
				return s.Users(t.Context(), s.admin.Actor(), req)
			},
			create: func(p domain.Position) domain.User {
				return listed(s.addUser(func(u *domain.User) { u.CreatedAt, u.ID = p.CreatedAt, p.ID }))
			},
			delete: func(u domain.User) {
				require.NoError(t, s.DeleteUser(t.Context(), s.admin.Actor(), u.ID, anyVersion))
			},
		}
	})
}

func testItemList(t *testing.T, open opener) {
	t.Run("an owner without items and an unknown owner have an empty page that is not nil", func(t *testing.T) {
		s := newFixture(t, open)
		want := domain.Page[domain.Item]{Rows: []domain.Item{}, Total: domain.Some(0)}
		for _, ownerID := range []string{s.addUser().ID, domaintest.NewID()} {
			page, err := s.Items(t.Context(), s.admin.Actor(), ownerID, domain.PageRequest{Limit: 1, Count: true})
			require.NoError(t, err)
			assert.Equal(t, want, page)
		}
	})
	testPaging(t, func(t *testing.T) *listing[domain.Item] {
		s := newFixture(t, open)
		owner := s.addUser()
		s.addItem(s.admin) // must be on no page
		return &listing[domain.Item]{
			t: t,
			page: func(req domain.PageRequest) (domain.Page[domain.Item], error) {
				return s.Items(t.Context(), owner.Actor(), owner.ID, req)
			},
			create: func(p domain.Position) domain.Item {
				return s.addItem(owner, func(i *domain.Item) { i.CreatedAt, i.ID = p.CreatedAt, p.ID })
			},
			delete: func(i domain.Item) {
				require.NoError(t, s.DeleteItem(t.Context(), owner.Actor(), domain.AllItems(), i.ID, anyVersion))
			},
		}
	})
}

func testPaging[R row](t *testing.T, open func(*testing.T) *listing[R]) {
	t.Run("rows are in the order newest first, and by id if times are equal", func(t *testing.T) {
		l := open(t).filled()
		assert.Equal(t, l.rows, l.get(all).Rows)
	})
	t.Run("Skip and Limit select the page, and More says whether rows follow", func(t *testing.T) {
		l := open(t).filled()
		n := len(l.rows)
		for _, c := range []struct{ skip, limit int }{
			{0, 1}, {0, n - 1}, {0, n}, {0, n + 1},
			{2, 3}, {2, n - 3}, {2, n - 2}, {2, n - 1},
			{n - 1, 1}, {n - 1, 1000}, {n, 1}, {n + 1, 1}, {math.MaxInt, 1000},
		} {
			from := min(c.skip, n)
			to := min(from+c.limit, n)
			want := domain.Page[R]{Rows: append([]R{}, l.rows[from:to]...), More: to < n}
			assert.Equal(t, want, l.get(domain.PageRequest{Skip: c.skip, Limit: c.limit}), "%+v", c)
		}
	})
	t.Run("a page after a position has the rows that follow it, and More says whether rows follow", func(t *testing.T) {
		l := open(t).filled()
		n := len(l.rows)
		for i, r := range l.rows {
			rest := l.rows[i+1:]
			for _, limit := range []int{2, max(1, len(rest)), n} {
				want := domain.Page[R]{Rows: append([]R{}, rest[:min(limit, len(rest))]...), More: limit < len(rest)}
				assert.Equal(t, want, l.get(pageAfter(r, limit)), "row %d, limit %d", i, limit)
			}
		}
	})
	t.Run("Total counts all rows and is present only if Count is set", func(t *testing.T) {
		l := open(t).filled()
		n := len(l.rows)
		for _, req := range []domain.PageRequest{
			{Limit: 1},
			{Limit: n},
			{Limit: 1, Skip: 3},
			{Limit: 1, Skip: n + 1},
			pageAfter(l.rows[2], 2),
			pageAfter(l.rows[n-1], 2),
		} {
			page := l.get(req)
			assert.Equal(t, domain.Optional[int]{}, page.Total)
			req.Count = true
			want := page
			want.Total = domain.Some(n)
			assert.Equal(t, want, l.get(req))
		}
	})
	t.Run("pages continue after a position while rows are added and removed", func(t *testing.T) {
		l := open(t).filled()
		first := l.get(domain.PageRequest{Limit: 4})
		assert.Equal(t, l.rows[:4], first.Rows)
		last := first.Rows[3] // one of three rows with equal times

		l.add(tick(5))           // before the page
		l.add(tick(2))           // in the page: its time is equal and its id is greater
		l.add(tick(-1))          // after the page
		l.drop(first.Rows[0])    // was in the page
		l.drop(last)             // is the row at the position
		l.drop(l.after(last)[0]) // would have followed
		rest := l.after(last)

		second := l.get(pageAfter(last, 2))
		assert.Equal(t, domain.Page[R]{Rows: rest[:2], More: true}, second)
		third := l.get(pageAfter(second.Rows[1], 1000))
		assert.Equal(t, domain.Page[R]{Rows: rest[2:]}, third)
	})
	t.Run("a change to a result does not reach the store", func(t *testing.T) {
		l := open(t).filled()
		clear(l.get(all).Rows)
		assert.Equal(t, l.rows, l.get(all).Rows)
	})
}

// filled adds seven rows. Their order by time, by id and by creation differ.
func (l *listing[R]) filled() *listing[R] {
	second, third, first := tick(2), tick(2), tick(2)
	for _, p := range []domain.Position{first, tick(1), tick(4), second, tick(0), tick(3), third} {
		l.add(p)
	}
	return l
}

// tick returns the position of a new row, n microseconds after a fixed time. The ticks are on both sides of a
// full second.
func tick(n int) domain.Position {
	return domain.Position{CreatedAt: beforeGap.Add(time.Duration(n) * time.Microsecond), ID: domaintest.NewID()}
}

func (l *listing[R]) add(p domain.Position) {
	l.t.Helper()
	l.rows = append(l.rows, l.create(p))
	slices.SortFunc(l.rows, func(a, b R) int {
		if a.Position().Before(b.Position()) {
			return -1
		}
		return 1
	})
}

func (l *listing[R]) drop(r R) {
	l.t.Helper()
	l.delete(r)
	l.rows = slices.DeleteFunc(l.rows, func(other R) bool { return other.Position() == r.Position() })
}

// after returns the expected rows after r, even if r was deleted.
func (l *listing[R]) after(r R) []R {
	return slices.DeleteFunc(slices.Clone(l.rows), func(other R) bool { return !r.Position().Before(other.Position()) })
}

func (l *listing[R]) get(req domain.PageRequest) domain.Page[R] {
	l.t.Helper()
	page, err := l.page(req)
	require.NoError(l.t, err)
	return page
}

// pageAfter returns a request for the rows after r.
func pageAfter(r row, limit int) domain.PageRequest {
	return domain.PageRequest{After: domain.Some(r.Position()), Limit: limit}
}
