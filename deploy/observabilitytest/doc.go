// Package observabilitytest tests deploy/observability.sql on fakesnow, a SQL engine behind Snowflake's protocol. The
// views read tables that have the shape of their sources and a few rows, and must return the numbers that were
// computed by hand. The tests do not show how Snowflake fills those sources. They run with ECHO_TEST_PEERS=1 or CI;
// then a missing program is a failure.
package observabilitytest
