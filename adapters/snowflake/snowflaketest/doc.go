// Package snowflaketest is a fake of Snowflake for tests. It speaks the HTTP protocol of gosnowflake
// and executes statements with package engine, all in the process of the test. A test can look at
// every request that arrived, and make any request fail in the ways in which networks and databases
// fail.
//
// The answers follow Snowflake's documentation and the sources of the driver. Where both are silent,
// they are a choice of this package: see [engine.Rules]. The package knows nothing of this service
// and its tables.
package snowflaketest
