//go:build unix

package copytest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/peertest"
	"github.com/echo-in-snowflake/echo-in-snowflake/deploy/pgtest"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var texts = []any{
	"x", " ", " x ", "\n", "\r\n\t", `'"` + "`" + `\`, `\N`, `\.`, "e\u0301 \u00e9", "😀👩‍👩‍👧", "\u202e\ufeff\u0001\u007f",
	"'; DROP TABLE items; --", "null", "NULL", "none", "\ufffd", "\u2028\u2029", strings.Repeat("😀", 255),
}

// tables are the queries that return all data, in the source and in the target.
var tables = []struct{ source, target string }{
	{
		`SELECT id, email, full_name, password_hash, is_active, is_superuser, version, epoch, created_at, updated_at,
				snowflake_user
			FROM users ORDER BY id`,
		`SELECT id, email, full_name, password_hash, is_active, is_superuser, version, epoch, created_at, updated_at,
				snowflake_user
			FROM users JOIN credentials ON user_id = id ORDER BY id`,
	},
	{
		"SELECT id, owner_id, title, description, version, created_at, updated_at FROM items ORDER BY id",
		"SELECT id, owner_id, title, description, version, created_at, updated_at FROM items ORDER BY id",
	},
	{
		`SELECT s.id, owner_id, s.epoch, kind, lookup_hash, secret_hash, previous_hash, seed, user_agent,
				s.created_at, refreshed_at, expires_at
			FROM sessions s JOIN users u ON u.id = owner_id AND u.epoch = s.epoch ORDER BY s.id`,
		`SELECT id, owner_id, epoch, kind, lookup_hash, secret_hash, previous_hash, seed, user_agent,
				created_at, refreshed_at, expires_at
			FROM sessions ORDER BY id`,
	},
	{
		`SELECT c.id, owner_id, c.epoch, secret_hash, name, read_only, c.created_at, expires_at, used_at
			FROM clients c JOIN users u ON u.id = owner_id AND u.epoch = c.epoch ORDER BY c.id`,
		"SELECT id, owner_id, epoch, secret_hash, name, read_only, created_at, expires_at, used_at FROM clients ORDER BY id",
	},
	{"SELECT bootstrapped_at FROM account_lock", "SELECT first_superuser_at FROM installation"},
}

// requireSame fails unless source and target have the same data.
func (f *fixture) requireSame() {
	f.t.Helper()
	for _, q := range tables {
		source, target := f.source.Exec(q.source).Rows, f.target(q.target)
		require.NotEmpty(f.t, source, q.source)
		for _, rows := range [][][]any{source, target} {
			for _, row := range rows {
				for i, v := range row {
					if at, ok := v.(time.Time); ok {
						row[i] = at.UnixNano()
					}
				}
			}
		}
		require.Equal(f.t, source, target, q.target)
	}
}

func TestEverythingArrivesAndAccountsGoOnAsBefore(t *testing.T) {
	f := newFixture(t)
	old := peertest.StartServer(t, append([]string{"STORAGE=snowflake"}, f.env...)...)
	admin := signIn(t, old.URL, adminEmail, goodPassword)
	for i, text := range texts {
		f.account(fmt.Sprint("u", i), fmt.Sprintf("u%d@example.com", i), "h")
		owner := fmt.Sprint("u", i)
		f.source.Exec("UPDATE users SET full_name = ?, is_active = ?, version = ?, snowflake_user = ? WHERE id = ?",
			text, i%2 == 0, i, text, owner)
		f.session(fmt.Sprint("s", i), owner, 1, domain.UserAgentOf(text.(string)))
		f.client(fmt.Sprint("c", i), owner, 1, text)
		status, item := admin.request("POST", "/items/", map[string]any{"title": text, "description": text})
		require.Equal(t, 201, status, item)
	}
	for _, email := range []string{"ann@example.com", "leaver@example.com"} {
		status, account := admin.request("POST", "/users/", map[string]any{"email": email, "password": goodPassword})
		require.Equal(t, 201, status, account)
	}
	for _, description := range []any{nil, "", strings.Repeat("😀", 5000)} {
		admin.request("POST", "/items/", map[string]any{"title": "x", "description": description})
	}
	ann, leaver := signIn(t, old.URL, "ann@example.com", goodPassword), signIn(t, old.URL, "leaver@example.com", goodPassword)
	_, item := ann.request("POST", "/items/", map[string]any{"title": "Snow shovel"})
	_, item = ann.request("PATCH", "/items/"+item["id"].(string), map[string]any{"title": "Ice scraper"})
	status, _ := leaver.request("PATCH", "/users/me/password",
		map[string]any{"current_password": goodPassword, "new_password": goodPassword + "!"})
	require.Equal(t, 204, status)

	f.session("ended", "u1", 0, "x")
	f.client("ended", "u1", 0, "x")
	f.session("orphan", "gone", 1, "x")
	f.client("orphan", "gone", 1, "x")
	f.source.Exec("UPDATE clients SET used_at = sysdate() WHERE id = 'c2'")

	f.beforeRead("items", 1, func() *snowflaketest.Fault { // longer than the role in PostgreSQL may be idle
		return &snowflaketest.Fault{Delay: 1500 * time.Millisecond}
	})
	x := f.copy()
	require.Zero(t, x.code, x.stderr)
	const live = 2 // sessions of the administrator and of Ann
	assert.Regexp(t, fmt.Sprintf(`^accounts: %d, SHA-256 [0-9a-f]{64}\nitems: %d, SHA-256 [0-9a-f]{64}\n`+
		`sessions: %d, SHA-256 [0-9a-f]{64}\nclients: %d, SHA-256 [0-9a-f]{64}\n`+
		`copied, and both stores have the same\n$`, len(texts)+3, len(texts)+4, len(texts)+live, len(texts)), x.stdout)
	f.requireSame()

	fresh := peertest.StartServer(t, append([]string{"STORAGE=postgres"}, f.env...)...)
	signIn(t, fresh.URL, "ann@example.com", goodPassword)
	signIn(t, fresh.URL, "leaver@example.com", goodPassword+"!")
	for _, c := range []*client{&admin, &ann, &leaver} {
		c.url = fresh.URL + "/api/v1"
	}
	status, same := ann.request("GET", "/items/"+item["id"].(string), nil)
	assert.Equal(t, 200, status)
	assert.Equal(t, item, same)
	status, reply := leaver.request("GET", "/users/me", nil)
	assert.Equal(t, 401, status, "a token that had ended: %v", reply)
	_, accounts := admin.request("GET", "/users/", nil)
	assert.EqualValues(t, len(texts)+3, accounts["count"], "the start creates no first superuser")
}

func TestRowsThatTheTargetCannotHoldAreListedTogetherAndNothingIsCopied(t *testing.T) {
	f := newFixture(t)
	f.account("u1", "ann@example.com", "h")
	f.account("u2", "ann@example.com", "h")
	f.account("u3", "Bob@example.com", "h")
	f.account("u4", "four@example.com", "h")
	f.account("u4", "five@example.com", "h")
	f.account("u5", "no address", "h")
	f.account("u6", "six@example.com", "nul\x00")
	f.source.Exec("UPDATE users SET snowflake_user = 'ANN' WHERE id = 'u1' OR id = 'u3'")
	f.item("i1", "u1", "x", nil)
	f.item("i1", "u1", "x", nil)
	f.item("i2", "u1", "", nil)
	f.item("i3", "u1", "x", "nul\x00")
	f.session("s1", "u2", 1, "x")
	f.session("s1", "u2", 1, "x")
	f.client("c1", "u2", 1, "x")
	f.client("c1", "u2", 1, "x")
	for i := range 25 {
		f.item(fmt.Sprintf("o%02d", i), "gone", "x", nil)
		f.item(fmt.Sprintf("t%02d", i), "u1", "", nil)
	}
	x := f.copy()
	assert.Equal(t, 1, x.code)
	assert.Empty(t, x.stdout)
	lines := strings.Split(strings.TrimSuffix(x.stderr, "\n"), "\n")
	require.Greater(t, len(lines), 7)
	assert.Equal(t, []string{
		"nothing was copied: these rows must be corrected or deleted first:",
		"accounts with the id of another account (1): u4",
		"accounts with the e-mail of another account (2): u1, u2",
		"accounts with an e-mail that is not in lower case (1): u3",
		"accounts with the user in Snowflake of another account (2): u1, u3",
		"items with the id of another item (1): i1",
		"items without an owner (25): o00, o01, o02, o03, o04, o05, o06, o07, o08, o09, o10, o11, o12, o13, o14, o15, o16, o17, o18, o19, …",
		"sessions with the id of another session (1): s1",
		"clients with the id of another client (1): c1",
		"column email of the row u5 of table users: must be a plain address like name@example.com",
		`column password_hash of the row "u6" of table users: must not contain the character NUL`,
		"column title of the row i2 of table items: must have 1 to 255 characters, has 0",
		"column description of the row i3 of table items: must not contain the character NUL",
	}, lines[:13])
	assert.Equal(t, "9 more rows with such values", lines[len(lines)-1])
	assert.Len(t, lines, 30)
	f.requireEmpty()
}

func TestATargetThatIsNotEmptyOrNotMigratedIsRefused(t *testing.T) {
	f := newFixture(t)
	f.account("u1", "ann@example.com", "h")
	pgtest.Exec(t, f.dsn, "INSERT INTO echo.installation (first_superuser_at) VALUES (now())")
	x := f.copy()
	assert.Equal(t, 1, x.code)
	assert.Equal(t, "nothing was copied: the tables are not empty: 0 accounts, 0 items, 1 rows in installation: "+
		"use a schema in which only migrate has run\n", x.stderr)

	pgtest.Exec(t, f.dsn, "DELETE FROM echo.installation")
	require.Zero(t, f.copy().code)
	x = f.copy()
	assert.Equal(t, 1, x.code)
	assert.Contains(t, x.stderr, "1 accounts, 0 items, 0 rows in installation")

	pgtest.Exec(t, f.dsn, "DROP TABLE echo.schema_version")
	x = f.copy()
	assert.Equal(t, 1, x.code)
	assert.Contains(t, x.stderr, "run migrate")
}

func TestAfterAFailureInTheMiddleTheTargetIsEmptyAndTheNextRunSucceeds(t *testing.T) {
	f := newFixture(t)
	f.account("u1", "ann@example.com", "h")
	for i := range 4100 { // three parts
		f.item(fmt.Sprintf("i%04d", i), "u1", "x", nil)
	}
	var interrupt context.CancelFunc
	var stopping sync.WaitGroup
	for name, fail := range map[string]func() *snowflaketest.Fault{
		"the connection to PostgreSQL ends": func() *snowflaketest.Fault {
			pgtest.Exec(t, f.dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE usename = 'echo_app' AND datname = current_database()`)
			return nil
		},
		"Snowflake goes away": func() *snowflaketest.Fault {
			stopping.Go(f.source.Stop)
			return &snowflaketest.Fault{Hang: true}
		},
		"Snowflake refuses the statement": func() *snowflaketest.Fault { return &snowflaketest.Fault{Code: "630"} },
		"an interruption": func() *snowflaketest.Fault {
			interrupt()
			return &snowflaketest.Fault{Hang: true}
		},
	} {
		for part, when := range map[int]string{2: "the copy", 5: "the verification"} {
			t.Run(name+" during "+when, func(t *testing.T) {
				f.t = t
				var ctx context.Context
				ctx, interrupt = context.WithCancel(t.Context())
				defer interrupt()
				f.beforeRead("items", part, fail)
				x := f.runUntil(ctx, nil, "copy", "--from=snowflake", "--to=postgres")
				assert.Equal(t, 1, x.code, x.stderr)
				assert.Contains(t, x.stderr, "nothing was copied")
				assert.Empty(t, x.stdout)
				f.source.Intercept(nil)
				if name == "Snowflake goes away" {
					stopping.Wait()
					f.source.Start()
				}
				f.requireEmpty()
			})
		}
	}
	f.t = t
	require.Zero(t, f.copy().code)
	assert.Equal(t, [][]any{{int64(4100)}}, f.target("SELECT count(*) FROM items"))
}

