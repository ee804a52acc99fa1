package snowflake

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/snowflake/snowflaketest/engine"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// The proof of the rules across rows: the statements that this adapter really sends, as the fake
// recorded them, are executed in every order that two and three writers can have, by an engine that
// does what Snowflake documents, with a client that is killed at any step. It proves the protocol,
// not Snowflake: A1 (an UPDATE that waited sees the newest version of its row) and the page "Transactions"
// (under GLOBAL, a statement sees what was committed before it began) are built into the engine.

// writer is a call of the store as the statements that it sends when it succeeds.
type writer struct {
	name  string
	steps []step
}

type step struct {
	sql  string
	args []any
}

// decides tells whether the writer gives up, with a ROLLBACK, when the statement touches no row.
func (s step) decides() bool {
	return strings.HasPrefix(s.sql, "UPDATE") || strings.HasPrefix(s.sql, "INSERT") || strings.HasPrefix(s.sql, "DELETE FROM users")
}

// state is a point of an execution: what everybody did so far.
type state struct {
	t      *testing.T
	db     *engine.DB
	at     []int    // the next step of each writer
	ended  []string // how each writer ended: "", done, refused or killed
	killed int
	path   []string
}

func (s *state) clone() *state {
	return &state{s.t, s.db.Clone(), slices.Clone(s.at), slices.Clone(s.ended), s.killed, slices.Clone(s.path)}
}

// proof searches every execution of writers on db for one that breaks rule.
type proof struct {
	writers []writer
	kills   int // how many writers may be killed
	rule    func(*state) string
	known   map[string]bool
	found   string // how the rule was broken
	ends    int    // executions that came to their end
}

func (p *proof) run(t *testing.T, db *engine.DB) {
	start := &state{t: t, db: db.Clone(), at: make([]int, len(p.writers)), ended: make([]string, len(p.writers))}
	for range p.writers {
		start.db.Open()
	}
	p.known = map[string]bool{}
	p.explore(start)
}

// session is the writer's: theirs were opened last.
func (p *proof) session(s *state, writer int) *engine.Session {
	return s.db.Session(s.db.Sessions() - len(p.writers) + writer)
}

func (p *proof) explore(s *state) {
	key := fmt.Sprint(s.at, s.ended, s.killed, s.db.Fingerprint())
	if p.known[key] || p.found != "" {
		return
	}
	p.known[key] = true
	going, moved := false, false
	for i, w := range p.writers {
		if s.ended[i] != "" {
			continue
		}
		going = true
		if next, ok := p.advance(s, i, w); ok {
			moved = true
			p.explore(next)
		}
		if s.killed < p.kills {
			moved = true
			p.explore(p.kill(s, i, w))
			if next, ok := p.advance(s, i, w); ok && next.ended[i] == "done" {
				next.ended[i] = "killed" // after its COMMIT, whose reply nobody hears
				next.killed++
				p.explore(next)
			}
		}
	}
	switch {
	case p.found != "":
	case !going:
		p.ends++
		if broken := p.rule(s); broken != "" {
			p.found = broken + ":\n" + strings.Join(s.path, "\n")
		}
	case !moved:
		p.found = "nobody can go on:\n" + strings.Join(s.path, "\n")
	}
}

// kill ends a writer's session where it is.
func (p *proof) kill(s *state, i int, w writer) *state {
	next := s.clone()
	p.session(next, i).Close()
	next.ended[i] = "killed"
	next.killed++
	next.path = append(next.path, w.name+": killed")
	return next
}

// advance lets a writer do its next step, and reports whether that changed anything.
func (p *proof) advance(s *state, i int, w writer) (*state, bool) {
	next := s.clone()
	session, st := p.session(next, i), w.steps[s.at[i]]
	result, err := session.Do(st.sql, st.args...)
	switch {
	case errors.Is(err, engine.ErrLocked):
		return next, next.db.Fingerprint() != s.db.Fingerprint()
	case err != nil:
		s.t.Fatalf("%s: %s: %v", w.name, st.sql, err) // no order of statements makes one fail
	case st.decides() && result.Affected == 0:
		_, err := session.Do("ROLLBACK")
		require.NoError(s.t, err)
		next.ended[i] = "refused"
	case s.at[i] == len(w.steps)-1:
		next.ended[i] = "done"
	}
	next.at[i]++
	next.path = append(next.path, fmt.Sprintf("%s: %s → %d %s", w.name, st.sql, result.Affected, next.ended[i]))
	return next, true
}

