// Package ports holds the interfaces around the use cases. Adapters that receive requests, such as
// HTTP and the command line, call the driving ports (driving.go). Adapters that store, hash, sign or
// limit implement the driven ports (the other files). The package holds interfaces only and imports
// only domain.
//
// The comment of a driven method is its contract. Package portstest holds the same contract as tests,
// and every adapter runs them.
package ports
