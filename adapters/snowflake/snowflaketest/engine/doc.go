// Package engine is a small SQL database in memory that executes what Snowflake documents about
// READ COMMITTED: a statement sees what was committed when it began and what its own transaction
// wrote; UPDATE and DELETE lock the rows that they change until COMMIT or ROLLBACK, and wait for
// those of others; INSERTs wait for nobody; no key is enforced. It knows just the SQL that this
// service sends and refuses everything else.
//
// It is for tests, in two ways: package fake puts Snowflake's HTTP protocol before it, and the proof of the
// rules across rows runs recorded statements in it in every order. It says nothing about Snowflake
// itself; where the documentation is silent, [Rules] has both answers.
//
// Read db.go first, then write.go for the locks; parse.go, expr.go, eval.go and query.go are the SQL.
package engine
