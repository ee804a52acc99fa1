// Package fakesnowtest runs the end-to-end tests of the service on fakesnow, an emulator of Snowflake.
// They run only if ECHO_TEST_PEERS=1 or CI is set. Then a missing emulator is a failure.
package fakesnowtest
