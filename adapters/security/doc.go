// Package security makes and checks password hashes (passwords.go, hashes.go, queue.go) and bearer
// tokens (tokens.go), and counts attempts (attempts.go). Cryptography and its formats live here and
// nowhere else; who may do what is not known here, nor where hashes, keys and tokens are kept.
package security
