// Package loadtest attacks the running program and reports what other clients notice. It asserts nothing about
// speed, because that depends on the machine: the tests of cmd/server assert the mechanisms. It contains only
// tests, which run with ECHO_TEST_LOAD=1 and take about a minute:
//
//	ECHO_TEST_LOAD=1 go test -v ./cmd/server/loadtest
package loadtest
