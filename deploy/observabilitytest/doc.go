// Package observabilitytest holds tests of deploy/observability.sql on fakesnow, a SQL engine behind
// Snowflake's protocol: its views, over tables that are shaped like their sources and hold a few rows,
// give the numbers that were computed by hand. Whether Snowflake fills those sources as its
// documentation says, they do not show. They run with ECHO_TEST_PEERS=1 or CI, and then what is
// missing is a failure.
package observabilitytest
