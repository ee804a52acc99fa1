// Package portstest holds the contract of the driven ports as tests: one function for each port, which every
// adapter runs on its implementation. Each promise in a port's comment has a test here. The package imports
// no adapter, and it uses an implementation only through its port.
package portstest
