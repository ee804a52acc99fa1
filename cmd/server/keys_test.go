package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/echo-in-snowflake/echo-in-snowflake/adapters/memory"
	"github.com/echo-in-snowflake/echo-in-snowflake/config"
	"github.com/echo-in-snowflake/echo-in-snowflake/ports"
)

const (
	oldKey  = randomKey
	nextKey = "Zt2cJ0o8h5XvU4nB7yQeKs1RgWfD9aLmPi6TzEx3HwM="
)

// keyFiles are the files of the signing keys, as secrets that are mounted as files.
type keyFiles struct {
	t      *testing.T
	folder string
}

func newKeyFiles(t *testing.T) keyFiles {
	f := keyFiles{t, t.TempDir()}
	f.sign(oldKey)
	f.accept(oldKey)
	return f
}

func (f keyFiles) sign(content string) { f.write("key", content) }

func (f keyFiles) accept(keys ...string) { f.write("accepted", strings.Join(keys, "\n")+"\n") }

func (f keyFiles) write(name, content string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(filepath.Join(f.folder, name), []byte(content), 0o600))
}

func (f keyFiles) flags() []string {
	return []string{
		"--jwt-secret-key-file=" + filepath.Join(f.folder, "key"),
		"--jwt-previous-secret-key-file=" + filepath.Join(f.folder, "accepted"),
	}
}

func (f keyFiles) load() (config.Config, error) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	config.AddFlags(fs)
	require.NoError(f.t, fs.Parse(f.flags()))
	return config.Load(fs, config.SigningKeys)
}

// reloadingService is an instance that checks its key files when a test calls notice.
type reloadingService struct {
	*testService
	keys    *keyReloader
	noticed *observer.ObservedLogs
}

func newReloadingService(t *testing.T, store ports.Store, files keyFiles) reloadingService {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	r := newServiceOn(t, store, files.flags()...)
	return reloadingService{r, newKeyReloader(r.cfg, files.load, r.service.tokens, zap.New(core)), logs}
}

// notice checks the files as often as a change needs to be used.
func (r reloadingService) notice() {
	r.keys.check()
	r.keys.check()
}

func (r reloadingService) accepts(t *testing.T, token string) {
	t.Helper()
	client{t, r.origin, token}.request("GET", "/users/me", nil).is(http.StatusOK)
}

func (r reloadingService) refuses(t *testing.T, token string) {
	t.Helper()
	client{t, r.origin, token}.request("GET", "/users/me", nil).refused(http.StatusUnauthorized, "invalid_token")
}

func TestAKeyIsReplacedWithoutARestart(t *testing.T) {
	t.Parallel()
	files := newKeyFiles(t)
	r := newReloadingService(t, memory.New(), files)
	old := r.admin(t).token
	r.accepts(t, old)

	files.sign(nextKey)
	r.notice()
	r.accepts(t, old)
	next := r.admin(t).token
	r.accepts(t, next)

	files.accept(nextKey)
	r.notice()
	r.refuses(t, old) // although it was verified a moment ago
	r.accepts(t, next)

	r.notice()
	lines := r.noticed.AllUntimed()
	require.Len(t, lines, 2)
	for _, line := range lines {
		assert.Equal(t, "signing keys changed", line.Message)
		assert.Equal(t, map[string]any{"accepted": int64(1)}, line.ContextMap())
	}
}

// Between the steps each instance still uses the keys that it loaded last. One file changes at a time,
// because Snowflake does not promise that two change together.
func TestARotationOnTwoInstancesRefusesNoValidToken(t *testing.T) {
	t.Parallel()
	files, store := newKeyFiles(t), memory.New()
	instances := []reloadingService{newReloadingService(t, store, files), newReloadingService(t, store, files)}
	var tokens []string // that have not expired
	serve := func() {
		t.Helper()
		for _, r := range instances {
			tokens = append(tokens, r.admin(t).token)
		}
		for _, token := range tokens {
			for _, r := range instances {
				r.accepts(t, token)
			}
		}
	}
	spread := func() {
		t.Helper()
		serve()
		for _, r := range instances {
			r.notice()
			serve()
		}
		slices.Reverse(instances) // Next time the other instance notices it first.
	}

	files.accept(oldKey, nextKey)
	spread()
	before := tokens[0]
	files.sign(nextKey)
	spread()

	tokens = nil // They expire.
	serve()
	files.accept(nextKey)
	spread()
	for _, r := range instances {
		r.refuses(t, before)
	}
}

