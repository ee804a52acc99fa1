// Package session runs statements on Snowflake reliably for many concurrent callers. It adds to
// database/sql and the driver: deadlines that hold even if the driver hangs, a connection limiter, a
// circuit breaker, retries, repetition of a lost request under its request id, a login token that is
// read again for each login, translated errors, and telemetry. It knows no table and no account.
//
// Read session.go first. run.go surrounds every operation, transact.go adds transactions. connector.go
// and transport.go add what the driver lacks. errors.go says what its errors mean. caller.go proves who sends a
// request, with connections of its own.
package session
