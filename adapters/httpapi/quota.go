package httpapi

import "sync"

// quota limits what the requests of the process hold of a resource at the same time. One source can hold a
// quarter of it, so that a source which holds its share for long leaves the rest to others.
type quota struct {
	most int

	mu       sync.Mutex
	held     int
	bySource map[string]int // without sources that hold nothing
}

func newQuota(most int) *quota { return &quota{most: most, bySource: map[string]int{}} }

// take takes n for source and returns true, or takes nothing and returns false.
func (q *quota) take(source string, n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held+n > q.most || q.bySource[source]+n > q.most/4 {
		return false
	}
	q.held += n
	q.bySource[source] += n
	return true
}

// refund ends a take.
func (q *quota) refund(source string, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held -= n
	if q.bySource[source] -= n; q.bySource[source] == 0 {
		delete(q.bySource, source)
	}
}
