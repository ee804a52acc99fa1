package config

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// maxShutdown is what stopping has to stay below: Snowpark Container Services sends SIGKILL 30 s
// after SIGTERM.
const maxShutdown = 28 * time.Second

// problem is one thing that is wrong with one key.
type problem struct {
	key    string
	origin string // of the value at fault; may be empty
	err    error
}

func (p problem) Error() string {
	if p.origin == "" {
		return fmt.Sprintf("%s: %v", p.key, p.err)
	}
	return fmt.Sprintf("%s (%s): %v", p.key, p.origin, p.err)
}

// Load reads all sources and checks what they say. flags, which may be nil, are those of
// [AddFlags] after parsing. The error has one line for every problem there is: the key, what is
// wrong and what to do; it never shows a secret. The Config beside an error is what could be read.
func Load(flags *pflag.FlagSet) (Config, error) {
	c, problems := load(flags)
	return c, join(problems)
}

// LoadSigningKeys is [Load] for who wants the signing keys alone: what is wrong with another key does
// not keep it, so that a key that leaked can be taken out of use whatever else is wrong.
func LoadSigningKeys(flags *pflag.FlagSet) (Config, error) {
	c, problems := load(flags)
	return c, join(slices.DeleteFunc(problems, func(p problem) bool {
		return slices.ContainsFunc(keys, func(k Key) bool {
			return k.Name == p.key && k.Name != configFile && !strings.HasPrefix(k.Name, "JWT_")
		})
	}))
}

func join(problems []problem) error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, p)
	}
	return errors.Join(errs...)
}

func load(flags *pflag.FlagSet) (Config, []problem) {
	sources, problems := readSources(flags)
	var c Config
	for _, k := range keys {
		value, origin, err := sources.value(k)
		if err == nil {
			err = k.set(&c, value)
		}
		if err != nil {
			problems = append(problems, problem{k.Name, origin, err})
			// The rules between keys go on with the default, so as not to blame this key again.
			_ = k.set(&c, k.Default)
		}
		if k.Secret {
			value = NewSecret(value).String()
		}
		c.settings = append(c.settings, Setting{k.Name, value, origin})
	}
	if c.setting("STORAGE").Origin == originDefault && !c.loopback() {
		c.Storage = "" // data that ends with the process must be somebody's decision
	}
	if c.Development() && c.JWTSecretKey == (Secret{}) {
		c.JWTSecretKey = randomKey()
		*c.setting("JWT_SECRET_KEY") = Setting{"JWT_SECRET_KEY", c.JWTSecretKey.String(), "generated"}
	}

	known := len(problems)
	for _, p := range c.conflicts() {
		if !slices.ContainsFunc(problems[:known], func(q problem) bool { return q.key == p.key }) {
			problems = append(problems, p)
		}
	}
	return c, problems
}

func (c *Config) setting(name string) *Setting {
	i := slices.IndexFunc(c.settings, func(s Setting) bool { return s.Name == name })
	return &c.settings[i]
}

func randomKey() Secret {
	key := make([]byte, minSigningKey)
	_, _ = rand.Read(key) // never fails
	return NewSecret(base64.RawURLEncoding.EncodeToString(key))
}

const giveRandomKey = "give at least 32 random bytes, for example what `openssl rand -base64 32` prints"

// placeholder finds the keys that examples and tutorials leave behind; of random ones, one in
// many millions.
var placeholder = regexp.MustCompile(`(?i)change[-_ ]?(this|me|it)|secret|example|placeholder`)

// conflicts returns what is wrong between keys that are each right by themselves.
func (c Config) conflicts() []problem {
	var problems []problem
	report := func(key, format string, args ...any) {
		problems = append(problems, problem{key, "", fmt.Errorf(format, args...)})
	}

	if c.Storage == "" {
		report("STORAGE", "must be named when HTTP_ADDR (%s) is not a loopback address: set it to %s or %s",
			c.HTTPAddr, StorageMemory, StorageSnowflake)
	}
	if !c.Development() {
		const development = "accepted only with STORAGE=memory and HTTP_ADDR on a loopback address"
		if c.JWTSecretKey == (Secret{}) {
			report("JWT_SECRET_KEY", "is not set, which is %s: %s", development, giveRandomKey)
		}
		if placeholder.MatchString(c.JWTSecretKey.Reveal()) {
			report("JWT_SECRET_KEY", "is a placeholder, which is %s: %s", development, giveRandomKey)
		}
		if slices.ContainsFunc(c.JWTAcceptedKeys, func(k Secret) bool { return placeholder.MatchString(k.Reveal()) }) {
			report("JWT_PREVIOUS_SECRET_KEY", "has a placeholder, which is %s: remove it", development)
		}
		if c.FirstSuperuserPassword.Reveal() == DefaultPassword {
			report("FIRST_SUPERUSER_PASSWORD", "is the default, which is %s: choose one of your own", development)
		}
	}
	if c.RequestTimeout > c.ShutdownTimeout {
		report("REQUEST_TIMEOUT", "%v is longer than SHUTDOWN_TIMEOUT (%v), so that stopping could cut a request off: lower it",
			c.RequestTimeout, c.ShutdownTimeout)
	}
	if c.ShutdownDelay >= maxShutdown-c.ShutdownTimeout {
		report("SHUTDOWN_TIMEOUT", "%v after a SHUTDOWN_DELAY of %v is not less than %v, soon after which the platform kills: lower one of them",
			c.ShutdownTimeout, c.ShutdownDelay, maxShutdown)
	}
	if c.Storage == StorageSnowflake {
		c.Snowflake.conflicts(report)
	}
	return problems
}

func (s Snowflake) conflicts(report func(key, format string, args ...any)) {
	if s.Account == "" {
		report("SNOWFLAKE_ACCOUNT", "is not set, which STORAGE=snowflake needs: give the account identifier, such as myorg-myaccount")
	}
	if s.Protocol == "http" && !isLoopback(s.Host) {
		report("SNOWFLAKE_PROTOCOL", "http is accepted only with SNOWFLAKE_HOST on this machine: anything else needs https")
	}
	if s.AuthType == AuthOAuth {
		return
	}
	if s.User == "" {
		report("SNOWFLAKE_USER", "is not set, which SNOWFLAKE_AUTH_TYPE=%s needs: give the user's name", s.AuthType)
	}
	for _, of := range []struct {
		authType, key string
		secret        Secret
	}{
		{AuthPassword, "SNOWFLAKE_PASSWORD", s.Password},
		{AuthKeyPair, "SNOWFLAKE_PRIVATE_KEY", s.PrivateKey},
		{AuthPAT, "SNOWFLAKE_PAT", s.PAT},
	} {
		if s.AuthType == of.authType && of.secret == (Secret{}) {
			report(of.key, "is not set, which SNOWFLAKE_AUTH_TYPE=%s needs: set it, or %s to a file's path", s.AuthType, fileKey(of.key))
		}
	}
}
