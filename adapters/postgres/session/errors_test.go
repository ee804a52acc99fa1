package session

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func refusal(severity, code string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{
		Severity: severity, SeverityUnlocalized: severity, Code: code, Message: "about somebody@example.com",
		Detail: "Key (email)=(somebody@example.com) already exists.", ConstraintName: "one_email", Routine: "the_routine",
	}
}

// A definite error says that the write had no effect. It must be true. Disk full (53100) among others.
func TestAnErrorThatPostgreSQLReportsHasItsOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		severity, code string
		want           *domain.Error
		tries          int
	}{
		"disk full":            {"ERROR", "53100", domain.ErrUnavailable, 1},
		"out of memory":        {"ERROR", "53200", domain.ErrUnavailable, 1},
		"cancelled":            {"ERROR", "57014", domain.ErrUnavailable, 1},
		"read-only":            {"ERROR", "25006", domain.ErrReadOnly, 2},
		"old plan":             {"ERROR", "0A000", domain.ErrUnavailable, 2},
		"ended":                {"FATAL", "57P01", domain.ErrUnavailable, 2},
		"database dropped":     {"FATAL", "57P04", domain.ErrUnavailable, 1},
		"idle for too long":    {"FATAL", "57P05", domain.ErrUnavailable, 2},
		"no table":             {"ERROR", "42P01", domain.ErrUnavailable, 1},
		"not granted":          {"ERROR", "42501", domain.ErrUnavailable, 1},
		"statement of another": {"ERROR", "26000", domain.ErrUnavailable, 1},
		"crash":                {"FATAL", "57P02", domain.ErrOutcomeUnknown, 1},
		"pooler":               {"FATAL", "08P01", domain.ErrOutcomeUnknown, 1},
		"completion unknown":   {"ERROR", "40003", domain.ErrOutcomeUnknown, 1},
		"panic at the commit":  {"PANIC", "53100", domain.ErrOutcomeUnknown, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, o := newBackend(t)
			d := open(t, o)
			b.set(func() { b.failure, b.ends = refusal(c.severity, c.code), c.severity != "ERROR" })
			assert.ErrorIs(t, write(limit(t, d), d), c.want)
			b.set(func() { assert.Equal(t, c.tries, b.statements) })
			assert.Equal(t, domain.Unavailable, domain.KindOf(read(limit(t, d), d)))
		})
	}
}

func TestAConnectionThatEndsWithoutAReplyLeavesTheOutcomeOfAWriteUnknown(t *testing.T) {
	b, o := newBackend(t)
	d := open(t, o)
	b.set(func() { b.ends = true })
	assert.ErrorIs(t, write(limit(t, d), d), domain.ErrOutcomeUnknown)
	b.set(func() { assert.Equal(t, 1, b.statements, "it is not repeated") })
	assert.ErrorIs(t, read(limit(t, d), d), domain.ErrUnavailable)
	b.set(func() { assert.Equal(t, 3, b.statements, "a read is repeated once") })
}

// After a statement that failed, pgx first removes its preparation from the connection.
func TestAConnectionThatEndsBeforeAWriteWasSentHasNoUnknownOutcome(t *testing.T) {
	b, o := newBackend(t)
	o.Connections = 1
	d := open(t, o)
	b.set(func() { b.failure = refusal("ERROR", CodeUnique) })
	require.Error(t, write(limit(t, d), d))
	b.set(func() { b.failure, b.forgets = nil, true })
	assert.NoError(t, write(limit(t, d), d), "it is repeated on another connection")
	b.set(func() { assert.Equal(t, 2, b.statements, "the refused one and the last") })
}

func TestConflictsAreRetriedUntilTheDeadline(t *testing.T) {
	for _, code := range []string{"40001", "40P01", "55P03"} {
		b, o := newBackend(t)
		d := open(t, o)
		b.set(func() { b.failure = refusal("ERROR", code) })
		ctx := limit(t, d)
		assert.ErrorIs(t, write(ctx, d), domain.ErrContended, code)
		assert.NoError(t, ctx.Err(), code)
		b.set(func() { assert.Greater(t, b.statements, 2, code) })
	}
}

// PostgreSQL's messages of these classes quote values.
func TestErrorsDoNotQuoteValues(t *testing.T) {
	for _, code := range []string{"22001", "22021", "23502", "23505", "23503", "42601"} {
		b, o := newBackend(t)
		d := open(t, o)
		b.set(func() { b.failure = refusal("ERROR", code) })
		err := write(limit(t, d), d)
		require.Error(t, err, code)
		assert.Equal(t, domain.Internal, domain.KindOf(err), code)
		assert.NotContains(t, err.Error(), "example.com", code)
		assert.ErrorContains(t, err, code)
	}
}

func TestARefusedLoginSaysWhatToDo(t *testing.T) {
	for code, want := range map[string]string{
		"28P01": ErrLoginRefused.Error(), "28000": ErrLoginRefused.Error(), "3D000": "POSTGRES_DATABASE", "42501": "the hint",
		"08P01": "POSTGRES_POOLER=true", "53300": "53300", "57P03": "57P03",
	} {
		b, o := newBackend(t)
		b.login = refusal("FATAL", code)
		d := open(t, o)
		err := write(limit(t, d), d)
		assert.ErrorIs(t, err, domain.ErrUnavailable, code)
		assert.ErrorContains(t, err, want)
		assert.True(t, guard.IsOutage(err), code)
	}
}

func TestARefusedLoginIsNoOutageWhileOtherConnectionsGoOn(t *testing.T) {
	b, o := newBackend(t)
	d := open(t, o)
	held, err := d.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer held.Release()
	require.Eventually(t, func() bool { return d.pool.Stat().ConstructingConns() == 0 }, time.Second, time.Millisecond)
	for range d.pool.Stat().IdleConns() {
		idle, err := d.pool.Acquire(t.Context())
		require.NoError(t, err)
		defer idle.Release()
	}
	b.set(func() { b.login = refusal("FATAL", "53300") })
	err = write(limit(t, d), d)
	assert.ErrorIs(t, err, domain.ErrUnavailable)
	assert.False(t, guard.IsOutage(err))
}

// Without a limit, a server that is read-only would see two logins for each write.
func TestConnectionsAreReplacedOnceASecondAtMost(t *testing.T) {
	b, o := newBackend(t)
	d := open(t, o)
	b.set(func() { b.failure = refusal("ERROR", "25006") })
	for range 50 {
		assert.ErrorIs(t, write(limit(t, d), d), domain.ErrReadOnly)
	}
	b.set(func() { assert.LessOrEqual(t, b.logins, 5) })
}
