// Package engine is a small SQL database in memory for tests. It models what Snowflake documents
// about READ COMMITTED:
//
//   - A statement sees what was committed before it began, and what its own transaction wrote.
//   - UPDATE and DELETE lock the rows that they change until COMMIT or ROLLBACK, and wait for rows
//     that another transaction has locked.
//   - INSERT waits for nothing, and no key is enforced: these are standard tables. [Rules] can add a
//     unique column, as hybrid tables have.
//
// Where the documentation is silent, [Rules] can switch between the possible answers. Nothing here
// is evidence of what Snowflake itself does.
//
// The engine executes the part of SQL that the statements of this repository use: setup.sql, the
// Snowflake store, and their tests. Columns may have any type. Every other construct fails with
// [Unknown], which names the function that would have to learn it.
//
// The package is used in two ways. Package snowflaketest serves it over Snowflake's HTTP protocol.
// The proof of the store's rules (proof_test.go of the store) executes recorded statements in every
// order.
//
// Read db.go and session.go first, then write.go for the locks. tokens.go, parse.go and expr.go are
// the parser; eval.go and query.go evaluate what it returns. Nothing here knows a table of the
// service.
package engine
