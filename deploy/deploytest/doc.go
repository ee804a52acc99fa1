// Package deploytest tests setup.sql and the deploy command with the real Snowflake CLI. Behind it are
// fakesnow, which runs tables and stages, and [platformtest] for services, secrets, images and roles. The
// tests do not show which statements Snowflake accepts. They run with ECHO_TEST_PEERS=1 or CI; then a
// missing program is a failure. Package deploy has the tests that need Go alone.
package deploytest
