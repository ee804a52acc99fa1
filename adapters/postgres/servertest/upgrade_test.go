//go:build unix

package servertest

import (
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres"
	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/postgres/session"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain/domaintest"
)

// migrateToFirst brings the schema of o to version 1, which has no credentials but passwords.
func migrateToFirst(t *testing.T, o session.Options) {
	t.Helper()
	const first = "001_accounts_and_items.sql"
	content, err := fs.ReadFile(postgres.Migrations(), first)
	require.NoError(t, err)
	files := fstest.MapFS{first: &fstest.MapFile{Data: content}}
	require.NoError(t, postgres.Migrate(t.Context(), withUser(o, migrator), files, false, io.Discard))
}

// firstVersion sends the statements of the version of the service that needs version 1 of the schema.
type firstVersion struct {
	t    *testing.T
	conn *pgx.Conn
}

func (v firstVersion) exec(st string, args ...any) {
	v.t.Helper()
	tag, err := v.conn.Exec(v.t.Context(), st, args...)
	require.NoError(v.t, err)
	require.EqualValues(v.t, 1, tag.RowsAffected(), st)
}

func (v firstVersion) createUser(u domain.User) {
	v.t.Helper()
	v.exec(`WITH added AS (
		INSERT INTO users (id, email, full_name, is_active, is_superuser, version, epoch, created_at, updated_at)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9
		WHERE TRUE
		ON CONFLICT (email) DO NOTHING
		RETURNING id)
		INSERT INTO credentials (user_id, password_hash)
		SELECT id, $10
		FROM added`,
		u.ID, u.Email.String(), nil, u.Active, u.Superuser, u.Version, u.Epoch, u.CreatedAt, u.UpdatedAt, u.PasswordHash)
}

// updateUser changes the account and its password. It knows no user of Snowflake.
func (v firstVersion) updateUser(next domain.User) {
	v.t.Helper()
	v.exec(`WITH changed AS (
		UPDATE users
		SET email = $1, full_name = $2, is_active = $3, is_superuser = $4, version = $5, epoch = $6, updated_at = $7
		WHERE id = $8
		AND version = $5 - 1
		RETURNING id)
		UPDATE credentials
		SET password_hash = $9
		FROM changed
		WHERE user_id = changed.id`,
		next.Email.String(), nil, next.Active, next.Superuser, next.Version, next.Epoch, next.UpdatedAt, next.ID,
		next.PasswordHash)
}

// page returns the e-mails of a page of accounts.
func (v firstVersion) page() []string {
	v.t.Helper()
	rows, err := v.conn.Query(v.t.Context(), `SELECT page.email
		FROM (
			SELECT *
			FROM users
			ORDER BY created_at DESC, id DESC
			LIMIT $1) page
		ORDER BY page.id`, 10)
	require.NoError(v.t, err)
	emails, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(v.t, err)
	return emails
}

func (v firstVersion) deleteUser(u domain.User) {
	v.t.Helper()
	v.exec("DELETE FROM users WHERE id = $1", u.ID)
}

// During an upgrade, two versions of the service run on the new schema.
func TestTheFirstVersionWorksOnTheSchemaOfTheSecond(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	migrateToFirst(t, o)
	first := firstVersion{t, connect(t, o)}
	before, after, deleted := domaintest.User(), domaintest.User(), domaintest.User()
	first.createUser(before) // the connection prepares its statements
	before = domaintest.RevisedUser(before, domaintest.WithPasswordHash("changed"))
	first.updateUser(before)
	assert.Equal(t, []string{before.Email.String()}, first.page())

	migrate(t, o)
	s := openWith(t, o)
	got, err := s.UserForSignIn(t.Context(), before.Email)
	require.NoError(t, err)
	assert.Equal(t, domain.Optional[domain.SnowflakeUser]{}, got.SnowflakeUser)
	first.createUser(after)
	first.createUser(deleted)
	assert.Len(t, first.page(), 3)

	linked := domaintest.RevisedUser(after, domaintest.WithSnowflakeUser("ANN"))
	require.NoError(t, s.UpdateUser(t.Context(), after.Actor(), linked, after))
	works, ended, gone := domaintest.Session(linked), domaintest.Session(before), domaintest.Client(deleted)
	require.NoError(t, s.CreateSession(t.Context(), linked.Actor(), works))
	require.NoError(t, s.CreateSession(t.Context(), before.Actor(), ended))
	require.NoError(t, s.CreateClient(t.Context(), deleted.Actor(), gone))

	renamed := domaintest.RevisedUser(linked, domaintest.WithEmail(domaintest.Email("renamed@example.com")))
	first.updateUser(renamed)
	got, err = s.UserForSnowflakeSignIn(t.Context(), domaintest.SnowflakeUser("ANN"))
	require.NoError(t, err)
	assert.Equal(t, renamed, got, "the first version keeps the user of Snowflake")
	assert.NoError(t, s.RefreshSession(t.Context(), works.Refreshed("next", domaintest.Later)))

	first.updateUser(domaintest.RevisedUser(before, domaintest.WithPasswordHash("new")))
	assert.ErrorIs(t, s.RefreshSession(t.Context(), ended.Refreshed("next", domaintest.Later)), domain.ErrNotFound)
	first.deleteUser(deleted)
	_, _, err = s.ClientForSignIn(t.Context(), gone.ID)
	assert.ErrorIs(t, err, domain.ErrNotFound)
}

// The first version verifies the empty hash as any other, and nothing matches it.
func TestAnAccountWithoutAPasswordHasAnEmptyHash(t *testing.T) {
	t.Parallel()
	o := newSchema(t)
	migrate(t, o)
	s := openWith(t, o)
	u := domaintest.User(domaintest.WithSnowflakeUser("ANN"), domaintest.WithPasswordHash(""))
	require.NoError(t, s.CreateUserForSnowflakeSignIn(t.Context(), u))
	var hash string
	const read = "SELECT password_hash FROM credentials WHERE user_id = $1"
	require.NoError(t, connect(t, o).QueryRow(t.Context(), read, u.ID).Scan(&hash))
	assert.Empty(t, hash)
}
