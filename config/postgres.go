package config

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// thisMachine reports whether a connection stays on this machine, where no other one can read or change it.
func (p Postgres) thisMachine() bool { return p.isSocket() || isLoopback(p.Host) }

func (p Postgres) isSocket() bool { return strings.HasPrefix(p.Host, "/") }

var errPostgresURL = errors.New("is not a URL of a database: write postgres:// and then " +
	"user:password@host:port/database, with %XX for special characters of the password")

// setURL sets what the URL says. An error quotes only what comes after its one @, so never the password.
func (p *Postgres) setURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" ||
		strings.Count(s, "@") != 1 || u.Fragment != "" {
		return errPostgresURL
	}
	user, database := u.User.Username(), strings.TrimPrefix(u.Path, "/")
	if user == "" || u.Hostname() == "" || database == "" || strings.ContainsFunc(user+database, unicode.IsControl) {
		return errPostgresURL
	}
	found := *p
	found.User, found.Database = user, database
	password, _ := u.User.Password()
	found.Password = NewSecret(password)
	if found.Host, err = parsePostgresHost(u.Hostname()); err != nil {
		return err
	}
	if port := u.Port(); port != "" {
		if found.Port, err = parseNumber(port, 1, 65535); err != nil {
			return fmt.Errorf("port %w", err)
		}
	}
	if err := found.setQuery(u.RawQuery); err != nil {
		return err
	}
	*p = found
	return nil
}

// setQuery reads sslmode, which may ask for TLS but never for less than this service needs.
func (p *Postgres) setQuery(raw string) error {
	const verify = "use verify-full, and set POSTGRES_CA_FILE if no public authority signed the server's certificate"
	query, err := url.ParseQuery(raw)
	if err != nil {
		return errPostgresURL
	}
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(query)), func(name string) bool { return name == "sslmode" })
	if len(others) > 0 {
		return fmt.Errorf("has %q in its query, of which only sslmode is read: remove it, "+
			"or set POSTGRES_HOST and the other keys instead of POSTGRES_URL", strings.Join(others, ", "))
	}
	switch mode := strings.Join(query["sslmode"], ","); {
	case !query.Has("sslmode"):
	case mode == "verify-full":
		p.TLS = true
	case mode == "disable" && !p.thisMachine():
		return errors.New("sslmode=disable is accepted only if the host is this machine: " + verify)
	case mode == "disable" && p.CAFile != "":
		return errors.New("sslmode=disable contradicts POSTGRES_CA_FILE, which is for TLS: remove one of them")
	case mode == "disable":
	case p.thisMachine():
		return fmt.Errorf("sslmode %q does not verify who answers: use verify-full, "+
			"or disable for a server on this machine", mode)
	default:
		return fmt.Errorf("sslmode %q does not verify who answers: "+verify, mode)
	}
	return nil
}

var postgresHostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)

func parsePostgresHost(s string) (string, error) {
	if strings.Contains(s, "@") || strings.Contains(s, "://") { // the text may have a password
		return "", errors.New("is a URL: set POSTGRES_URL to it instead, or give only the host name")
	}
	if s == "" || strings.HasPrefix(s, "/") || postgresHostName.MatchString(s) {
		return s, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.String(), nil
	}
	if found := hostAndPort.FindStringSubmatch(s); found != nil {
		return "", fmt.Errorf("%q has a port: set POSTGRES_HOST=%s and POSTGRES_PORT=%s", s, found[1], found[2])
	}
	return "", fmt.Errorf("%q is not a host: give one host name, IP address, "+
		"or absolute path of a Unix socket's folder", s)
}

// parseName refuses control characters: PostgreSQL's protocol ends a name at a zero byte.
func parseName(s string) (string, error) {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", fmt.Errorf("%q has a control character: remove it", s)
	}
	return s, nil
}

// parseReadable returns the path. Its user reads the file again.
func parseReadable(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	if _, err := os.ReadFile(path); err != nil {
		return "", fmt.Errorf("%w: name a file that can be read", err)
	}
	return path, nil
}

