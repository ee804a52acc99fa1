// Package session runs statements on PostgreSQL reliably for many concurrent callers. It adds to pgx: deadlines
// that hold even if the server hangs, a fair wait for connections, a circuit breaker, retries of what certainly
// did not take effect, credentials and certificates that are read for each connection, translated errors, and
// telemetry. It knows no table and no account.
//
// Read session.go first. connect.go opens connections. errors.go says what the errors of PostgreSQL mean.
package session
