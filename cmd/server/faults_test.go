package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// fault is what a [faultyStore] store does before the calls of one method.
type fault func(context.Context) error

// in is the fault of that method, and of no other.
func (f fault) in(method string) func(context.Context, string) error {
	return func(ctx context.Context, called string) error {
		if f == nil || called != method {
			return nil
		}
		return f(ctx)
	}
}

// hanging is a fault that lasts until the call's context ends.
func hanging(ctx context.Context) error {
	<-ctx.Done()
	return domain.ErrUnavailable.WithCause(ctx.Err())
}

// outage is a store that is away for as long as it is true.
type outage struct{ atomic.Bool }

func (o *outage) fault(context.Context) error {
	if o.Load() {
		return domain.ErrUnavailable
	}
	return nil
}

// gate holds calls up until it is opened, even beyond the end of their contexts.
type gate struct {
	arrived chan struct{} // receives once for each call
	opened  chan struct{}
	open    func()
}

func newGate() gate {
	opened := make(chan struct{})
	return gate{make(chan struct{}, 1), opened, sync.OnceFunc(func() { close(opened) })}
}

func (g gate) fault(context.Context) error {
	g.arrived <- struct{}{}
	<-g.opened
	return nil
}

// meeting holds callers up until a number of them is there; whoever comes later just passes.
type meeting struct {
	missing  atomic.Int64
	complete chan struct{}
}

func newMeeting(n int64) *meeting {
	m := &meeting{complete: make(chan struct{})}
	m.missing.Store(n)
	return m
}

func (m *meeting) attend() {
	if m.missing.Add(-1) == 0 {
		close(m.complete)
	}
	<-m.complete
}

// rendezvous is a store in which the first callers of a method meet, so that each of them has read
// before any of them writes.
type rendezvous struct {
	ports.Store
	firstSuperuser, userUpdate, itemUpdate *meeting
}

func (r rendezvous) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	r.firstSuperuser.attend()
	return r.Store.CreateFirstSuperuser(ctx, u)
}

func (r rendezvous) UpdateUser(ctx context.Context, by domain.Actor, next, read domain.User) error {
	r.userUpdate.attend()
	return r.Store.UpdateUser(ctx, by, next, read)
}

func (r rendezvous) UpdateItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item, read int64) error {
	r.itemUpdate.attend()
	return r.Store.UpdateItem(ctx, by, scope, next, read)
}
