// Package copytest holds tests of the command copy, from a fake of Snowflake to a real PostgreSQL server. They run if
// the machine has one. Package pgtest says where they find it.
package copytest
