package main

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/security"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

// rereadKeys is how often the files of the signing keys are read again.
const rereadKeys = 10 * time.Second

// keyFollower takes over signing keys whose files have changed, so that a rotation needs no
// restart: Snowpark Container Services updates secrets that are mounted as files.
type keyFollower struct {
	tokens *security.TokenIssuer
	load   func() (config.Config, error) // by which only the signing keys matter
	log    *zap.Logger
	used   config.Config
	found  config.Config // by the last look that found one that can be used
	wrong  string        // what the last look found to be wrong
}

func followKeys(cfg config.Config, load func() (config.Config, error), tokens *security.TokenIssuer, log *zap.Logger) *keyFollower {
	return &keyFollower{tokens: tokens, load: load, log: log, used: cfg, found: cfg}
}

// run looks once per interval until ctx ends. Keys that come from no file cannot change.
func (f *keyFollower) run(ctx context.Context, interval time.Duration) {
	if !keysInFiles(f.used) {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f.look()
		}
	}
}

// look takes over what has changed. Where it cannot, the keys in use stay, and it says so once.
func (f *keyFollower) look() {
	wrong := ""
	if err := f.takeOver(); err != nil {
		if wrong = err.Error(); wrong != f.wrong {
			f.log.Warn("signing keys kept", zap.Error(err))
		}
	}
	f.wrong = wrong
}

// takeOver waits until two looks in a row have found the same keys: half a file can pass for a key.
func (f *keyFollower) takeOver() error {
	cfg, err := f.load()
	if err != nil {
		return err
	}
	settled := sameKeys(cfg, f.found)
	f.found = cfg
	if !settled || sameKeys(cfg, f.used) {
		return nil
	}
	key, accepted := signingKeys(cfg)
	if err := f.tokens.Rotate(key, accepted...); err != nil {
		return err
	}
	f.used = cfg
	f.log.Info("signing keys changed", zap.Int("accepted", len(accepted)))
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

// signingKeys returns the key that signs, and those whose tokens are good as well.
func signingKeys(cfg config.Config) (key []byte, accepted [][]byte) {
	for _, k := range cfg.JWTAcceptedKeys {
		accepted = append(accepted, []byte(k.Reveal()))
	}
	return []byte(cfg.JWTSecretKey.Reveal()), accepted
}
