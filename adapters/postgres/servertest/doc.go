// Package servertest holds tests of the store on a real PostgreSQL server. They run if the machine has one. Package
// pgtest says where they find it.
package servertest