// recorded returns what the adapter sends for each call of a theme, each made on a fresh copy of its rows.
func recorded(t *testing.T, th theme) (*engine.DB, []writer) {
	t.Helper()
	var db *engine.DB
	var writers []writer
	for _, name := range slices.Sorted(maps.Keys(th.calls)) {
		server := newServer(t, engine.Rules{})
		for _, u := range th.accounts {
			addRow(server, users, u)
		}
		for _, e := range th.sessions {
			addRow(server, sessions, e)
		}
		for _, c := range th.clients {
			addRow(server, clients, c)
		}
		if th.bootstrapped {
			server.Exec("UPDATE account_lock SET bootstrapped_at = ?", domaintest.Created)
		}
		db = server.Snapshot()
		s := open(t, options(server))
		server.Reset()
		require.NoError(t, th.calls[name](s), name)
		w := writer{name: name}
		for _, r := range server.Requests() {
			if r.Path == snowflaketest.QueryPath && !strings.HasPrefix(r.SQL, "SELECT") {
				w.steps = append(w.steps, step{r.SQL, r.Binds})
			}
		}
		if w.steps[0].sql != "BEGIN" {
			// A statement of its own: it too begins, sees and commits one after the other.
			w.steps = slices.Concat([]step{{sql: "BEGIN"}}, w.steps, []step{{sql: "COMMIT"}})
		}
		writers = append(writers, w)
	}
	return db, writers
}

// addRow adds a row, in a session of its own.
func addRow[E any](server *snowflaketest.Server, t table[E], e E) {
	st := t.insert(e, "WHERE TRUE")
	for i, v := range st.Args {
		if valuer, ok := v.(driver.Valuer); ok { // as the protocol sends it
			st.Args[i], _ = valuer.Value()
		}
	}
	server.Exec(st.SQL, st.Args...)
}

// account returns an account with this id and with the e-mail name@example.com.
func account(id, name string, superuser bool) domain.User {
	return domaintest.User(func(u *domain.User) {
		u.ID, u.Email, u.Superuser = id, domaintest.Email(name+"@example.com"), superuser
	})
}

// linked gives an account the contested user of Snowflake.
func linked(u *domain.User) {
	u.SnowflakeUser = domain.Some(domaintest.Must(domain.ParseSnowflakeUser("CONTESTED")))
}

// clientsOf returns n clients of an account.
func clientsOf(owner domain.User, n int) []domain.Client {
	all := make([]domain.Client, n)
	for i := range all {
		all[i] = domaintest.Client(owner)
	}
	return all
}

// rows reads in a session of its own, which sees what is committed.
func rows(s *state, sql string) [][]any {
	result, err := s.db.Clone().Open().Do(sql)
	require.NoError(s.t, err, sql)
	return result.Rows
}

func oneAccountPerEmail(s *state) string { return onePerValue(s, "SELECT email FROM users") }

func oneAccountPerSnowflakeUser(s *state) string {
	return onePerValue(s, "SELECT snowflake_user FROM users WHERE NOT snowflake_user IS NULL")
}

func onePerValue(s *state, query string) string {
	seen := map[any]bool{}
	for _, row := range rows(s, query) {
		if seen[row[0]] {
			return fmt.Sprint("two accounts have ", row[0])
		}
		seen[row[0]] = true
	}
	return ""
}

func notTooManyClients(s *state) string {
	if n := len(rows(s, "SELECT id FROM clients")); n > domain.MaxClients {
		return fmt.Sprint("an account has ", n, " clients")
	}
	return ""
}

// oneIsDone is the rule of a compare-and-set.
func oneIsDone(s *state) string {
	if n := len(slices.DeleteFunc(slices.Clone(s.ended), func(e string) bool { return e != "done" })); n != 1 {
		return fmt.Sprint(n, " calls succeeded")
	}
	return ""
}

func aSuperuserRemains(s *state) string {
	if len(rows(s, "SELECT id FROM users WHERE is_active AND is_superuser")) == 0 {
		return "no active superuser is left"
	}
	return ""
}

func oneFirstSuperuser(s *state) string {
	if n := len(rows(s, "SELECT id FROM users")); n > 1 {
		return fmt.Sprint(n, " first superusers")
	}
	return ""
}

// theme is a rule with the calls that could break it together.
type theme struct {
	accounts     []domain.User
	bootstrapped bool
	calls        map[string]func(*Store) error
	rule         func(*state) string
	somebodyWins bool // unless one is killed
	sessions     []domain.Session
	clients      []domain.Client
}

