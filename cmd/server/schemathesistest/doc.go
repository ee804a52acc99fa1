// Package schemathesistest tries the document of the running program with Schemathesis, which makes up requests and
// compares the replies with the document, on the memory store and on PostgreSQL. It contains only tests. Schemathesis
// comes from a package registry, so they run only with ECHO_TEST_PEERS=1 or CI set, and then a missing Python or server
// is a failure. ECHO_TEST_SCHEMATHESIS is the time for each store, such as 5m.
package schemathesistest
