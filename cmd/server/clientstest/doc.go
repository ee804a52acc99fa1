// Package clientstest calls every operation of the running program with clients that common generators make
// from the program's own document, in Go, Python and TypeScript. It contains only tests. The generators come
// from package registries, so the tests run only with ECHO_TEST_PEERS=1 or CI set, and then a missing Python
// or Node is a failure.
package clientstest