func themes(t *testing.T) map[string]theme {
	change := func(by, read domain.User, change func(*domain.User)) func(*Store) error {
		next := read
		change(&next)
		next, _ = read.Revise(next, domaintest.Created)
		return func(s *Store) error { return s.UpdateUser(t.Context(), by.Actor(), next, read) }
	}
	create := func(by domain.User, id, email string) func(*Store) error {
		return func(s *Store) error { return s.CreateUser(t.Context(), by.Actor(), account(id, email, false)) }
	}
	remove := func(by, u domain.User) func(*Store) error {
		return func(s *Store) error { return s.DeleteUser(t.Context(), by.Actor(), u.ID, domain.Versions{}) }
	}
	first := func(id string) func(*Store) error {
		return func(s *Store) error { _, err := s.CreateFirstSuperuser(t.Context(), account(id, id, true)); return err }
	}
	operator := func(id, email string) func(*Store) error {
		return func(s *Store) error { return s.CreateSuperuserForOperator(t.Context(), account(id, email, true)) }
	}
	signIn := func(id string) func(*Store) error {
		return func(s *Store) error {
			u := account(id, id, false)
			linked(&u)
			return s.CreateUserForSnowflakeSignIn(t.Context(), u)
		}
	}
	link := func(u domain.User) func(*Store) error {
		next := domaintest.RevisedUser(u, linked)
		return func(s *Store) error { return s.UpdateUserForOperator(t.Context(), next, u.Version) }
	}
	client := func(by domain.User) func(*Store) error {
		return func(s *Store) error { return s.CreateClient(t.Context(), by.Actor(), domaintest.Client(by)) }
	}
	moves := func(u *domain.User) { u.Email = domaintest.Email("contested@example.com") }
	demoted := func(u *domain.User) { u.Superuser = false }
	deactivated := func(u *domain.User) { u.Active = false }
	a, b, c, ann, ben := account("a", "a", true), account("b", "b", true), account("c", "c", true), account("ann", "ann", false), account("ben", "ben", false)

	return map[string]theme{
		"two create an account with one e-mail": {accounts: []domain.User{a}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": create(a, "x", "contested"), "two": create(a, "y", "contested"),
		}, rule: oneAccountPerEmail, somebodyWins: true},
		"three come to one e-mail, by creation, change and an operator": {accounts: []domain.User{a, ann}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": create(a, "x", "contested"), "two": change(ann, ann, moves), "three": operator("z", "contested"),
		}, rule: oneAccountPerEmail, somebodyWins: true},
		"two change to one e-mail": {accounts: []domain.User{a, ann, ben}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": change(ann, ann, moves), "two": change(ben, ben, moves),
		}, rule: oneAccountPerEmail, somebodyWins: true},
		"the last two superusers step down": {accounts: []domain.User{a, b}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": change(a, a, demoted), "two": change(b, b, deactivated),
		}, rule: aSuperuserRemains, somebodyWins: true},
		"the last two superusers remove each other": {accounts: []domain.User{a, b}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": remove(a, b), "two": change(b, a, demoted),
		}, rule: aSuperuserRemains, somebodyWins: true},
		"the last three superusers go": {accounts: []domain.User{a, b, c}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": change(a, a, demoted), "two": change(b, b, deactivated), "three": remove(c, c),
		}, rule: aSuperuserRemains, somebodyWins: true},
		"two sign in with one user of Snowflake": {accounts: []domain.User{a}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": signIn("x"), "two": signIn("y"),
		}, rule: oneAccountPerSnowflakeUser, somebodyWins: true},
		"three come to one user of Snowflake, by sign-in, change and an operator": {accounts: []domain.User{a, ann, ben}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": signIn("x"), "two": change(a, ann, linked), "three": link(ben),
		}, rule: oneAccountPerSnowflakeUser, somebodyWins: true},
		"two create the last client": {accounts: []domain.User{a}, bootstrapped: true, calls: map[string]func(*Store) error{
			"one": client(a), "two": client(a),
		}, rule: notTooManyClients, somebodyWins: true, clients: clientsOf(a, domain.MaxClients-1)},
		"two instances start for the first time": {calls: map[string]func(*Store) error{
			"one": first("x"), "two": first("y"),
		}, rule: oneFirstSuperuser, somebodyWins: true},
		"three instances start for the first time": {calls: map[string]func(*Store) error{
			"one": first("x"), "two": first("y"), "three": first("z"),
		}, rule: oneFirstSuperuser, somebodyWins: true},
	}
}

func TestNoOrderOfStatementsBreaksARule(t *testing.T) {
	for name, th := range themes(t) {
		t.Run(name, func(t *testing.T) {
			for _, kills := range []int{0, 1} {
				for _, rules := range []engine.Rules{{}, {SnapshotSubqueries: true}} {
					db, writers := recorded(t, th)
					p := proof{writers: writers, kills: kills, rule: func(s *state) string {
						if th.somebodyWins && s.killed == 0 && !slices.Contains(s.ended, "done") {
							return "nobody succeeds"
						}
						return th.rule(s)
					}}
					p.run(t, db.Under(rules))
					assert.Empty(t, p.found)
					assert.Greater(t, p.ends, 1, "there is more than one way to end")
					t.Logf("%d states, %d ends, %d killed, %+v", len(p.known), p.ends, kills, rules)
				}
			}
		})
	}
}

