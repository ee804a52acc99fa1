package items_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

var (
	newTitle = domaintest.Title("new title")
	newText  = domaintest.Description("new text")
	noText   domain.Optional[domain.Description]
	retitle  = domain.ItemPatch{Title: domain.Some(newTitle)}
)

func TestCreate(t *testing.T) {
	for name, text := range map[string]domain.Optional[domain.Description]{
		"with a description": newText, "without a description": noText,
	} {
		run(t, "an account creates an item "+name, func(t *testing.T, s *fixture) {
			for _, by := range []domain.User{s.ann, s.root} {
				i, err := s.Create(t.Context(), by.Actor(), domain.ItemContent{Title: newTitle, Description: text})
				require.NoError(t, err)
				want := domain.Item{
					ID: i.ID, OwnerID: by.ID, ItemContent: domain.ItemContent{Title: newTitle, Description: text},
					Version: 1, CreatedAt: now, UpdatedAt: now,
				}
				assert.Equal(t, want, i)
				assert.NoError(t, uuid.Validate(i.ID))
				s.assertStored(t, want)
			}
		})
	}
}

func TestList(t *testing.T) {
	run(t, "an account lists its own items, even if it is a superuser", func(t *testing.T, s *fixture) {
		for _, c := range []struct {
			by   domain.User
			want []domain.Item
		}{{s.ann, []domain.Item{s.annItem}}, {s.bob, []domain.Item{s.bobItem}}, {s.root, []domain.Item{}}} {
			page, err := s.List(t.Context(), c.by.Actor(), all)
			require.NoError(t, err)
			assert.Equal(t, domain.Page[domain.Item]{Rows: c.want, Total: domain.Some(len(c.want))}, page)
		}
	})
	run(t, "a list is limited to the requested page", func(t *testing.T, s *fixture) {
		newer, err := s.Create(t.Context(), s.ann.Actor(), domain.ItemContent{Title: newTitle})
		require.NoError(t, err)
		page, err := s.List(t.Context(), s.ann.Actor(), domain.PageRequest{Limit: 1})
		require.NoError(t, err)
		assert.Equal(t, domain.Page[domain.Item]{Rows: []domain.Item{newer}, More: true}, page)
	})
}

// call is a call of the service. It returns only the error.
type call func(context.Context, *fixture, domain.Actor, domain.Versions) error

// callsOnItem are all calls that name an item. They name Ann's.
var callsOnItem = map[string]call{
	"Get": func(ctx context.Context, s *fixture, by domain.Actor, _ domain.Versions) error {
		_, err := s.Get(ctx, by, s.annItem.ID)
		return err
	},
	"Update": func(ctx context.Context, s *fixture, by domain.Actor, v domain.Versions) error {
		_, err := s.Update(ctx, by, s.annItem.ID, retitle, v)
		return err
	},
	"Delete": func(ctx context.Context, s *fixture, by domain.Actor, v domain.Versions) error {
		return s.Delete(ctx, by, s.annItem.ID, v)
	},
}

func TestScope(t *testing.T) {
	for name, call := range callsOnItem {
		run(t, name+" reaches the actor's own item", func(t *testing.T, s *fixture) {
			assert.NoError(t, call(t.Context(), s, s.ann.Actor(), anyVersion))
		})
		run(t, name+" reaches every item for a superuser", func(t *testing.T, s *fixture) {
			assert.NoError(t, call(t.Context(), s, s.root.Actor(), anyVersion))
		})
		run(t, name+" does not find the item of another account, for any version", func(t *testing.T, s *fixture) {
			for _, v := range []domain.Versions{
				anyVersion, domain.OnlyVersions(itemVersion), domain.OnlyVersions(itemVersion + 1),
			} {
				assert.Equal(t, domain.ErrNotFound, call(t.Context(), s, s.bob.Actor(), v))
			}
			s.assertStored(t, s.annItem)
		})
		run(t, name+" does not find a deleted item", func(t *testing.T, s *fixture) {
			require.NoError(t, s.Delete(t.Context(), s.ann.Actor(), s.annItem.ID, anyVersion))
			for _, by := range []domain.User{s.ann, s.root} {
				assert.Equal(t, domain.ErrNotFound, call(t.Context(), s, by.Actor(), anyVersion))
			}
		})
	}
}

