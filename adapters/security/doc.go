// Package security makes and verifies password hashes (passwords.go, hashes.go, workqueue.go), issues
// and verifies bearer tokens (tokens.go), and limits attempts (attempts.go). All cryptography and its
// formats are here. It does not decide who may do what, and it does not know where hashes, keys and
// tokens are stored.
package security
