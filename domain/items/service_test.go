package items_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/items"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

var (
	created  = time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)
	now      = created.Add(time.Hour)
	oldTitle = must(domain.ParseTitle("old title"))
	newTitle = must(domain.ParseTitle("new title"))
	oldText  = domain.Some(must(domain.ParseDescription("old text")))
	newText  = domain.Some(must(domain.ParseDescription("new text")))
	noText   domain.Optional[domain.Description]
	retitle  = domain.ItemPatch{Title: domain.Some(newTitle)}
	anytime  domain.Versions // no ifVersion
	all      = domain.PageRequest{Limit: 1000, Count: true}
)

// scene is the use cases over a store in memory, with an item of each of two ordinary accounts and
// none of the superuser.
type scene struct {
	*items.Service
	store          *memory.Store
	contest        *contestedStore
	root, ann, bob domain.User
	anns, bobs     domain.Item
}

// test runs f on a new scene, in a bubble whose clock moves only when everybody waits.
func test(t *testing.T, name string, f func(*testing.T, *scene)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &scene{store: memory.New(), root: account("root"), ann: account("ann"), bob: account("bob")}
			s.anns, s.bobs = item(s.ann), item(s.bob)
			s.contest = &contestedStore{Store: s.store, meanwhile: func() {}}
			s.Service = &items.Service{
				Store: s.contest,
				NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
				Now:   func() time.Time { return now },
			}
			s.root.Superuser = true
			_, err := s.store.CreateFirstSuperuser(t.Context(), s.root)
			require.NoError(t, err)
			require.NoError(t, s.store.CreateUser(t.Context(), s.root.Actor(), s.ann))
			require.NoError(t, s.store.CreateUser(t.Context(), s.root.Actor(), s.bob))
			require.NoError(t, s.store.CreateItem(t.Context(), s.ann.Actor(), s.anns))
			require.NoError(t, s.store.CreateItem(t.Context(), s.bob.Actor(), s.bobs))
			f(t, s)
		})
	})
}

func account(name string) domain.User {
	return domain.User{
		ID: "id-of-" + name, Email: must(domain.ParseEmail(name + "@example.com")),
		Active: true, Version: 1, Epoch: 2, CreatedAt: created, UpdatedAt: created,
	}
}

func item(owner domain.User) domain.Item {
	return domain.Item{
		ID: "item-" + owner.ID, OwnerID: owner.ID, Title: oldTitle, Description: oldText,
		Version: 3, CreatedAt: created, UpdatedAt: created,
	}
}

func (s *scene) assertStored(t *testing.T, want domain.Item) {
	t.Helper()
	i, err := s.store.Item(t.Context(), s.root.Actor(), domain.AllItems(), want.ID)
	require.NoError(t, err)
	assert.Equal(t, want, i)
}

// contestedStore counts calls and lets others be faster.
type contestedStore struct {
	ports.Store
	reads, writes atomic.Int64
	meanwhile     func() // happens between a read and its answer
}

func (s *contestedStore) Item(ctx context.Context, by domain.Actor, scope domain.ItemScope, id string) (domain.Item, error) {
	s.reads.Add(1)
	defer s.meanwhile()
	return s.Store.Item(ctx, by, scope, id)
}

func (s *contestedStore) UpdateItem(ctx context.Context, by domain.Actor, scope domain.ItemScope, next domain.Item, read int64) error {
	s.writes.Add(1)
	return s.Store.UpdateItem(ctx, by, scope, next, read)
}

