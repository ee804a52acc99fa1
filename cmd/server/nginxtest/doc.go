// Package nginxtest runs the program behind a real nginx, with the configuration that docs/operations.md shows.
// It contains only tests. They need nginx, so they run only with ECHO_TEST_PEERS=1 or CI set, and then a missing
// nginx is a failure.
package nginxtest
