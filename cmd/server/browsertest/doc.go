// Package browsertest looks at the pages of the running program with a real browser: whether they
// work under their own content security policy, and whether they load anything from elsewhere. It
// has only tests. They need Chromium, and so run with ECHO_TEST_PEERS=1 and in CI, where a missing
// Chromium is a failure. Whatever can be seen without a browser is tested elsewhere.
package browsertest
