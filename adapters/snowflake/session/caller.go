package session

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
	"strings"

	sf "github.com/snowflakedb/gosnowflake/v2"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/guard"
	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// callerConnections is how many callers are identified concurrently.
const callerConnections = 4

// CallerIdentity implements the port of that name. It logs in to Snowflake as the caller, asks who that is, and ends
// the session. It shares no connection with a store, because a session of the caller has the rights of the caller.
// Make one with [NewCallerIdentity].
type CallerIdentity struct {
	connector *connector
	guard     *guard.Guard
}

// NewCallerIdentity returns a CallerIdentity. It uses of the options how to reach Snowflake, and Auth, which must have
// a TokenPath: the token of the service. It does not connect. As [Open], it changes the environment of the process.
func NewCallerIdentity(o Options) (*CallerIdentity, error) {
	if o.Auth.TokenPath == "" {
		return nil, errors.New("callers can be identified only with the token of a service")
	}
	if err := prepareDriver(); err != nil {
		return nil, fmt.Errorf("prepare the driver: %w", err)
	}
	// The caller may have no right to use what the service uses. The question needs nothing of it.
	o.Database, o.Schema, o.Warehouse, o.Role = "", "", "", ""
	i := &CallerIdentity{newConnector(o), guard.New(callerConnections)}
	i.connector.healthy = i.guard.Healthy
	return i, nil
}

// maxCallerToken is the maximum length of a caller token in bytes. All headers of a request may have twice as much.
const maxCallerToken = 8 << 10

// callerToken matches every token that Snowflake may issue. Their form is not documented: visible ASCII without
// characters that a quoted text escapes, since these would hide a token from redaction.
var callerToken = regexp.MustCompile(`^[!#-[\]-~]+$`)

// Identify returns the user in Snowflake that the gateway issued the token for. The port says more.
func (i *CallerIdentity) Identify(ctx context.Context, token string) (domain.SnowflakeUser, error) {
	if len(token) > maxCallerToken || !callerToken.MatchString(token) {
		return domain.SnowflakeUser{}, domain.ErrInvalidCallerToken
	}
	return guard.Run(ctx, i.guard, guard.Late(unanswered), func(ctx context.Context) (domain.SnowflakeUser, error) {
		// The platform replaces the token of the service while the service runs.
		service, err := i.connector.auth.tokenInFile()
		if err != nil {
			return domain.SnowflakeUser{}, domain.ErrUnavailable.WithCause(err)
		}
		return i.identify(ctx, service, token)
	})
}

// identify returns errors, also for a panic, that show neither token.
func (i *CallerIdentity) identify(ctx context.Context, service, caller string) (u domain.SnowflakeUser, err error) {
	redact := strings.NewReplacer(caller, "[redacted]", service, "[redacted]")
	defer func() {
		if r := recover(); r != nil {
			err = errors.New(redact.Replace(fmt.Sprintf("panic: %v\n%s", r, debug.Stack())))
		}
	}()
	u, err = i.currentUser(ctx, service+"."+caller)
	if refused(err) {
		// Snowflake documents no number for a caller token that it refuses. It is not the caller's fault if
		// Snowflake refuses the service as well.
		var conn *conn
		if conn, err = i.login(ctx, service); err == nil {
			endSession(conn)
			return domain.SnowflakeUser{}, domain.ErrInvalidCallerToken
		}
	}
	return u, unavailable(err, redact)
}

var errNoName = errors.New("CURRENT_USER() is not the name of a user")

// currentUser returns the user that Snowflake knows by the token.
func (i *CallerIdentity) currentUser(ctx context.Context, token string) (u domain.SnowflakeUser, err error) {
	conn, err := i.login(ctx, token)
	if err != nil {
		return u, err
	}
	defer endSession(conn)
	rows, err := conn.QueryContext(ctx, "SELECT CURRENT_USER()", nil) // needs no warehouse
	if err != nil {
		return u, err
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); err != nil {
		return u, err
	}
	name, _ := row[0].(string)
	if u, err = domain.ParseSnowflakeUser(name); err != nil {
		return domain.SnowflakeUser{}, errNoName
	}
	return u, nil
}

func (i *CallerIdentity) login(ctx context.Context, token string) (*conn, error) {
	return i.connector.connect(ctx, func(c *sf.Config) error {
		c.Token = token
		return nil
	})
}

// endSession does not wait: no caller needs the reply, which may take a second.
func endSession(c *conn) { go c.Close() }

// refused reports whether Snowflake answered that it accepts neither this login nor this session.
func refused(err error) bool {
	var reply *sf.SnowflakeError
	return errors.As(err, &reply) && reply.Number >= numberSignIn && reply.Number < numberSignIn+1000
}

// unavailable returns ErrUnavailable with the cause err, or nil. The texts of Snowflake could repeat a token, so it
// keeps only their number. An error that Snowflake reports is no outage, unless it refuses the service: a user can
// cause one, for example with MULTI_STATEMENT_COUNT, and must not stop the sign-ins of others.
func unavailable(err error, redact *strings.Replacer) error {
	var reply *sf.SnowflakeError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return unanswered.WithCause(context.Canceled)
	case errors.Is(err, errNoName):
		return unanswered.WithCause(err)
	case errors.As(err, &reply):
		cause := fmt.Errorf("identify a caller: error %06d of Snowflake", reply.Number)
		if reply.Number != sf.ErrFailedToPostQuery && !refused(err) {
			return unanswered.WithCause(cause)
		}
		err = cause
	default:
		err = fmt.Errorf("identify a caller: %s", redact.Replace(err.Error()))
	}
	return unanswered.WithCause(guard.Outage(err))
}
