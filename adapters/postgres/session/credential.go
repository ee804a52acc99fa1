package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Credential gives the password of a new connection.
type Credential interface {
	Password(ctx context.Context) (string, error)
	// Refused is called when the server refused this password.
	Refused(password string)
}

// Password is a fixed password.
type Password string

// Password implements [Credential].
func (p Password) Password(context.Context) (string, error) { return string(p), nil }

// Refused implements [Credential].
func (p Password) Refused(string) {}

// PasswordFile is the path of a file with the password. It is read for each connection, so that a new password needs
// no restart.
type PasswordFile string

// Password implements [Credential].
func (p PasswordFile) Password(context.Context) (string, error) {
	content, err := os.ReadFile(string(p))
	if err != nil {
		return "", fmt.Errorf("POSTGRES_PASSWORD_FILE: %w", err)
	}
	password, windows := strings.CutSuffix(string(content), "\r\n") // one line break, as in package config
	if !windows {
		password = strings.TrimSuffix(password, "\n")
	}
	if password == "" {
		return "", errors.New("POSTGRES_PASSWORD_FILE: the file is empty")
	}
	return password, nil
}

// Refused implements [Credential].
func (p PasswordFile) Refused(string) {}

const (
	// tokenAge is how long a token is used. Snowflake's are valid for 15 minutes (Snowflake documentation,
	// GENERATE_POSTGRES_ACCESS_TOKEN_FOR_USER), and only for opening connections.
	tokenAge = 10 * time.Minute
	// tokenTimeout limits the time to get a token.
	tokenTimeout = 5 * time.Second
	// tokenPause is the time between two calls of fetch while it fails, or while PostgreSQL refuses its tokens: each
	// request would try again otherwise.
	tokenPause = time.Second
)

var errTokenRefused = errors.New("PostgreSQL refused the last one")

// Tokens is a Credential that gets short-lived tokens from fetch. One caller at a time calls fetch. A token is used
// again until it is ten minutes old or refused. Make one with [NewTokens].
type Tokens struct {
	fetch func(context.Context) (string, error)

	turn    chan struct{} // held by the caller of fetch
	mu      sync.Mutex    // guards the fields below
	token   string
	err     error     // why there is no token
	fetched time.Time // when fetch returned
}

// NewTokens returns a Credential that uses what fetch returns.
func NewTokens(fetch func(context.Context) (string, error)) *Tokens {
	return &Tokens{fetch: fetch, turn: make(chan struct{}, 1)}
}

// Password implements [Credential].
func (t *Tokens) Password(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return "", fmt.Errorf("wait for a token for PostgreSQL: %w", ctx.Err())
	}
	token, age, err := t.cached()
	if token != "" && age >= tokenAge || token == "" && age >= tokenPause {
		token, err = t.fetch(ctx)
		t.keep(token, err)
	}
	if err != nil {
		return "", fmt.Errorf("get a token for PostgreSQL: %w", err)
	}
	return token, nil
}

func (t *Tokens) cached() (token string, age time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token, time.Since(t.fetched), t.err
}

func (t *Tokens) keep(token string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token, t.err, t.fetched = token, err, time.Now()
}

// Refused implements [Credential]. It forgets the token, unless there is a newer one.
func (t *Tokens) Refused(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if token == t.token {
		t.token, t.err = "", errTokenRefused
	}
}
