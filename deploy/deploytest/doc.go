// Package deploytest holds tests of setup.sql and deploy.sh with the real Snowflake CLI, against
// fakesnow, which stages files and runs tables, and a stand-in for what fakesnow does not have:
// services, secrets, images, roles. What Snowflake makes of a statement they do not show. They run
// with ECHO_TEST_PEERS=1 or CI, and then what is missing is a failure. The tests of the files that a
// deployment consists of need nothing, and are in package deploy.
package deploytest
