// Package fakesnowtest holds tests of the Snowflake store on fakesnow, a SQL engine behind
// Snowflake's protocol. They show that the SQL means what it should to an engine that is not ours;
// of Snowflake's locks, waiting, hybrid tables and error numbers they show nothing. They run with
// ECHO_TEST_PEERS=1 or CI, and then what is missing is a failure.
package fakesnowtest
