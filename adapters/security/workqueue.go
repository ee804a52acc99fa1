package security

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// workQueue limits how many pieces of expensive work run concurrently and how many wait. A call that finds
// no place fails immediately, so an overload costs neither memory nor time. Authenticated work waits in a
// lane of its own and runs first. In each lane the sources take turns, and one source has at most a quarter of
// the places. So a flood of sign-ins from one source hardly delays other sources, and no flood delays a caller
// who is signed in by more than the work that runs already.
type workQueue struct {
	maxRunning int
	maxWaiting int // in each lane
	maxWait    time.Duration

	mu      sync.Mutex // protects the fields below
	running int
	lanes   [2]lane // in the order in which they are served
}

// lane holds the calls of one kind that wait.
type lane struct {
	size    int
	waiting map[string][]*call // by source, the oldest first
	turns   []string           // the sources in waiting; the next one first
}

// call is a call of [workQueue.do].
type call struct {
	lane   *lane
	source string
	turn   chan struct{} // closed when the call may run
}

func newWorkQueue(maxRunning, maxWaiting int, maxWait time.Duration) *workQueue {
	q := &workQueue{maxRunning: maxRunning, maxWaiting: maxWaiting, maxWait: maxWait}
	for i := range q.lanes {
		q.lanes[i].waiting = map[string][]*call{}
	}
	return q
}

// do runs work for w when it is its turn. Errors: ErrBusy with RetryAfter if there is no place to wait, or if
// the wait exceeds maxWait; ErrUnavailable if ctx ends before work begins. Once begun, work is not
// interrupted.
func (q *workQueue) do(ctx context.Context, w domain.Work, work func()) error {
	busy := domain.ErrBusy.WithRetryAfter(q.maxWait)
	c, ok := q.enter(w)
	if !ok {
		return busy
	}
	defer q.leave(c)
	timeout := time.NewTimer(q.maxWait)
	defer timeout.Stop()
	select {
	case <-c.turn:
	case <-timeout.C:
		return busy
	case <-ctx.Done():
	}
	// select chooses at random if the turn comes just as ctx ends.
	if err := ctx.Err(); err != nil {
		return domain.ErrUnavailable.WithCause(err)
	}
	work()
	return nil
}

// enter returns a call that waits, or whose turn it is already. It returns false if there is no place.
func (q *workQueue) enter(w domain.Work) (*call, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := &q.lanes[1]
	if w.Authenticated {
		l = &q.lanes[0]
	}
	c := &call{l, w.Source, make(chan struct{})}
	switch {
	case q.running < q.maxRunning: // then no call waits
		q.start(c)
	case l.size < q.maxWaiting && len(l.waiting[c.source]) < max(1, q.maxWaiting/4):
		l.add(c)
	default:
		return nil, false
	}
	return c, true
}

// leave ends c, whether it waits or runs. If it ran, the next call starts.
func (q *workQueue) leave(c *call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.Contains(c.lane.waiting[c.source], c) {
		c.lane.remove(c)
		return
	}
	q.running--
	for i := range q.lanes {
		if l := &q.lanes[i]; l.size > 0 {
			q.start(l.next())
			return
		}
	}
}

func (q *workQueue) start(c *call) {
	q.running++
	close(c.turn)
}

func (l *lane) add(c *call) {
	l.size++
	if l.waiting[c.source] = append(l.waiting[c.source], c); len(l.waiting[c.source]) == 1 {
		l.turns = append(l.turns, c.source)
	}
}

// next removes the oldest call of the source whose turn it is. If more of its calls wait, they have to wait for
// the turns of all other sources.
func (l *lane) next() *call {
	source := l.turns[0]
	c := l.waiting[source][0]
	l.turns = append(l.turns[1:], source)
	l.remove(c)
	return c
}

func (l *lane) remove(c *call) {
	l.size--
	calls := l.waiting[c.source]
	i := slices.Index(calls, c)
	if calls = slices.Delete(calls, i, i+1); len(calls) > 0 {
		l.waiting[c.source] = calls
		return
	}
	delete(l.waiting, c.source)
	i = slices.Index(l.turns, c.source)
	l.turns = slices.Delete(l.turns, i, i+1)
}

// load returns how many calls run and how many wait.
func (q *workQueue) load() (running, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.lanes {
		waiting += l.size
	}
	return q.running, waiting
}
