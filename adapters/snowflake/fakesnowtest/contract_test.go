package fakesnowtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports/portstest"
)

func TestStoreOnFakesnow(t *testing.T) {
	portstest.TestStore(t, func(t *testing.T) ports.Store { return open(t) })
}

// The emulator does not know grants and the parameters of an account.
func TestAnExaminationOfTheEmulatorFindsNoFailure(t *testing.T) {
	found := map[string]ports.CheckStatus{}
	for _, r := range open(t).Examine(t.Context()) {
		found[r.Check] = r.Status
	}
	assert.Equal(t, map[string]ports.CheckStatus{
		"sign-in": ports.CheckOK, "role": ports.CheckOK, "clock": ports.CheckOK, "tables": ports.CheckOK,
		"grants": ports.CheckWarning, "read consistency": ports.CheckWarning, "query history": ports.CheckWarning,
		"warehouse": ports.CheckOK, "first superuser": ports.CheckOK,
	}, found)
}

// rounds returns how often callers compete for an e-mail: ECHO_TEST_ROUNDS, or 4.
func rounds(t *testing.T) int {
	t.Helper()
	text, ok := os.LookupEnv("ECHO_TEST_ROUNDS")
	if !ok {
		return 4
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "ECHO_TEST_ROUNDS")
	return n
}

// The engine of fakesnow refuses a lock immediately, where Snowflake waits. So this test shows that a refused
// lock is retried, not that a wait for it works. One instance never competes with itself for the lock, so there
// are eight.
func TestOneOf64CallersOfEightInstancesGetsTheEmail(t *testing.T) {
	const maxWait = time.Minute
	schema := newSchema()
	require.NoError(t, fakesnow.CreateTables(t.Context(), "contract", schema))
	var instances [8]*snowflake.Store
	for i := range instances {
		instances[i] = openIn(t, schema, maxWait)
	}
	admin := domaintest.User(domaintest.Superuser)
	created, err := instances[0].CreateFirstSuperuser(t.Context(), admin)
	require.NoError(t, err)
	require.True(t, created)
	for round := range rounds(t) {
		contested := domaintest.WithEmail(domaintest.Email(fmt.Sprintf("contested%d@example.com", round)))
		var all sync.WaitGroup
		start := make(chan struct{})
		results := make([]error, 64)
		for i := range results {
			u := domaintest.User(contested)
			all.Go(func() {
				<-start
				results[i] = domain.ErrBusy
				for errors.Is(results[i], domain.ErrBusy) { // as a client does after Retry-After
					ctx, cancel := context.WithTimeout(context.Background(), maxWait)
					results[i] = instances[i%len(instances)].CreateUser(ctx, admin.Actor(), u)
					cancel()
				}
			})
		}
		close(start)
		all.Wait()
		winners := 0
		for _, err := range results {
			if err == nil {
				winners++
				continue
			}
			assert.ErrorIs(t, err, domain.ErrEmailTaken)
		}
		assert.Equal(t, 1, winners, "round %d", round)
	}
	page, err := instances[0].Users(t.Context(), admin.Actor(), domain.PageRequest{Limit: 1000})
	require.NoError(t, err)
	assert.Len(t, page.Rows, 1+rounds(t))
}

func TestSetupOfAnyVersionLeavesTheRowsOfAnyOther(t *testing.T) {
	schema := newSchema()
	db := connect(t, schema)
	const later = "ALTER TABLE items ADD COLUMN IF NOT EXISTS colour VARCHAR(20)"
	insert := func(id string) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), "INSERT INTO items (id, owner_id, title, version, created_at, updated_at) SELECT ?, 'u', 't', 1, ?, ?", id, domaintest.Created, domaintest.Created)
		require.NoError(t, err)
	}
	do := func(st string) {
		t.Helper()
		_, err := db.ExecContext(t.Context(), st)
		require.NoError(t, err)
	}
	setUp := func() {
		t.Helper()
		require.NoError(t, fakesnow.CreateTables(t.Context(), "contract", schema))
	}
	setUp()
	insert("1")
	do("UPDATE account_lock SET n = n + 1")
	setUp()
	do(later)
	do("UPDATE items SET colour = 'red'")
	insert("2") // by an instance of the earlier version, during the upgrade
	setUp()
	insert("3")

	rows, err := db.QueryContext(t.Context(), "SELECT id, COALESCE(colour, 'none') FROM items ORDER BY id")
	require.NoError(t, err)
	defer rows.Close()
	var got []string
	for rows.Next() {
		var id, colour string
		require.NoError(t, rows.Scan(&id, &colour))
		got = append(got, id+" "+colour)
	}
	require.NoError(t, rows.Err())
	assert.Equal(t, []string{"1 red", "2 none", "3 none"}, got)
	var n, locks int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*), SUM(n) FROM account_lock").Scan(&locks, &n))
	assert.Equal(t, []int{1, 1}, []int{locks, n}, "there is still one row, with its value")
}
