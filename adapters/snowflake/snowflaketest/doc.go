// Package snowflaketest is a fake of Snowflake for tests: the HTTP protocol that gosnowflake speaks, in this
// process, on top of package engine. A test can look at every request that arrived, and break any of
// them in every way in which a network and a database break.
//
// What it answers where Snowflake is not documented is chosen, not known: see the engine. It knows
// nothing of this service and its tables.
package snowflaketest
