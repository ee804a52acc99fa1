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

// maxShutdown is the limit of the time that stopping takes: Snowpark Container Services sends SIGKILL
// 30 s after SIGTERM.
const maxShutdown = 28 * time.Second

// problem is one fault of one key.
type problem struct {
	key    string // or a file, or an unknown key of the config file
	origin string // of the faulty value; may be empty
	err    error
}

func (p problem) Error() string {
	if p.origin == "" {
		return redactURLs(fmt.Sprintf("%s: %v", p.key, p.err))
	}
	return redactURLs(fmt.Sprintf("%s (%s): %v", p.key, p.origin, p.err))
}

var userInfo = regexp.MustCompile(`://[^\s"]*@`)

// redactURLs hides the user names and passwords of URLs in s.
func redactURLs(s string) string { return userInfo.ReplaceAllString(s, "://[redacted]@") }

// concerns reports whether a command that uses only the given groups has to report the problem. A
// fault of a source always concerns it, because the source may set any key.
func (p problem) concerns(groups []Group) bool {
	k := find(p.key)
	return k == nil || k.group == sourceKeys || slices.Contains(groups, k.group)
}

// Load reads all sources and checks the keys of the given groups, or all keys if no group is given.
// The error has one line for each problem: the key, what is wrong and what to do. It never shows a
// secret. Beside an error, the Config has the default for each key with a problem of its own, and
// [Config.Settings] shows the values as they were read. flags may be nil, or hold the flags of
// [AddFlags] after parsing.
func Load(flags *pflag.FlagSet, groups ...Group) (Config, error) {
	return LoadFor(flags, nil, groups...)
}

// LoadFor is Load for a command that uses these stores, whatever STORAGE says. Config.Storage is the first of them.
// Without stores, it is Load.
func LoadFor(flags *pflag.FlagSet, stores []string, groups ...Group) (Config, error) {
	c, problems := load(flags, stores)
	var errs []error
	for _, p := range problems {
		if len(groups) == 0 || p.concerns(groups) {
			errs = append(errs, p)
		}
	}
	return c, errors.Join(errs...)
}

