// Package pgbouncertest holds tests of the start of PgBouncer in front of a PostgreSQL server.
package pgbouncertest