// An interruption during the commit can come too late.
func TestAnInterruptedCopyThatWasCommittedSaysSo(t *testing.T) {
	f := newFixture(t)
	f.account("u1", "ann@example.com", "h")
	pgtest.Exec(t, f.dsn,
		`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
			BEGIN
				PERFORM pg_sleep(60);
				RETURN NULL;
			EXCEPTION WHEN query_canceled THEN
				RETURN NULL;
			END $$`,
		`CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON echo.users DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION slow()`,
		"GRANT USAGE ON SCHEMA public TO echo_app")
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	finished := make(chan execution, 1)
	go func() { finished <- f.runUntil(ctx, nil, "copy", "--from=snowflake", "--to=postgres") }()
	const committing = "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
	require.Eventually(t, func() bool { return len(f.target(committing)) > 0 }, time.Minute, 10*time.Millisecond)
	interrupt()
	x := <-finished
	require.Equal(t, [][]any{{int64(1)}}, f.target("SELECT count(*) FROM users"))
	assert.Zero(t, x.code, x.stderr)
	assert.Contains(t, x.stdout, "copied, and both stores have the same")
}

func TestAChangeInSnowflakeDuringTheCopyIsNoticed(t *testing.T) {
	f := newFixture(t)
	f.account("u1", "ann@example.com", "h")
	f.item("i1", "u1", "Snow shovel", nil)
	for _, change := range []string{
		"UPDATE items SET title = 'Ice scraper'", "UPDATE items SET description = 'none'", "UPDATE items SET version = 9",
		"UPDATE items SET title = ''", "DELETE FROM items", "INSERT INTO items (id, owner_id, title, version, " +
			"created_at, updated_at) SELECT 'i2', 'u1', 'x', 1, sysdate(), sysdate()",
	} {
		f.beforeRead("items", 2, func() *snowflaketest.Fault {
			f.source.Exec(change)
			return nil
		})
		x := f.copy()
		assert.Equal(t, 1, x.code, change)
		assert.Empty(t, x.stdout, change)
		assert.Contains(t, x.stderr, "PostgreSQL does not have what Snowflake has now: ", change)
		f.requireEmpty()
		f.source.Exec("DELETE FROM items")
		f.item("i1", "u1", "Snow shovel", nil)
	}
	f.session("s1", "u1", 1, "x")
	f.client("c1", "u1", 1, "x")
	for _, table := range []string{"sessions", "clients"} {
		f.beforeRead(table, 2, func() *snowflaketest.Fault {
			f.source.Exec("UPDATE " + table + " SET secret_hash = 'next'")
			return nil
		})
		x := f.copy()
		assert.Equal(t, 1, x.code, table)
		assert.Contains(t, x.stderr, "PostgreSQL does not have what Snowflake has now: ", table)
		assert.Contains(t, x.stderr, table+": Snowflake 1, SHA-256 ")
		f.requireEmpty()
	}
	f.source.Intercept(nil)
	require.Zero(t, f.copy().code)
}

