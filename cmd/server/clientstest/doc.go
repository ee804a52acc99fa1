// Package clientstest calls every operation of the running program with clients that common generators make
// from the program's own document, in Go, Python and TypeScript, and signs in with OAuth libraries. It contains only
// tests. These tools come from package registries, so the tests run only with ECHO_TEST_PEERS=1 or
// CI set, and then a missing Python or Node is a failure.
package clientstest