func TestInvalidKeyFilesLeaveTheKeysInUseAndAreReportedOnce(t *testing.T) {
	t.Parallel()
	files := newKeyFiles(t)
	r := newReloadingService(t, memory.New(), files)
	token := r.admin(t).token
	for name, spoil := range map[string]func(){
		"an empty file":   func() { files.sign("") },
		"half a key":      func() { files.sign(nextKey[:20]) },
		"two keys":        func() { files.sign(nextKey + "\n" + oldKey) },
		"no file":         func() { require.NoError(t, os.Remove(filepath.Join(files.folder, "key"))) },
		"a bad other key": func() { files.sign(nextKey); files.accept(oldKey, nextKey[:20]) },
	} {
		spoil()
		for range 3 {
			r.notice()
			r.accepts(t, token)
		}
		lines := r.noticed.TakeAll()
		require.Len(t, lines, 1, name)
		assert.Equal(t, "signing keys kept", lines[0].Message, name)
		assert.Equal(t, zapcore.WarnLevel, lines[0].Level, name)
		problem := lines[0].ContextMap()["error"]
		assert.Regexp(t, `^JWT_\w+ \(.*\): `, problem, name)
		assert.NotContains(t, problem, nextKey[:20], name)

		files.sign(oldKey)
		files.accept(oldKey)
		r.notice()
		assert.Zero(t, r.noticed.Len(), name)
	}

	for _, content := range []string{"", nextKey[:20], oldKey, nextKey[:20]} {
		files.sign(content)
		r.notice()
	}
	assert.Equal(t, 3, r.noticed.Len(), "another problem, or one that comes back, is logged again")

	files.sign(nextKey)
	r.notice()
	assert.Equal(t, 1, r.noticed.FilterMessage("signing keys changed").Len())
	r.accepts(t, token)
}

func TestAFileThatIsBeingWrittenIsNotUsed(t *testing.T) {
	t.Parallel()
	files := newKeyFiles(t)
	r := newReloadingService(t, memory.New(), files)
	token := r.admin(t).token

	files.sign(nextKey[:40]) // long enough for a key
	r.keys.check()
	files.sign(nextKey)
	files.accept(nextKey) // The line of the old key is not written yet.
	r.keys.check()
	files.accept(nextKey, oldKey)
	r.keys.check()
	assert.Zero(t, r.noticed.Len())
	r.accepts(t, token)

	r.keys.check()
	assert.Equal(t, 1, r.noticed.FilterMessage("signing keys changed").Len())
	r.accepts(t, token)
}

func TestKeysAreReloadedOncePerIntervalUntilTheEnd(t *testing.T) {
	files := newKeyFiles(t)
	cfg, err := files.load()
	require.NoError(t, err)
	inEnvironment, err := config.Load(nil)
	require.NoError(t, err)
	tokens, err := newTokens(cfg)
	require.NoError(t, err)

	for name, c := range map[string]struct {
		cfg   config.Config
		loads int
	}{"in files": {cfg, 3}, "elsewhere": {inEnvironment, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				loads := 0
				load := func() (config.Config, error) { loads++; return c.cfg, nil }
				ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
				defer cancel()
				newKeyReloader(c.cfg, load, tokens, zap.NewNop()).run(ctx, 10*time.Second)
				assert.Equal(t, c.loads, loads)
			})
		})
	}
}

func TestServeReloadsKeysInFilesUntilItStops(t *testing.T) {
	for name, value := range map[string]string{"JWT_SECRET_KEY_FILE": "key", "JWT_PREVIOUS_SECRET_KEY_FILE": "accepted"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, filepath.Join(newKeyFiles(t).folder, value))
			reloads := func() bool {
				stacks := make([]byte, 1<<20)
				return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "(*keyReloader).run(")
			}
			// The reloader of an earlier test may not have ended yet.
			require.Eventually(t, func() bool { return !reloads() }, waitLimit, pollInterval)
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan execution, 1)
			go func() { ended <- executeUntil(ctx, "", "--http-addr=127.0.0.1:0") }()
			require.Eventually(t, reloads, waitLimit, pollInterval)
			stop()
			assert.Equal(t, exitOK, (<-ended).code)
			require.Eventually(t, func() bool { return !reloads() }, waitLimit, pollInterval)
		})
	}
}