// The proof can fail: each of these forms is known to be wrong, and is found out.
func TestTheProofFindsWhatIsWrong(t *testing.T) {
	without := func(unwanted func(step) bool) func([]writer) []writer {
		return func(writers []writer) []writer {
			for i := range writers {
				writers[i].steps = slices.DeleteFunc(slices.Clone(writers[i].steps), unwanted)
			}
			return writers
		}
	}
	isLock := func(s step) bool { return strings.HasPrefix(s.sql, "UPDATE account_lock") }
	for name, wrong := range map[string]struct {
		rules engine.Rules
		spoil func([]writer) []writer
	}{
		"without the lock, one statement that reads and writes": {engine.Rules{}, without(isLock)},
		"the lock after the read": {engine.Rules{}, func(writers []writer) []writer {
			for i := range writers {
				steps := slices.Clone(writers[i].steps)
				steps[1], steps[2] = steps[2], steps[1]
				writers[i].steps = steps
			}
			return writers
		}},
		"the lock released before the read": {engine.Rules{}, func(writers []writer) []writer {
			for i := range writers {
				writers[i].steps = slices.Insert(slices.Clone(writers[i].steps), 2, step{sql: "COMMIT"}, step{sql: "BEGIN"})
			}
			return writers
		}},
		"sessions that do not see what others committed": {engine.Rules{StaleSessions: true}, func(w []writer) []writer { return w }},
	} {
		t.Run(name, func(t *testing.T) {
			for theme, th := range themes(t) {
				if strings.Contains(theme, "for the first time") {
					continue // there the lock is itself what is looked at
				}
				db, writers := recorded(t, th)
				p := proof{writers: wrong.spoil(writers), rule: th.rule}
				p.run(t, db.Under(wrong.rules))
				assert.NotEmpty(t, p.found, theme)
			}
		})
	}
	t.Run("a first superuser without a look at the marker", func(t *testing.T) {
		th := themes(t)["two instances start for the first time"]
		db, writers := recorded(t, th)
		for i := range writers {
			writers[i].steps[1].sql = strings.Replace(writers[i].steps[1].sql, "WHERE bootstrapped_at IS NULL", "", 1)
		}
		p := proof{writers: writers, rule: th.rule}
		p.run(t, db)
		assert.NotEmpty(t, p.found)
	})
}

func TestOfTwoUpdatesOfOneVersionOneWins(t *testing.T) {
	ann := account("ann", "ann", false)
	update := func(hash string) func(*Store) error {
		next := ann
		next.PasswordHash, next.Version, next.Epoch = hash, 2, 2
		return func(s *Store) error { return s.UpdateUser(t.Context(), ann.Actor(), next, ann) }
	}
	provesThatOneWins(t, theme{accounts: []domain.User{ann}, bootstrapped: true, calls: map[string]func(*Store) error{
		"one": update("x"), "two": update("y"),
	}})
}

func TestOfTwoRefreshesOfOneSecretOneWins(t *testing.T) {
	ann := account("ann", "ann", false)
	session := domaintest.Session(ann)
	refresh := func(secret string) func(*Store) error {
		return func(s *Store) error {
			return s.RefreshSession(t.Context(), session.Refreshed(secret, domaintest.Later))
		}
	}
	provesThatOneWins(t, theme{
		accounts: []domain.User{ann}, sessions: []domain.Session{session}, bootstrapped: true,
		calls: map[string]func(*Store) error{"one": refresh("x"), "two": refresh("y")},
	})
}

func TestOfTwoFirstUsesOfAClientOneIsTheFirst(t *testing.T) {
	ann := account("ann", "ann", false)
	client := domaintest.Client(ann)
	use := func(s *Store) error {
		_, err := s.UseClientForSignIn(t.Context(), client.ID, domaintest.Later)
		return err
	}
	provesThatOneWins(t, theme{
		accounts: []domain.User{ann}, clients: []domain.Client{client}, bootstrapped: true,
		calls: map[string]func(*Store) error{"one": use, "two": use},
	})
}

func provesThatOneWins(t *testing.T, th theme) {
	t.Helper()
	db, writers := recorded(t, th)
	p := proof{writers: writers, rule: oneIsDone}
	p.run(t, db)
	assert.Empty(t, p.found)
	assert.Greater(t, p.ends, 1, "there is more than one way to end")
}
