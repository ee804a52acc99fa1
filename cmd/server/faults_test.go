package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

// fault is what a [faultyStore] does before it calls a method of the store.
type fault func(context.Context) error

// in returns a hook for [faultyStore] that applies f to one method only.
func (f fault) in(method string) func(context.Context, string) error {
	return func(ctx context.Context, called string) error {
		if f == nil || called != method {
			return nil
		}
		return f(ctx)
	}
}

// hanging is a fault that blocks until the context ends.
func hanging(ctx context.Context) error {
	<-ctx.Done()
	return domain.ErrUnavailable.WithCause(ctx.Err())
}

// outage makes a store unavailable while it is true.
type outage struct{ atomic.Bool }

func (o *outage) fault(context.Context) error {
	if o.Load() {
		return domain.ErrUnavailable
	}
	return nil
}

// gate blocks calls until it is opened, even after their contexts have ended.
type gate struct {
	arrived chan struct{} // receives one element per call
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

// barrier blocks calls until n of them have arrived. Later calls pass.
type barrier struct {
	missing atomic.Int64
	opened  chan struct{}
}

func newBarrier(n int64) *barrier {
	b := &barrier{opened: make(chan struct{})}
	b.missing.Store(n)
	return b
}

func (b *barrier) wait() {
	if b == nil {
		return
	}
	if b.missing.Add(-1) == 0 {
		close(b.opened)
	}
	<-b.opened
}

// racingStore lets the first calls of a method wait for each other, so that each caller has read before
// any of them writes. A nil barrier blocks nothing.
type racingStore struct {
	ports.Store
	firstSuperuser, userUpdate, itemUpdate *barrier
}

func (s racingStore) CreateFirstSuperuser(ctx context.Context, u domain.User) (bool, error) {
	s.firstSuperuser.wait()
	return s.Store.CreateFirstSuperuser(ctx, u)
}

func (s racingStore) UpdateUser(ctx context.Context, by domain.Actor, next, read domain.User) error {
	s.userUpdate.wait()
	return s.Store.UpdateUser(ctx, by, next, read)
}

func (s racingStore) UpdateItem(
	ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item, read int64,
) error {
	s.itemUpdate.wait()
	return s.Store.UpdateItem(ctx, by, scope, next, read)
}
