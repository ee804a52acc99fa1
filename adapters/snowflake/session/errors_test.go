package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	sf "github.com/snowflakedb/gosnowflake/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

func TestTranslate(t *testing.T) {
	d := &DB{options: Options{MissingHint: "run setup.sql"}}
	answered := func(number int, state, text string) error {
		return &sf.SnowflakeError{Number: number, SQLState: state, Message: text}
	}
	for name, tt := range map[string]struct {
		err    error
		read   error // what a read's becomes
		write  error // what a write's becomes
		outage bool
	}{
		"nothing":                            {nil, nil, nil, false},
		"an error of ours":                   {domain.ErrStale, domain.ErrStale, domain.ErrStale, false},
		"a request that never left":          {notSent{io.EOF}, domain.ErrUnavailable, domain.ErrUnavailable, true},
		"a session that has ended":           {driver.ErrBadConn, domain.ErrUnavailable, domain.ErrUnavailable, true},
		"a reply that was cut off":           {io.ErrUnexpectedEOF, domain.ErrUnavailable, domain.ErrOutcomeUnknown, true},
		"a gateway that answers instead":     {badStatus(http.StatusBadGateway), domain.ErrUnavailable, domain.ErrOutcomeUnknown, true},
		"a status that the driver reports":   {answered(sf.ErrFailedToPostQuery, "08006", ""), domain.ErrUnavailable, domain.ErrOutcomeUnknown, true},
		"a deadline":                         {context.DeadlineExceeded, domain.ErrUnavailable, domain.ErrOutcomeUnknown, true},
		"a caller who left":                  {context.Canceled, domain.ErrUnavailable, domain.ErrOutcomeUnknown, false},
		"too many who wait for a lock":       {answered(625, "57014", ""), domain.ErrContended, domain.ErrContended, false},
		"a lock that did not come free":      {answered(999, "57014", "Statement was aborted: lock timeout"), domain.ErrContended, domain.ErrContended, false},
		"a lock of another transaction":      {answered(999, "57014", "Statement 'x' has locked table 'USERS' in transaction 7"), domain.ErrContended, domain.ErrContended, false},
		"a lock timeout, by its parameter":   {answered(999, "57014", "aborted by HYBRID_TABLE_LOCK_TIMEOUT"), domain.ErrContended, domain.ErrContended, false},
		"a deadlock":                         {answered(999, "57014", "aborted because of a deadlock"), domain.ErrContended, domain.ErrContended, false},
		"a text that only contains lock":     {answered(999, "57014", "blocked by policy; see the clock"), domain.ErrUnavailable, domain.ErrUnavailable, false},
		"a statement that was cancelled":     {answered(604, "57014", "SQL execution canceled"), domain.ErrUnavailable, domain.ErrUnavailable, false},
		"a missing table":                    {answered(2003, "42S02", "Object 'USERS' does not exist"), domain.ErrUnavailable, domain.ErrUnavailable, false},
		"a missing schema":                   {answered(2043, "02000", "Object does not exist"), domain.ErrUnavailable, domain.ErrUnavailable, false},
		"a session without a database":       {answered(90105, "22000", "This session does not have a current database"), domain.ErrUnavailable, domain.ErrUnavailable, false},
		"a missing column":                   {answered(904, "42000", "invalid identifier 'EPOCH'"), domain.ErrUnavailable, domain.ErrUnavailable, false},
		"a login that is refused":            {answered(390100, "08004", "Incorrect username or password"), domain.ErrUnavailable, domain.ErrUnavailable, true},
		"a warehouse that cannot be resumed": {answered(606, "57P03", "No active warehouse"), domain.ErrUnavailable, domain.ErrUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.ErrorIs(t, d.translate(tt.err, unanswered), tt.read)
			assert.ErrorIs(t, d.translate(tt.err, unconfirmed), tt.write)
			assert.Equal(t, tt.outage, guard.IsOutage(d.translate(tt.err, unconfirmed)))
			if tt.err != nil {
				assert.ErrorIs(t, d.translate(tt.err, unanswered), tt.err, "the cause is kept for the log")
			}
		})
	}
	t.Run("a duplicate key is reported with the constraint's text", func(t *testing.T) {
		for _, err := range []error{
			answered(200001, "22000", "A primary key already exists."),
			answered(1, "22000", `Duplicate key value violates unique constraint "E"`),
		} {
			var duplicate *DuplicateKeyError
			require.ErrorAs(t, d.translate(err, unconfirmed), &duplicate)
			assert.Equal(t, err.(*sf.SnowflakeError).Message, duplicate.Message)
			assert.ErrorIs(t, duplicate, err)
		}
	})
	t.Run("wrong SQL is an internal error", func(t *testing.T) {
		for _, err := range []error{answered(1003, "42000", "syntax error"), answered(100072, "22000", "NULL result in a non-nullable column")} {
			assert.Equal(t, domain.Internal, domain.KindOf(d.translate(err, unconfirmed)), err)
		}
	})
	t.Run("a value that Snowflake quotes does not reach the log", func(t *testing.T) {
		err := d.translate(answered(100078, "22000", "String 'ann@example.com' is too long"), unconfirmed)
		assert.ErrorContains(t, err, "100078 (22000)")
		assert.NotContains(t, err.Error(), "ann@example.com")
	})
	t.Run("a refused user is told from an unreachable database", func(t *testing.T) {
		for number, refused := range map[int]bool{390100: true, 390102: true, 390303: false, 390201: false} {
			err := d.translate(notSent{fmt.Errorf("log in: %w", answered(number, "08004", ""))}, unconfirmed)
			assert.Equal(t, refused, errors.Is(err, ErrLoginRefused), number)
			assert.ErrorIs(t, err, domain.ErrUnavailable)
			assert.True(t, guard.IsOutage(err))
		}
	})
	t.Run("an error about a missing table carries the hint", func(t *testing.T) {
		assert.ErrorContains(t, d.translate(answered(2003, "42S02", "Object 'USERS' does not exist"), unanswered), "Object 'USERS' does not exist: run setup.sql")
	})
}

