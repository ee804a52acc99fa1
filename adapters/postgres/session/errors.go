package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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
	codeStarting         = "57P03"
	codeProtocol         = "08P01" // a pooler's answer to a startup parameter that it does not know
	codeSameStatement    = "42P05"
	codeNoStatement      = "26000"
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
	codeUnknownOutcome   = "40003"
)

var (
	contended = []string{codeSerialization, codeDeadlock, codeLockNotAvailable}
	missing   = []string{codeNoDatabase, codeNoSchema, codeNoTable, codeNoColumn, codeNotGranted}
	// ended are the ends of a session that an administrator or a time limit causes. What was not committed is rolled
	// back, and the reply to what was committed comes before.
	ended = []string{"57P01", "57P05", "25P03", "25P04"}
)

// poolerHint is the advice for errors that a pooler in transaction mode causes.
const poolerHint = "if POSTGRES_HOST is a pooler such as PgBouncer, set POSTGRES_POOLER=true"

// noTLSHint is the advice for a server that offers no TLS. pgx has no type for that.
const noTLSHint = "set ssl = on there; a server on this machine may go without, if neither POSTGRES_CA_FILE nor" +
	" sslmode asks for TLS"

// again marks an error that [DB.tryAgain] returns.
type again struct{ error }

func (a again) Unwrap() error { return a.error }

// translateConnect translates an error of the pool. No statement was sent.
func (d *DB) translateConnect(err error) error {
	code := replyCode(err)
	switch {
	case isLoginRefused(err):
		err = fmt.Errorf("%w: %w", ErrLoginRefused, err)
	case code == codeNoDatabase:
		err = fmt.Errorf("%w: check POSTGRES_DATABASE, or create it", err)
	case slices.Contains(missing, code):
		err = fmt.Errorf("%w: %s", err, d.options.MissingHint)
	case d.options.TLS && code == "" && strings.Contains(err.Error(), "server refused TLS connection"):
		err = fmt.Errorf("%w: %s", err, noTLSHint)
	case errors.As(err, new(*tls.CertificateVerificationError)):
		err = fmt.Errorf("%w: check POSTGRES_HOST and POSTGRES_CA_FILE", err)
	case code == codeProtocol && !d.options.Pooler:
		err = fmt.Errorf("%w: %s", err, poolerHint)
	case errors.Is(err, context.Canceled):
		return domain.ErrUnavailable.WithCause(err)
	}
	answered := code != "" && code != codeStarting || errors.As(err, new(unprepared))
	if s := d.pool.Stat(); answered && s.TotalConns() > s.ConstructingConns() {
		return domain.ErrUnavailable.WithCause(err) // no outage: the connections that there are go on
	}
	return domain.ErrUnavailable.WithCause(guard.Outage(err))
}

// isLoginRefused reports whether err says that PostgreSQL refused the user or the password.
func isLoginRefused(err error) bool {
	code := replyCode(err)
	return code == codeWrongPassword || code == codeRefused
}

// replyCode returns the code of the error of PostgreSQL that err wraps, or the empty string.
func replyCode(err error) string {
	var reply *pgconn.PgError
	if !errors.As(err, &reply) {
		return ""
	}
	return reply.Code
}

// translate turns an error of pgx into one of package domain. lost is the error for a statement whose reply is lost.
func (c Conn) translate(err error, lost *domain.Error) error {
	var reply *pgconn.PgError
	switch {
	case err == nil, errors.As(err, new(*domain.Error)):
		return err
	case errors.As(err, &reply):
		return c.db.translateReply(err, reply, lost)
	case !c.pgx.Conn().IsClosed() && pgconn.SafeToRetry(err): // there was no time left to send it
		return domain.ErrUnavailable.WithCause(err)
	case !c.pgx.Conn().IsClosed():
		return err // Internal: pgx refused a value
	case pgconn.SafeToRetry(err), isBeforeStatement(err):
		return c.db.tryAgain(err)
	case errors.Is(err, context.Canceled):
		return lost.WithCause(err)
	}
	return c.db.unanswered(err, lost)
}

// isBeforeStatement reports whether the connection ended before pgx sent the statement: after one that failed, pgx
// first removes what it had prepared for that one. pgx has no value for this error, so its text decides.
func isBeforeStatement(err error) bool {
	return strings.HasPrefix(err.Error(), "failed to deallocate cached statement")
}

// unanswered returns the error of a statement whose reply is lost. A read may be repeated.
func (d *DB) unanswered(err error, lost *domain.Error) error {
	if err = guard.Outage(err); lost == domain.ErrUnavailable {
		return d.tryAgain(err)
	}
	d.replaceConnections()
	return lost.WithCause(err)
}

// tryAgain returns the error of a statement that had no effect and may succeed on a new connection.
func (d *DB) tryAgain(err error) error {
	d.replaceConnections()
	return domain.ErrUnavailable.WithCause(again{err})
}

// IsDefinite reports whether err, of a COMMIT, says that nothing was committed.
func IsDefinite(err error) bool {
	var reply *pgconn.PgError
	return errors.As(err, &reply) && !leavesOpen(reply) || pgconn.SafeToRetry(err) // not one byte was sent
}

// leavesOpen reports whether a statement may have taken effect although PostgreSQL, or a pooler, reports an error: the
// connection ended for another reason, or a server that panics may have written the commit.
func leavesOpen(reply *pgconn.PgError) bool {
	return reply.SeverityUnlocalized == "PANIC" || reply.Code == codeCrash || reply.Code == codeUnknownOutcome ||
		strings.HasPrefix(reply.Code, "08")
}

// translateReply translates an error that PostgreSQL reports. The statement was rolled back, unless the connection
// ended for another reason.
func (d *DB) translateReply(err error, reply *pgconn.PgError, lost *domain.Error) error {
	class := reply.Code[:min(2, len(reply.Code))]
	switch {
	case leavesOpen(reply):
		return d.unanswered(err, lost)
	case reply.Code == CodeUnique, reply.Code == CodeForeignKey:
		return &ConstraintError{reply.Code, reply.ConstraintName}
	case slices.Contains(contended, reply.Code):
		return domain.ErrContended.WithCause(err)
	case reply.Code == codeReadOnly:
		// After a failover, a new connection finds the primary.
		d.replaceConnections()
		return domain.ErrReadOnly.WithRetryAfter(time.Second).WithCause(again{err})
	case slices.Contains(ended, reply.Code), reply.Code == codeCachedPlan:
		// After a migration, a new connection has no old plan.
		return d.tryAgain(err)
	case reply.Code == codeSameStatement, reply.Code == codeNoStatement:
		return domain.ErrUnavailable.WithCause(fmt.Errorf("%w: %s", err, poolerHint))
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
