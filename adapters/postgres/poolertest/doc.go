// Package poolertest holds tests of the store on a real PostgreSQL server behind PgBouncer in transaction mode. They
// run if the machine has both.
package poolertest
