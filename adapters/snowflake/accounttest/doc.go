// Package accounttest runs the contract of the Snowflake store on a real account, in a schema that it
// makes from setup.sql and drops afterwards. It runs when SNOWFLAKE_TEST_ACCOUNT is set, and says
// which of the assumptions in docs/snowflake-store.md it has checked.
package accounttest
