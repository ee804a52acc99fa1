// Package fakesnowtest runs the end-to-end tests of the service on fakesnow, an emulator of
// Snowflake. They run with ECHO_TEST_PEERS=1 or CI, and then what is missing is a failure.
package fakesnowtest
