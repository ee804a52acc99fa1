package main

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// reloadInterval is the time between two checks of the files of the signing keys.
const reloadInterval = 10 * time.Second

// keyReloader replaces the signing keys when their files change, so that a rotation needs no restart:
// Snowpark Container Services updates secrets that are mounted as files.
type keyReloader struct {
	tokens *security.TokenIssuer
	load   func() (config.Config, error) // needs to set the signing keys only
	log    *zap.Logger
	used   config.Config // with the keys in use
	found  config.Config // with the keys that the last successful load found
	failed string        // the error that the last check reported; empty: none
}

func newKeyReloader(
	cfg config.Config, load func() (config.Config, error), tokens *security.TokenIssuer, log *zap.Logger,
) *keyReloader {
	return &keyReloader{tokens: tokens, load: load, log: log, used: cfg, found: cfg}
}

// run checks the files once per interval until ctx ends. It returns immediately if no key is in a
// file.
func (r *keyReloader) run(ctx context.Context, interval time.Duration) {
	if !keysInFiles(r.used) {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.check()
		}
	}
}

// check reloads the keys. If that fails, the keys in use stay. An error that repeats is logged once.
func (r *keyReloader) check() {
	failed := ""
	if err := r.reload(); err != nil {
		if failed = err.Error(); failed != r.failed {
			r.log.Warn("signing keys kept", zap.Error(err))
		}
	}
	r.failed = failed
}

// reload uses new keys only after two loads in a row found the same ones: half of a file that is
// being written may look like a key.
func (r *keyReloader) reload() error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	stable := sameKeys(cfg, r.found)
	r.found = cfg
	if !stable || sameKeys(cfg, r.used) {
		return nil
	}
	key, accepted := signingKeys(cfg)
	if err := r.tokens.Rotate(key, accepted...); err != nil {
		return err
	}
	r.used = cfg
	r.log.Info("signing keys changed", zap.Int("accepted", len(accepted)))
	return nil
}

func keysInFiles(cfg config.Config) bool {
	return slices.ContainsFunc(cfg.Settings(), func(s config.Setting) bool {
		return (s.Name == "JWT_SECRET_KEY_FILE" || s.Name == "JWT_PREVIOUS_SECRET_KEY_FILE") && s.Value != ""
	})
}

func sameKeys(a, b config.Config) bool {
	return a.JWTSecretKey == b.JWTSecretKey && slices.Equal(a.JWTAcceptedKeys, b.JWTAcceptedKeys)
}

// signingKeys returns the key that signs tokens, and the other keys whose tokens are accepted.
func signingKeys(cfg config.Config) (key []byte, accepted [][]byte) {
	for _, k := range cfg.JWTAcceptedKeys {
		accepted = append(accepted, []byte(k.Reveal()))
	}
	return []byte(cfg.JWTSecretKey.Reveal()), accepted
}
