// Package rolestest tests postgres-roles.sql with psql on a real PostgreSQL server.
package rolestest