var (
	// PostgreSQL cuts a longer identifier off after 63 bytes.
	plainIdentifier = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]{0,62})?$`)
	// snowflakeIdentifier is Snowflake's syntax (its documentation, "Identifier requirements").
	snowflakeIdentifier = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_$]{0,254}|"([^"\pC]|""){1,255}")?$`)
)

func parseSchema(s string) (string, error) {
	if !plainIdentifier.MatchString(s) {
		return "", fmt.Errorf("%q is not a plain identifier: use letters, digits and _, at most 63, no digit first", s)
	}
	return s, nil
}

func parseInstance(s string) (string, error) {
	if !snowflakeIdentifier.MatchString(s) {
		return "", fmt.Errorf("%q is not an identifier of Snowflake: write it like echo_pg, or in double quotes", s)
	}
	return s, nil
}

// postgresConflicts reports what a connection to PostgreSQL lacks, and keys that exclude each other.
func (c Config) postgresConflicts(report reporter) {
	p := c.Postgres
	if whole := c.setting("POSTGRES_URL"); whole.IsSet() {
		keys := []string{"POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DATABASE", "POSTGRES_USER", p.passwordKey()}
		for _, key := range keys {
			if c.setting(key).IsSet() {
				report(key, "is set as well as POSTGRES_URL (%s), which says it, too: keep one of them", whole.Origin)
			}
		}
	} else {
		for _, needed := range []struct{ key, value, advice string }{
			{"POSTGRES_HOST", p.Host, "give a host name, IP address, or the folder of a Unix socket"},
			{"POSTGRES_DATABASE", p.Database, "give the name of the database"},
			{"POSTGRES_USER", p.User, "give the user's name"},
		} {
			if needed.value == "" {
				report(needed.key, "is not set, which STORAGE=postgres needs: %s, or set POSTGRES_URL", needed.advice)
			}
		}
	}
	if p.CAFile != "" && p.isSocket() {
		report("POSTGRES_CA_FILE", "has no effect on a Unix socket (POSTGRES_HOST=%s), which has no TLS: "+
			"remove it", p.Host)
	}
	if p.Schema != "" && p.Pooler {
		report("POSTGRES_SCHEMA", "is not possible with POSTGRES_POOLER=true, because a pooler refuses search_path: "+
			"remove it, and run ALTER ROLE … SET search_path = %s in the database", p.Schema)
	}
	c.postgresAuthConflicts(report)
}

func (c Config) postgresAuthConflicts(report reporter) {
	p := c.Postgres
	hasURL, hasPassword := c.setting("POSTGRES_URL").IsSet(), p.Password != (Secret{})
	if p.Auth == AuthPassword {
		const needs = "which POSTGRES_AUTH=password needs unless the host is this machine"
		switch {
		case hasPassword || p.Host == "" || p.thisMachine():
		case hasURL:
			report("POSTGRES_URL", "has no password, %s: add it", needs)
		default:
			report("POSTGRES_PASSWORD", "is not set, %s: "+
				"set it, or set POSTGRES_PASSWORD_FILE to the path of a file", needs)
		}
		if p.Instance != "" {
			report("POSTGRES_INSTANCE", "has no effect without POSTGRES_AUTH=snowflake: "+
				"set POSTGRES_AUTH=snowflake, or remove POSTGRES_INSTANCE")
		}
		return
	}
	if p.Instance == "" {
		report("POSTGRES_INSTANCE", "is not set, which POSTGRES_AUTH=snowflake needs: "+
			"give the name of the Snowflake Postgres instance, such as echo_pg")
	}
	const noPassword = "POSTGRES_AUTH=snowflake signs in with tokens: remove the password"
	switch {
	case hasPassword && hasURL:
		report("POSTGRES_URL", noPassword)
	case hasPassword:
		report(p.passwordKey(), noPassword)
	}
}

// passwordKey returns the key that sets the password if POSTGRES_URL does not.
func (p Postgres) passwordKey() string {
	if p.PasswordFile != "" {
		return "POSTGRES_PASSWORD_FILE"
	}
	return "POSTGRES_PASSWORD"
}
