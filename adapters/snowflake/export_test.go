package snowflake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

func TestAnExportHasEveryRowOnceInTheOrderOfIds(t *testing.T) {
	f := newFixture(t)
	want := []domain.Item{f.item}
	st, args := items.Insert(f.item, "WHERE TRUE")
	for range 2*exportRows + 1 {
		i := domaintest.Item(f.ann)
		want = append(want, i)
		args[0], args[3] = i.ID, nil
		f.server.Exec(st, args...)
	}
	slices.SortFunc(want, func(a, b domain.Item) int { return strings.Compare(a.ID, b.ID) })
	var got []domain.Item
	parts := 0
	require.NoError(t, f.ExportItems(t.Context(), func(p Part[domain.Item]) error {
		parts++
		assert.LessOrEqual(t, len(p.Rows), exportRows)
		got = append(got, p.Rows...)
		return nil
	}))
	assert.Equal(t, len(want), len(got))
	assert.True(t, slices.EqualFunc(want, got, func(a, b domain.Item) bool { return a.ID == b.ID }))
	assert.Equal(t, 3, parts)

	var accounts []domain.User
	require.NoError(t, f.ExportUsers(t.Context(), func(p Part[domain.User]) error {
		accounts = append(accounts, p.Rows...)
		return nil
	}))
	assert.ElementsMatch(t, []domain.User{f.admin, f.ann}, accounts, "with their password hashes")
}

func TestAnExportOmitsSessionsAndClientsThatHaveEnded(t *testing.T) {
	f := newFixture(t)
	var wantSessions []domain.Session
	var wantClients []domain.Client
	for range 3 {
		s, c := domaintest.Session(f.ann), domaintest.Client(f.ann)
		wantSessions, wantClients = append(wantSessions, s), append(wantClients, c)
		addRow(f.server, sessions, s)
		addRow(f.server, clients, c)
		addRow(f.server, sessions, domaintest.Session(f.ann, func(s *domain.Session) { s.Epoch = 0 }))
		addRow(f.server, clients, domaintest.Client(f.ann, func(c *domain.Client) { c.Epoch = 0 }))
		addRow(f.server, sessions, domaintest.Session(domaintest.User()))
		addRow(f.server, clients, domaintest.Client(domaintest.User()))
	}
	require.NoError(t, f.ExportSessions(t.Context(), func(p Part[domain.Session]) error {
		assert.Equal(t, Part[domain.Session]{Rows: wantSessions}, p)
		return nil
	}))
	require.NoError(t, f.ExportClients(t.Context(), func(p Part[domain.Client]) error {
		assert.Equal(t, Part[domain.Client]{Rows: wantClients}, p)
		return nil
	}))
}

func TestAnExportEndsWithTheErrorOfItsUser(t *testing.T) {
	f := newFixture(t)
	failed := fmt.Errorf("the disk is full")
	assert.Equal(t, failed, f.ExportItems(t.Context(), func(Part[domain.Item]) error { return failed }))
}

func TestARowThatIsNoEntityIsRefusedAndNamedWithoutItsValue(t *testing.T) {
	f := newFixture(t)
	f.server.Exec("UPDATE items SET title = ? WHERE id = ?", "secret\x00", f.item.ID)
	var p Part[domain.Item]
	require.NoError(t, f.ExportItems(t.Context(), func(found Part[domain.Item]) error {
		p = found
		return nil
	}))
	assert.Empty(t, p.Rows)
	require.Len(t, p.Refused, 1)
	assert.Equal(t, "column title of the row "+f.item.ID+" of table items: must not contain the character NUL", p.Refused[0].Error())
}

func TestFaultsListTheFirstIdsOfEachKind(t *testing.T) {
	f := newFixture(t)
	faults, err := f.Faults(t.Context())
	require.NoError(t, err)
	assert.Empty(t, faults)

	for i := range MaxFaultIDs + 5 {
		f.server.Exec("INSERT INTO items (id, owner_id, title, version, created_at, updated_at) "+
			"SELECT ?, 'gone', 'x', 1, sysdate(), sysdate()", fmt.Sprintf("o%02d", i))
	}
	faults, err = f.Faults(t.Context())
	require.NoError(t, err)
	require.Len(t, faults, 1)
	assert.Equal(t, "items without an owner", faults[0].What)
	assert.Equal(t, MaxFaultIDs+5, faults[0].Total)
	require.Len(t, faults[0].IDs, MaxFaultIDs)
	assert.Equal(t, "o00", faults[0].IDs[0])
}

func TestTheTimeOfTheFirstSuperuserIsExported(t *testing.T) {
	f := newFixture(t)
	at, err := f.FirstSuperuserAt(t.Context())
	require.NoError(t, err)
	assert.Equal(t, domain.Some(f.admin.CreatedAt), at)
	f.server.Exec("UPDATE account_lock SET bootstrapped_at = NULL")
	at, err = f.FirstSuperuserAt(t.Context())
	require.NoError(t, err)
	assert.Equal(t, domain.Optional[time.Time]{}, at)
}