func TestAudit(t *testing.T) {
	for name, event := range map[string]string{
		"Get": domain.EventItemRead, "Update": domain.EventItemChanged, "Delete": domain.EventItemDeleted,
	} {
		run(t, name+" of another account's item is an event", func(t *testing.T, s *fixture) {
			by := s.root.Actor()
			by.Source = "192.0.2.1"
			require.NoError(t, callsOnItem[name](t.Context(), s, by, anyVersion))
			assert.Equal(t, []domain.Event{{
				Name: event, ActorID: s.root.ID, SubjectID: s.ann.ID, ObjectID: s.annItem.ID, Source: "192.0.2.1",
			}}, s.events)
		})
		run(t, name+" of the actor's own item is no event, nor is a refusal", func(t *testing.T, s *fixture) {
			require.ErrorIs(t, callsOnItem[name](t.Context(), s, s.bob.Actor(), anyVersion), domain.ErrNotFound)
			require.NoError(t, callsOnItem[name](t.Context(), s, s.ann.Actor(), anyVersion))
			require.ErrorIs(t, s.Delete(t.Context(), s.root.Actor(), s.bobItem.ID, domain.OnlyVersions()), domain.ErrStale)
			_, err := s.Update(t.Context(), s.root.Actor(), s.bobItem.ID, retitle, domain.OnlyVersions())
			require.ErrorIs(t, err, domain.ErrStale)
			i, err := s.Create(t.Context(), s.root.Actor(), domain.ItemContent{Title: newTitle})
			require.NoError(t, err)
			require.NoError(t, s.Delete(t.Context(), s.root.Actor(), i.ID, anyVersion))
			assert.Empty(t, s.events)
		})
	}
	run(t, "a patch without a difference is an event of reading", func(t *testing.T, s *fixture) {
		_, err := s.Update(t.Context(), s.root.Actor(), s.annItem.ID, domain.ItemPatch{}, anyVersion)
		require.NoError(t, err)
		require.Len(t, s.events, 1)
		assert.Equal(t, domain.EventItemRead, s.events[0].Name)
	})
}

func TestSignedOut(t *testing.T) {
	calls := map[string]call{
		"List": func(ctx context.Context, s *fixture, by domain.Actor, _ domain.Versions) error {
			_, err := s.List(ctx, by, all)
			return err
		},
		"Create": func(ctx context.Context, s *fixture, by domain.Actor, _ domain.Versions) error {
			i, err := s.Create(ctx, by, domain.ItemContent{Title: newTitle})
			assert.Zero(t, i)
			return err
		},
	}
	maps.Copy(calls, callsOnItem)
	for name, call := range calls {
		run(t, name+" changes nothing for a signed-out actor or an ended context", func(t *testing.T, s *fixture) {
			for _, u := range []domain.User{s.ann, s.root} {
				signedOut := u.Actor()
				signedOut.Epoch--
				assert.Equal(t, domain.ErrSignedOut, call(t.Context(), s, signedOut, anyVersion))
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				assert.ErrorIs(t, call(ctx, s, u.Actor(), anyVersion), domain.ErrUnavailable)
			}
			s.assertStored(t, s.annItem)
		})
	}
}

func TestUpdate(t *testing.T) {
	for name, c := range map[string]struct {
		patch  domain.ItemPatch
		change func(*domain.Item)
	}{
		"sets the title": {retitle, func(i *domain.Item) { i.Title = newTitle }},
		"sets the description": {
			domain.ItemPatch{Description: domain.Some(newText)}, func(i *domain.Item) { i.Description = newText },
		},
		"clears the description": {
			domain.ItemPatch{Description: domain.Some(noText)}, func(i *domain.Item) { i.Description = noText },
		},
		"sets title and description": {
			domain.ItemPatch{Title: domain.Some(newTitle), Description: domain.Some(newText)},
			func(i *domain.Item) { i.Title, i.Description = newTitle, newText },
		},
	} {
		run(t, "an update "+name+" and keeps every other field", func(t *testing.T, s *fixture) {
			want := s.annItem
			c.change(&want)
			want.Version, want.UpdatedAt = itemVersion+1, now
			ifVersion := domain.OnlyVersions(itemVersion)
			i, err := s.Update(t.Context(), s.root.Actor(), s.annItem.ID, c.patch, ifVersion)
			require.NoError(t, err)
			assert.Equal(t, want, i)
			s.assertStored(t, want)
		})
	}
	run(t, "an update without a difference writes nothing and keeps the version", func(t *testing.T, s *fixture) {
		for _, patch := range []domain.ItemPatch{
			{}, {Title: domain.Some(s.annItem.Title), Description: domain.Some(s.annItem.Description)},
		} {
			i, err := s.Update(t.Context(), s.ann.Actor(), s.annItem.ID, patch, anyVersion)
			require.NoError(t, err)
			assert.Equal(t, s.annItem, i)
			s.assertStored(t, s.annItem)
			assert.Zero(t, s.interleaved.updates.Load())
		}
	})
}