// With all rows in memory, the larger copy would need at least 60 MB more.
func TestACopyOf20000ItemsNeedsAsMuchMemoryAsOneOf4000(t *testing.T) {
	f := newFixture(t)
	for i := range 50 {
		f.account(fmt.Sprintf("u%02d", i), fmt.Sprintf("a%d@example.com", i), "h")
	}
	description := strings.Repeat("0123456789", 300)
	add := func(from, to int) {
		for i := from; i < to; i++ {
			f.item(fmt.Sprintf("i%05d", i), fmt.Sprintf("u%02d", i%50), "x", description)
		}
	}
	add(0, 4000)
	small := f.copy()
	require.Zero(t, small.code, small.stderr)
	pgtest.Exec(t, f.dsn, "DELETE FROM echo.items", "DELETE FROM echo.users")
	add(4000, 20_000)
	start := time.Now()
	large := f.copy()
	require.Zero(t, large.code, large.stderr)
	took := time.Since(start)
	t.Logf("20,000 items in %v, %.0f rows/s, %v of it in the program; memory %d KiB, of 4,000 items %d KiB",
		took, 20_000/took.Seconds(), large.cpu, large.maxRSS, small.maxRSS)
	assert.Less(t, large.maxRSS, small.maxRSS+small.maxRSS/3)
}
