package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/echo-in-snowflake/echo-in-snowflake/config"
)

func TestASecretIsNeverPrinted(t *testing.T) {
	s := config.NewSecret("hunter2")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%10.3s"} {
		assert.Equal(t, "[redacted]", fmt.Sprintf(verb, s), verb)
		assert.Contains(t, fmt.Sprintf(verb, struct{ S config.Secret }{s}), "[redacted]", verb)
		assert.NotContains(t, fmt.Sprintf(verb, &s), "hunter2", verb)
	}
	assert.Equal(t, "[redacted]", s.String())

	asJSON, err := json.Marshal(map[string]config.Secret{"s": s})
	require.NoError(t, err)
	assert.JSONEq(t, `{"s":"[redacted]"}`, string(asJSON))

	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "s", s)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s)
	assert.NotContains(t, log.String(), "hunter2")

	assert.Equal(t, "hunter2", s.Reveal())
}

func TestAnEmptySecretIsPrintedAsEmptyText(t *testing.T) {
	assert.Empty(t, fmt.Sprint(config.Secret{}))
	assert.Empty(t, config.NewSecret("").String())
	asJSON, err := json.Marshal(config.Secret{})
	require.NoError(t, err)
	assert.JSONEq(t, `""`, string(asJSON))
}

func TestAConfigNeverPrintsASecret(t *testing.T) {
	c, err := load(t, sample)
	require.NoError(t, err)
	asJSON, err := json.Marshal(c)
	require.NoError(t, err)
	shown := fmt.Sprintf("%v %+v %#v %+v %s", c, c, c, c.Settings(), asJSON)
	for _, k := range config.Keys() {
		if k.Secret {
			assert.NotContains(t, shown, sample[k.Name], k.Name)
		}
	}
	assert.Contains(t, shown, "[redacted]")
}

func TestErrorsNeverShowASecret(t *testing.T) {
	env := map[string]string{
		"HTTP_ADDR":                ":8000",
		"JWT_SECRET_KEY":           "too-short-hunter2",
		"JWT_PREVIOUS_SECRET_KEY":  "change-this-hunter2-and-many-more-bytes",
		"FIRST_SUPERUSER_PASSWORD": "hunter2",
		"SNOWFLAKE_PASSWORD":       "hunter2",
	}
	for _, name := range []string{"FIRST_SUPERUSER_PASSWORD", "SNOWFLAKE_PASSWORD"} {
		env[name+"_FILE"] = "hunter.txt"
	}
	isolate(t)
	write(t, "hunter.txt", "hunter2")
	_, err := loadHere(t, env)
	require.Error(t, err)
	for name := range env {
		if name != "HTTP_ADDR" {
			assert.Contains(t, err.Error(), name)
		}
	}
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestASecretCanComeFromAFile(t *testing.T) {
	for content, want := range map[string]string{
		"correct horse":           "correct horse",
		"correct horse\n":         "correct horse",
		"correct horse\r\n":       "correct horse",
		"correct horse\n\n":       "correct horse\n",
		" correct horse\r":        " correct horse\r",
		"\x00\xffcorrect horse\n": "\x00\xffcorrect horse",
	} {
		isolate(t)
		write(t, "password", content)
		c, err := loadHere(t, nil, "--first-superuser-password-file=password")
		require.NoError(t, err)
		assert.Equal(t, want, c.FirstSuperuserPassword.Reveal(), "%q", content)
		assert.Equal(t, config.Setting{Name: "FIRST_SUPERUSER_PASSWORD", Value: "[redacted]", Origin: "file password"},
			setting(t, c, "FIRST_SUPERUSER_PASSWORD"))
		assert.Equal(t, config.Setting{Name: "FIRST_SUPERUSER_PASSWORD_FILE", Value: "password", Origin: "flag --first-superuser-password-file"},
			setting(t, c, "FIRST_SUPERUSER_PASSWORD_FILE"))
	}
}

func TestASecretAndItsFileCannotBothBeSet(t *testing.T) {
	isolate(t)
	write(t, "key", signingKey)
	write(t, ".env", "JWT_SECRET_KEY_FILE=key\n")
	_, err := loadHere(t, map[string]string{"JWT_SECRET_KEY": signingKey})
	assert.EqualError(t, err, "JWT_SECRET_KEY (environment): is set as well as JWT_SECRET_KEY_FILE (.env): keep one of them")
}

func TestASecretFileThatIsMissingOrEmptyIsRefused(t *testing.T) {
	isolate(t)
	// Outside of development a missing key is an error, too. It must not be reported in addition.
	env := map[string]string{"HTTP_ADDR": ":8000", "STORAGE": "memory", "FIRST_SUPERUSER_PASSWORD": "correct horse", "JWT_SECRET_KEY_FILE": "key"}
	_, err := loadHere(t, env)
	assert.EqualError(t, err, "JWT_SECRET_KEY (JWT_SECRET_KEY_FILE): open key: no such file or directory: name a file that can be read")

	write(t, "key", "\n")
	_, err = loadHere(t, env)
	assert.EqualError(t, err, "JWT_SECRET_KEY (JWT_SECRET_KEY_FILE): key is empty: put the secret into it")

	require.NoError(t, os.Remove("key"))
	write(t, "key", "short\n")
	_, err = loadHere(t, env)
	assert.ErrorContains(t, err, "JWT_SECRET_KEY (file key): has 5 bytes: give at least 32 random bytes")
}

func TestAFileCanHoldSeveralAcceptedKeysOnePerLine(t *testing.T) {
	for content, want := range map[string][]config.Secret{
		otherKey:                                {config.NewSecret(otherKey)},
		otherKey + "\n" + signingKey:            {config.NewSecret(otherKey), config.NewSecret(signingKey)},
		otherKey + "\r\n" + signingKey + "\r\n": {config.NewSecret(otherKey), config.NewSecret(signingKey)},
		" " + otherKey + " \n":                  {config.NewSecret(" " + otherKey + " ")},
	} {
		isolate(t)
		write(t, "keys", content)
		c, err := loadHere(t, nil, "--jwt-previous-secret-key-file=keys")
		require.NoError(t, err)
		assert.Equal(t, want, c.JWTAcceptedKeys, "%q", content)
		assert.Equal(t, config.Setting{Name: "JWT_PREVIOUS_SECRET_KEY", Value: "[redacted]", Origin: "file keys"},
			setting(t, c, "JWT_PREVIOUS_SECRET_KEY"))
	}
}
