package session

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// ErrLoginRefused means that PostgreSQL refuses the user or the password.
var ErrLoginRefused = errors.New("user or password refused by PostgreSQL")

// ConstraintError means that a row would break a constraint. The table knows what it means. Its text never holds
// PostgreSQL's message, which quotes values.
type ConstraintError struct {
	Code       string // CodeUnique or CodeForeignKey
	Constraint string
}

func (e *ConstraintError) Error() string {
	return fmt.Sprintf("constraint %s is broken (SQLSTATE %s)", e.Constraint, e.Code)
}

// Codes of errors (PostgreSQL documentation, appendix A).
const (
	CodeUnique     = "23505"
	CodeForeignKey = "23503"

	codeCachedPlan       = "0A000" // the only use of this code that our statements can cause
	codeReadOnly         = "25006"
	codeWrongPassword    = "28P01"
	codeRefused          = "28000"
	codeDeadlock         = "40P01"
	codeSerialization    = "40001"
	codeNotGranted       = "42501"
	codeNoColumn         = "42703"
	codeNoDatabase       = "3D000"
	codeNoSchema         = "3F000"
	codeNoTable          = "42P01"
	codeLockNotAvailable = "55P03"
	codeCrash            = "57P02"
)

var (
	contended = []string{codeSerialization, codeDeadlock, codeLockNotAvailable}
	missing   = []string{codeNoDatabase, codeNoSchema, codeNoTable, codeNoColumn, codeNotGranted}
	// ended are the ends of a session that an administrator or a time limit causes. What was not committed is rolled
	// back, and the reply to what was committed comes before.
	ended = []string{"57P01", "57P05", "25P03", "25P04"}
)

// again marks an error of a statement that had no effect and may succeed on another connection.
type again struct{ error }

func (a again) Unwrap() error { return a.error }

// translateConnect translates an error of the pool. No statement was sent.
func (d *DB) translateConnect(err error) error {
	var reply *pgconn.PgError
	switch {
	case errors.As(err, &reply) && (reply.Code == codeWrongPassword || reply.Code == codeRefused):
		if d.options.Credential != nil {
			d.options.Credential.Refused()
		}
		err = fmt.Errorf("%w: %w", ErrLoginRefused, err)
	case errors.As(err, &reply) && slices.Contains(missing, reply.Code):
		err = fmt.Errorf("%w: %s", err, d.options.MissingHint)
	case errors.Is(err, context.Canceled):
		return domain.ErrUnavailable.WithCause(err)
	}
	return domain.ErrUnavailable.WithCause(guard.Outage(err))
}

// translate turns an error of pgx into one of package domain. lost is the error for a statement whose reply is lost.
func (c Conn) translate(err error, lost *domain.Error) error {
	var reply *pgconn.PgError
	switch {
	case err == nil, errors.As(err, new(*domain.Error)):
		return err
	case errors.As(err, &reply):
		return c.db.translateReply(err, reply, lost)
	case pgconn.SafeToRetry(err): // not one byte was sent
		return domain.ErrUnavailable.WithCause(again{err})
	case !c.pgx.Conn().IsClosed():
		return err // Internal: pgx refused a value
	case errors.Is(err, context.Canceled):
		return lost.WithCause(err)
	}
	return unanswered(err, lost)
}

// unanswered returns the error of a statement whose reply is lost. A read may be repeated.
func unanswered(err error, lost *domain.Error) error {
	if err = guard.Outage(err); lost == domain.ErrUnavailable {
		err = again{err}
	}
	return lost.WithCause(err)
}

// translateReply translates an error that PostgreSQL reports. The statement was rolled back, unless the connection
// ended for another reason.
func (d *DB) translateReply(err error, reply *pgconn.PgError, lost *domain.Error) error {
	class := reply.Code[:min(2, len(reply.Code))]
	switch {
	case reply.Code == CodeUnique, reply.Code == CodeForeignKey:
		return &ConstraintError{reply.Code, reply.ConstraintName}
	case slices.Contains(contended, reply.Code):
		return domain.ErrContended.WithCause(err)
	case reply.Code == codeCachedPlan, slices.Contains(ended, reply.Code):
		return domain.ErrUnavailable.WithCause(again{err})
	case reply.Code == codeReadOnly:
		d.pool.Reset() // after a failover, a new connection finds the primary
		return domain.ErrUnavailable.WithCause(again{err})
	case reply.Code == codeCrash, class == "08": // 08 is a pooler's
		return unanswered(err, lost)
	case slices.Contains(missing, reply.Code):
		return domain.ErrUnavailable.WithCause(fmt.Errorf("%w: %s", err, d.options.MissingHint))
	case class == "22", class == "23", class == "42":
		// Internal: a fault of this service. The message may quote a value, which must not be logged.
		return fmt.Errorf("a statement was refused: SQLSTATE %s, constraint %q, routine %s",
			reply.Code, reply.ConstraintName, reply.Routine)
	}
	// For example: cancelled, out of disk or memory, too many connections, or starting up.
	return domain.ErrUnavailable.WithCause(err)
}
