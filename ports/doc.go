// Package ports holds the two sides of the hexagon as interfaces: what the world asks of us
// (driving.go) and what we ask of the world (driven.go). It holds no code that runs, and imports
// only domain.
//
// The comment of a driven method is its contract; package portstest is the same contract as tests,
// and every adapter runs it.
package ports
