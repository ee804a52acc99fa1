// Package postgrestest tests the whole service on a real PostgreSQL server.
package postgrestest
