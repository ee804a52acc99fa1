// Package ports holds the interfaces around the use cases. Adapters that receive requests, such as HTTP,
// call the driving ports (driving.go), which the use cases implement. The use cases call the driven ports
// (the other files), which adapters implement: stores, the password hasher, the token issuer and the
// attempt limiter. The package holds only interfaces and imports only domain.
//
// The comment of a driven method is its contract, including its errors. Package portstest tests every
// sentence of it, and every adapter runs these tests.
package ports
