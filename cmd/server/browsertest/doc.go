// Package browsertest tries the pages of the running program in a real browser. It checks that they work
// under their own content security policies and load nothing from other hosts. It contains only tests.
// They need Chromium and curl, so they run only with ECHO_TEST_PEERS=1 or CI set, and then a missing
// program is a failure. A property that needs no browser is tested elsewhere.
package browsertest