func TestATimeoutOnHybridTablesIsContentionIfTheStatementRanAsLongAsItMayWaitForALock(t *testing.T) {
	timeout := &sf.SnowflakeError{Number: 630, SQLState: "57014", Message: "Statement reached its timeout"}
	for name, tt := range map[string]struct {
		hybrid    bool
		err       error
		ran       time.Duration
		contended bool
	}{
		"as long as a lock":             {true, timeout, 4 * time.Second, true},
		"less than that":                {true, timeout, 4*time.Second - 1, false},
		"on standard tables":            {false, timeout, 4 * time.Second, false},
		"another error after as much":   {true, &sf.SnowflakeError{Number: 604, SQLState: "57014"}, 4 * time.Second, false},
		"no reply at all after as much": {true, io.EOF, 4 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := &DB{options: Options{RequestTimeout: 10 * time.Second}}
			d.hybrid.Store(tt.hybrid)
			err := d.translate(d.lockTimeout(tt.err, tt.ran), unconfirmed)
			assert.Equal(t, tt.contended, errors.Is(err, domain.ErrContended))
			assert.ErrorIs(t, err, tt.err, "the cause is kept for the log")
		})
	}
}

func TestOnlyTheEndOfASessionMakesADeadConnection(t *testing.T) {
	for number, dead := range map[int]bool{
		390104: true, 390110: true, 390111: true, 390113: true, 390114: true, 390115: true, 390195: true, 390318: true,
		390112: false, // the driver renews it
		390302: false, // logging in again would storm
		390100: false, 625: false, 1003: false,
	} {
		c := &conn{connector: &connector{}}
		err := c.check(&sf.SnowflakeError{Number: number}, false)
		assert.Equal(t, dead, errors.Is(err, driver.ErrBadConn), number)
		assert.Equal(t, !dead, c.IsValid(), number)
	}
	c := &conn{connector: &connector{}}
	assert.NoError(t, c.check(nil, false))
	assert.ErrorIs(t, c.check(io.EOF, false), io.EOF)
	assert.False(t, c.IsValid(), "the state of the session is unknown")

	c = &conn{connector: &connector{}}
	err := c.check(&sf.SnowflakeError{Number: 390111}, true)
	assert.NotErrorIs(t, err, driver.ErrBadConn, "database/sql would repeat a statement that may have taken effect")
	assert.ErrorIs(t, new(DB).translate(err, unconfirmed), domain.ErrOutcomeUnknown)
	assert.False(t, c.IsValid())
}