func TestConcurrentUpdates(t *testing.T) {
	const maxTries = 32
	run(t, "an update succeeds after 31 concurrent changes and keeps them", func(t *testing.T, s *fixture) {
		s.changeConcurrently(t, maxTries-1)
		i, err := s.Update(t.Context(), s.ann.Actor(), s.annItem.ID, retitle, anyVersion)
		require.NoError(t, err)
		want := s.annItem
		want.Title, want.Description = newTitle, domaintest.Description(lastConcurrentChange)
		want.Version, want.UpdatedAt = itemVersion+maxTries, now
		assert.Equal(t, want, i)
		s.assertStored(t, want)
		assert.EqualValues(t, maxTries, s.interleaved.reads.Load())
		assert.EqualValues(t, maxTries, s.interleaved.updates.Load())
	})
	run(t, "an update that always loses gives up after 32 tries", func(t *testing.T, s *fixture) {
		s.changeConcurrently(t, 1_000_000)
		i, err := s.Update(t.Context(), s.ann.Actor(), s.annItem.ID, retitle, anyVersion)
		assert.Equal(t, domain.ErrContended, err)
		assert.Zero(t, i)
		assert.EqualValues(t, maxTries, s.interleaved.reads.Load())
		assert.EqualValues(t, maxTries, s.interleaved.updates.Load())
	})
	run(t, "32 concurrent updates of different fields all succeed", func(t *testing.T, s *fixture) {
		s.interleaved.afterRead = func() { time.Sleep(time.Millisecond) } // all read before the first writes
		var done sync.WaitGroup
		for n := range maxTries / 2 {
			for _, patch := range []domain.ItemPatch{
				{Title: domain.Some(domaintest.Title(fmt.Sprint(n)))},
				{Description: domain.Some(domaintest.Description(fmt.Sprint(n)))},
			} {
				done.Go(func() {
					_, err := s.Update(t.Context(), s.ann.Actor(), s.annItem.ID, patch, anyVersion)
					assert.NoError(t, err)
				})
			}
		}
		done.Wait()
		assert.LessOrEqual(t, s.interleaved.reads.Load(), int64(maxTries*maxTries))
		i, err := s.Get(t.Context(), s.ann.Actor(), s.annItem.ID)
		require.NoError(t, err)
		assert.NotEqual(t, s.annItem.Title, i.Title)
		assert.NotEqual(t, s.annItem.Description, i.Description)
		assert.EqualValues(t, itemVersion+maxTries, i.Version, "no update overwrote another")
	})
}

func TestIfVersion(t *testing.T) {
	for _, name := range []string{"Update", "Delete"} {
		call := callsOnItem[name]
		run(t, name+" for another version is stale immediately", func(t *testing.T, s *fixture) {
			start := time.Now()
			for _, v := range []domain.Versions{
				domain.OnlyVersions(0), domain.OnlyVersions(itemVersion - 1), domain.OnlyVersions(itemVersion + 1),
				domain.OnlyVersions(itemVersion-1, itemVersion+1), domain.OnlyVersions(),
			} {
				assert.Equal(t, domain.ErrStale, call(t.Context(), s, s.ann.Actor(), v))
			}
			assert.Zero(t, time.Since(start))
			s.assertStored(t, s.annItem)
		})
		for set, v := range map[string]domain.Versions{
			"the current version": domain.OnlyVersions(itemVersion),
			"a set with it":       domain.OnlyVersions(itemVersion-1, itemVersion),
		} {
			run(t, name+" for "+set+" succeeds", func(t *testing.T, s *fixture) {
				assert.NoError(t, call(t.Context(), s, s.ann.Actor(), v))
			})
		}
	}
	run(t, "an update for one version that loses to a concurrent change is stale immediately",
		func(t *testing.T, s *fixture) {
			s.changeConcurrently(t, 1)
			start, ifVersion := time.Now(), domain.OnlyVersions(itemVersion)
			_, err := s.Update(t.Context(), s.ann.Actor(), s.annItem.ID, retitle, ifVersion)
			assert.Equal(t, domain.ErrStale, err)
			assert.Zero(t, time.Since(start))
			assert.EqualValues(t, 1, s.interleaved.reads.Load())
			assert.EqualValues(t, 1, s.interleaved.updates.Load())
		})
}