// overtake lets somebody else change the text of ann's item within the next n reads.
func (s *scene) overtake(t *testing.T, n int) {
	s.contest.meanwhile = func() {
		if n--; n < 0 {
			return
		}
		read, err := s.store.Item(t.Context(), s.ann.Actor(), domain.OwnedBy(s.ann.ID), s.anns.ID)
		require.NoError(t, err)
		next := read
		next.Description = domain.Some(must(domain.ParseDescription(fmt.Sprint("overtaken ", n))))
		next, _ = read.Revise(next, now)
		require.NoError(t, s.store.UpdateItem(t.Context(), s.ann.Actor(), domain.OwnedBy(s.ann.ID), next, read.Version))
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCreate(t *testing.T) {
	for name, text := range map[string]domain.Optional[domain.Description]{"with a text": newText, "without a text": noText} {
		test(t, "adds an item of one's own "+name, func(t *testing.T, s *scene) {
			for _, by := range []domain.User{s.ann, s.root} {
				i, err := s.Create(t.Context(), by.Actor(), domain.NewItem{Title: newTitle, Description: text})
				require.NoError(t, err)
				want := domain.Item{ID: i.ID, OwnerID: by.ID, Title: newTitle, Description: text, Version: 1, CreatedAt: now, UpdatedAt: now}
				assert.Equal(t, want, i)
				assert.NoError(t, uuid.Validate(i.ID))
				s.assertStored(t, want)
			}
		})
	}
}

func TestList(t *testing.T) {
	test(t, "shows one's own items, to superusers too", func(t *testing.T, s *scene) {
		for _, c := range []struct {
			by   domain.User
			want []domain.Item
		}{{s.ann, []domain.Item{s.anns}}, {s.bob, []domain.Item{s.bobs}}, {s.root, []domain.Item{}}} {
			page, err := s.List(t.Context(), c.by.Actor(), all)
			require.NoError(t, err)
			assert.Equal(t, domain.Page[domain.Item]{Rows: c.want, Total: domain.Some(len(c.want))}, page)
		}
	})
	test(t, "shows the page that was asked for", func(t *testing.T, s *scene) {
		newer, err := s.Create(t.Context(), s.ann.Actor(), domain.NewItem{Title: newTitle})
		require.NoError(t, err)
		page, err := s.List(t.Context(), s.ann.Actor(), domain.PageRequest{Limit: 1})
		require.NoError(t, err)
		assert.Equal(t, domain.Page[domain.Item]{Rows: []domain.Item{newer}, More: true}, page)
	})
}

// onAnns is every call on one item, made on ann's.
var onAnns = map[string]func(context.Context, *scene, domain.Actor, domain.Versions) error{
	"Get": func(ctx context.Context, s *scene, by domain.Actor, _ domain.Versions) error {
		_, err := s.Get(ctx, by, s.anns.ID)
		return err
	},
	"Update": func(ctx context.Context, s *scene, by domain.Actor, v domain.Versions) error {
		_, err := s.Update(ctx, by, s.anns.ID, retitle, v)
		return err
	},
	"Delete": func(ctx context.Context, s *scene, by domain.Actor, v domain.Versions) error {
		return s.Delete(ctx, by, s.anns.ID, v)
	},
}

func TestReach(t *testing.T) {
	for name, call := range onAnns {
		test(t, name+" reaches one's own item", func(t *testing.T, s *scene) {
			assert.NoError(t, call(t.Context(), s, s.ann.Actor(), anytime))
		})
		test(t, name+" reaches everyone's item for a superuser", func(t *testing.T, s *scene) {
			assert.NoError(t, call(t.Context(), s, s.root.Actor(), anytime))
		})
		test(t, name+" answers for somebody else's item as for none, whatever the version", func(t *testing.T, s *scene) {
			for _, v := range []domain.Versions{anytime, domain.OnlyVersions(s.anns.Version), domain.OnlyVersions(s.anns.Version + 1)} {
				assert.Equal(t, domain.ErrNotFound, call(t.Context(), s, s.bob.Actor(), v))
			}
			s.assertStored(t, s.anns)
		})
	}
	test(t, "none is an item that there is not", func(t *testing.T, s *scene) {
		require.NoError(t, s.Delete(t.Context(), s.ann.Actor(), s.anns.ID, anytime))
		for _, call := range onAnns {
			for _, by := range []domain.User{s.ann, s.root} {
				assert.Equal(t, domain.ErrNotFound, call(t.Context(), s, by.Actor(), anytime))
			}
		}
	})
}

func TestSignedOut(t *testing.T) {
	calls := map[string]func(context.Context, *scene, domain.Actor, domain.Versions) error{
		"List": func(ctx context.Context, s *scene, by domain.Actor, _ domain.Versions) error {
			_, err := s.List(ctx, by, all)
			return err
		},
		"Create": func(ctx context.Context, s *scene, by domain.Actor, _ domain.Versions) error {
			i, err := s.Create(ctx, by, domain.NewItem{Title: newTitle})
			assert.Zero(t, i)
			return err
		},
	}
	for name, call := range onAnns {
		calls[name] = call
	}
	for name, call := range calls {
		test(t, name+" does nothing for who is signed out, or while the store does not answer", func(t *testing.T, s *scene) {
			for _, u := range []domain.User{s.ann, s.root} {
				signedOut := u.Actor()
				signedOut.Epoch--
				assert.Equal(t, domain.ErrSignedOut, call(t.Context(), s, signedOut, anytime))
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				assert.ErrorIs(t, call(ctx, s, u.Actor(), anytime), domain.ErrUnavailable)
			}
			s.assertStored(t, s.anns)
		})
	}
}

func TestUpdate(t *testing.T) {
	for name, c := range map[string]struct {
		patch  domain.ItemPatch
		change func(*domain.Item)
	}{
		"sets the title":    {retitle, func(i *domain.Item) { i.Title = newTitle }},
		"sets the text":     {domain.ItemPatch{Description: domain.Some(newText)}, func(i *domain.Item) { i.Description = newText }},
		"clears the text":   {domain.ItemPatch{Description: domain.Some(noText)}, func(i *domain.Item) { i.Description = noText }},
		"sets both of them": {domain.ItemPatch{Title: domain.Some(newTitle), Description: domain.Some(newText)}, func(i *domain.Item) { i.Title, i.Description = newTitle, newText }},
	} {
		test(t, name+", leaves the rest and never the owner", func(t *testing.T, s *scene) {
			want := s.anns
			c.change(&want)
			want.Version, want.UpdatedAt = 4, now
			i, err := s.Update(t.Context(), s.root.Actor(), s.anns.ID, c.patch, domain.OnlyVersions(s.anns.Version))
			require.NoError(t, err)
			assert.Equal(t, want, i)
			s.assertStored(t, want)
		})
	}
	for name, patch := range map[string]domain.ItemPatch{
		"an empty patch":      {},
		"what is there today": {Title: domain.Some(oldTitle), Description: domain.Some(oldText)},
	} {
		test(t, "with "+name+" changes nothing, the version neither", func(t *testing.T, s *scene) {
			i, err := s.Update(t.Context(), s.ann.Actor(), s.anns.ID, patch, anytime)
			require.NoError(t, err)
			assert.Equal(t, s.anns, i)
			s.assertStored(t, s.anns)
			assert.Zero(t, s.contest.writes.Load())
		})
	}
	test(t, "is made again on top of what others changed meanwhile", func(t *testing.T, s *scene) {
		s.overtake(t, 3)
		i, err := s.Update(t.Context(), s.ann.Actor(), s.anns.ID, retitle, anytime)
		require.NoError(t, err)
		want := s.anns
		want.Title, want.Description = newTitle, domain.Some(must(domain.ParseDescription("overtaken 0")))
		want.Version, want.UpdatedAt = s.anns.Version+3+1, now
		assert.Equal(t, want, i)
		s.assertStored(t, want)
	})
	test(t, "gives up when the others do not stop", func(t *testing.T, s *scene) {
		s.overtake(t, 1_000_000)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		i, err := s.Update(ctx, s.ann.Actor(), s.anns.ID, retitle, anytime)
		assert.Equal(t, domain.ErrContended, err)
		assert.Zero(t, i)
	})
	test(t, "of many with different fields at once leaves none out", func(t *testing.T, s *scene) {
		const each = 16
		s.contest.meanwhile = func() { time.Sleep(time.Millisecond) } // so that all read before any writes
		var done sync.WaitGroup
		for n := range each {
			for _, patch := range []domain.ItemPatch{
				{Title: domain.Some(must(domain.ParseTitle(fmt.Sprint(n))))},
				{Description: domain.Some(domain.Some(must(domain.ParseDescription(fmt.Sprint(n)))))},
			} {
				done.Go(func() {
					_, err := s.Update(t.Context(), s.ann.Actor(), s.anns.ID, patch, anytime)
					assert.NoError(t, err)
				})
			}
		}
		done.Wait()
		i, err := s.Get(t.Context(), s.ann.Actor(), s.anns.ID)
		require.NoError(t, err)
		assert.NotEqual(t, s.anns.Title, i.Title)
		assert.NotEqual(t, s.anns.Description, i.Description)
		assert.EqualValues(t, s.anns.Version+2*each, i.Version, "each was made on top of another")
	})
}

func TestIfVersion(t *testing.T) {
	for _, name := range []string{"Update", "Delete"} {
		call := onAnns[name]
		test(t, name+" is refused at once when the version is another", func(t *testing.T, s *scene) {
			start := time.Now()
			for _, v := range []int64{0, s.anns.Version - 1, s.anns.Version + 1} {
				assert.Equal(t, domain.ErrStale, call(t.Context(), s, s.ann.Actor(), domain.OnlyVersions(v)))
			}
			assert.Zero(t, time.Since(start))
			s.assertStored(t, s.anns)
		})
		test(t, name+" goes ahead when the version is that one", func(t *testing.T, s *scene) {
			assert.NoError(t, call(t.Context(), s, s.ann.Actor(), domain.OnlyVersions(s.anns.Version)))
		})
	}
	test(t, "Update is refused at once when it is overtaken", func(t *testing.T, s *scene) {
		s.overtake(t, 1)
		start := time.Now()
		_, err := s.Update(t.Context(), s.ann.Actor(), s.anns.ID, retitle, domain.OnlyVersions(s.anns.Version))
		assert.Equal(t, domain.ErrStale, err)
		assert.Zero(t, time.Since(start))
		assert.EqualValues(t, 1, s.contest.reads.Load())
	})
}