func load(flags *pflag.FlagSet, stores []string) (Config, []problem) {
	sources, problems := readSources(flags)
	var c Config
	for _, k := range keys {
		value, origin, err := sources.value(k)
		if err == nil {
			err = k.set(&c, value)
		}
		if err != nil {
			problems = append(problems, problem{k.Name, origin, err})
			// With the default, the rules between keys do not report this key again.
			_ = k.set(&c, k.Default)
		}
		if k.Secret {
			value = NewSecret(value).String()
		}
		value = redactURLs(value)
		if at := strings.LastIndexByte(value, '@'); at >= 0 && strings.HasSuffix(k.Name, "_ENDPOINT") {
			value = "[redacted]" + value[at:] // also without a scheme
		}
		c.settings = append(c.settings, Setting{k.Name, value, origin})
	}
	c.Postgres.TLS = c.Postgres.TLS || c.Postgres.CAFile != "" || !c.Postgres.thisMachine()
	if c.setting("STORAGE").Origin == originDefault && !c.loopback() {
		c.Storage = "" // An operator must choose that data ends with the process.
	}
	if len(stores) == 0 {
		stores = []string{c.Storage}
	}
	c.Storage = stores[0]
	if key := c.setting("JWT_SECRET_KEY"); key.Origin == originDefault && c.Development() {
		c.JWTSecretKey = randomKey()
		*key = Setting{key.Name, c.JWTSecretKey.String(), originGenerated}
	}

	known := len(problems)
	for _, p := range c.conflicts(stores) {
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

const giveRandomKey = "give at least 32 random bytes, for example the output of `openssl rand -base64 32`"

// placeholder matches keys that were copied from examples and tutorials. It matches one random key in
// many millions.
var placeholder = regexp.MustCompile(`(?i)change[-_ ]?(this|me|it)|secret|example|placeholder`)

// reporter adds a problem of a key.
type reporter func(key, format string, args ...any)

// conflicts returns the problems between keys that are valid alone, if these stores are used.
func (c Config) conflicts(stores []string) []problem {
	var problems []problem
	report := func(key, format string, args ...any) {
		problems = append(problems, problem{key, "", fmt.Errorf(format, args...)})
	}
	if c.Storage == "" {
		report("STORAGE", "must be set if HTTP_ADDR (%s) is not a loopback address: set it to %s, %s or %s",
			c.HTTPAddr, StorageMemory, StorageSnowflake, StoragePostgres)
	}
	if !c.Development() {
		c.defaultSecrets(report)
	}
	switch isList := strings.EqualFold(c.SourceHeader, "X-Forwarded-For"); {
	case strings.EqualFold(c.SourceHeader, "Forwarded"):
		report("SOURCE_HEADER", "the format of Forwarded (RFC 7239) is not supported: use X-Forwarded-For, "+
			"or a header that holds only a name")
	case isList && c.SourceHops == 0:
		report("SOURCE_HOPS", "must be set if SOURCE_HEADER is X-Forwarded-For, to which clients can add values: "+
			"give the number of your proxies that append to it, such as 1")
	case c.SourceHeader == "" && c.SourceHops > 0:
		report("SOURCE_HOPS", "has no effect without SOURCE_HEADER: set SOURCE_HEADER, or remove SOURCE_HOPS")
	}
	if c.RequestTimeout > c.ShutdownTimeout {
		report("SHUTDOWN_TIMEOUT", "%v is shorter than REQUEST_TIMEOUT (%v), so stopping could cut requests off: "+
			"raise it, or lower REQUEST_TIMEOUT", c.ShutdownTimeout, c.RequestTimeout)
	}
	if c.ShutdownDelay >= maxShutdown-c.ShutdownTimeout {
		report("SHUTDOWN_TIMEOUT", "%v after a SHUTDOWN_DELAY of %v is not less than %v, "+
			"and the platform kills the process soon after that: lower one of them",
			c.ShutdownTimeout, c.ShutdownDelay, maxShutdown)
	}
	usesPostgres := slices.Contains(stores, StoragePostgres)
	if usesPostgres {
		c.postgresConflicts(report)
	}
	switch {
	case slices.Contains(stores, StorageSnowflake):
		c.Snowflake.conflicts(report, "STORAGE=snowflake")
	case usesPostgres && c.Postgres.Auth == AuthSnowflake:
		c.Snowflake.conflicts(report, "POSTGRES_AUTH=snowflake")
	case c.OffersSnowflakeSignIn():
		c.Snowflake.conflicts(report, "SNOWFLAKE_SIGN_IN="+c.SnowflakeSignIn)
	}
	c.signInConflicts(report)
	return problems
}

// signInConflicts reports settings that would keep every superuser from signing in.
func (c Config) signInConflicts(report reporter) {
	if c.OffersSnowflakeSignIn() && c.Snowflake.AuthType != AuthOAuth {
		report("SNOWFLAKE_SIGN_IN", "%s needs SNOWFLAKE_AUTH_TYPE=oauth, because only the token of a service in "+
			"Snowpark Container Services proves who calls it: set it, or set SNOWFLAKE_SIGN_IN=off", c.SnowflakeSignIn)
	}
	if c.PasswordSignIn {
		return
	}
	if !c.OffersSnowflakeSignIn() {
		report("PASSWORD_SIGN_IN", "is false and SNOWFLAKE_SIGN_IN is off, so nobody could sign in: "+
			"set SNOWFLAKE_SIGN_IN=existing or create, or PASSWORD_SIGN_IN=true")
	}
	if c.FirstSuperuserSnowflakeUser == "" {
		report("PASSWORD_SIGN_IN", "is false and FIRST_SUPERUSER_SNOWFLAKE_USER is not set, so no superuser could "+
			"sign in: set it to the name of a user as CURRENT_USER() shows it, or set PASSWORD_SIGN_IN=true")
	}
}

// defaultSecrets reports the secrets that are accepted only in development.
func (c Config) defaultSecrets(report reporter) {
	const development = "accepted only with STORAGE=memory and HTTP_ADDR on a loopback address"
	isPlaceholder := func(k Secret) bool { return placeholder.MatchString(k.Reveal()) }
	if c.JWTSecretKey == (Secret{}) {
		report("JWT_SECRET_KEY", "is not set, which is %s: %s", development, giveRandomKey)
	}
	if isPlaceholder(c.JWTSecretKey) {
		report("JWT_SECRET_KEY", "is a placeholder, which is %s: %s", development, giveRandomKey)
	}
	if slices.ContainsFunc(c.JWTAcceptedKeys, isPlaceholder) {
		report("JWT_PREVIOUS_SECRET_KEY", "has a placeholder, which is %s: remove it", development)
	}
	if c.UsesDefaultPassword() {
		report("FIRST_SUPERUSER_PASSWORD", "is the default, which is %s: choose another password", development)
	}
}

// conflicts reports what a sign-in to Snowflake lacks. neededBy is the setting that needs it.
func (s Snowflake) conflicts(report reporter, neededBy string) {
	if s.Account == "" {
		report("SNOWFLAKE_ACCOUNT", "is not set, which %s needs: "+
			"give the account identifier, such as myorg-myaccount", neededBy)
	}
	if s.Protocol == "http" && !isLoopback(s.Host) {
		report("SNOWFLAKE_PROTOCOL", "http is accepted only if SNOWFLAKE_HOST is this machine: use https")
	}
	if s.AuthType == AuthOAuth {
		return
	}
	if s.User == "" {
		report("SNOWFLAKE_USER", "is not set, which SNOWFLAKE_AUTH_TYPE=%s needs: give the user's name", s.AuthType)
	}
	needed := map[string]struct {
		key   string
		value Secret
	}{
		AuthPassword: {"SNOWFLAKE_PASSWORD", s.Password},
		AuthKeyPair:  {"SNOWFLAKE_PRIVATE_KEY", s.PrivateKey},
		AuthPAT:      {"SNOWFLAKE_PAT", s.PAT},
	}[s.AuthType]
	if needed.value == (Secret{}) {
		report(needed.key, "is not set, which SNOWFLAKE_AUTH_TYPE=%s needs: set it, or set %s to the path of a file",
			s.AuthType, fileKey(needed.key))
	}
}
