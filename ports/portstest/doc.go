// Package portstest is the contract of the driven ports as tests: one function per port, which
// every adapter runs against itself. Each sentence of a port's comment has a test here that says
// it again. It knows only domain and ports, never an adapter, and looks at an implementation
// through the port alone.
package portstest
