package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// minSigningKey is the minimum length of an HS256 key in bytes (RFC 7518 §3.2).
const minSigningKey = 32

// minDistinct is the minimum number of different bytes in a key. A random key of minSigningKey bytes
// practically always has more, even in hexadecimal digits.
const minDistinct = 8

// parsed returns a setter that parses the text and stores the result in field.
func parsed[T any](parse func(string) (T, error), field func(*Config) *T) func(*Config, string) error {
	return func(c *Config, s string) (err error) {
		*field(c), err = parse(s)
		return err
	}
}

func text(field func(*Config) *string) func(*Config, string) error {
	return parsed(func(s string) (string, error) { return s, nil }, field)
}

func secret(field func(*Config) *Secret) func(*Config, string) error {
	return parsed(func(s string) (Secret, error) { return NewSecret(s), nil }, field)
}

func oneOf(field func(*Config) *string, allowed ...string) func(*Config, string) error {
	return parsed(func(s string) (string, error) { return choice(s, allowed...) }, field)
}

func choice(s string, allowed ...string) (string, error) {
	lower := strings.ToLower(s)
	if !slices.Contains(allowed, lower) {
		return "", fmt.Errorf("%q is unknown: choose one of %s", s, strings.Join(allowed, ", "))
	}
	return lower, nil
}

func duration(field func(*Config) *time.Duration, minimum time.Duration) func(*Config, string) error {
	return func(c *Config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a duration: write a number with a unit, such as 500ms, 10s or 1m30s", s)
		}
		if d < minimum {
			return fmt.Errorf("%q is too short: give at least %v", s, minimum)
		}
		*field(c) = d
		return nil
	}
}

func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

func number(field func(*Config) *int, minimum, maximum int) func(*Config, string) error {
	return parsed(func(s string) (int, error) { return parseNumber(s, minimum, maximum) }, field)
}

func parseNumber(s string, minimum, maximum int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < minimum || n > maximum {
		return 0, fmt.Errorf("%q is not a whole number from %d to %d", s, minimum, maximum)
	}
	return n, nil
}

// headerName matches a token (RFC 9110 §5.6.2), or the empty text.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]*$")

func parseHeaderName(s string) (string, error) {
	if !headerName.MatchString(s) {
		return "", fmt.Errorf("%q is not the name of a header: write it like X-Client-Name", s)
	}
	if slices.ContainsFunc(secretHeaders, func(name string) bool { return strings.EqualFold(s, name) }) {
		return "", fmt.Errorf("%q holds a secret, which audit events would show: name a header that holds a name", s)
	}
	return s, nil
}

// secretHeaders are the headers that clients and the gateway of Snowflake use for tokens.
var secretHeaders = []string{
	"Authorization", "X-Authorization", "X-SF-SPCS-Authorization", "Sf-Context-Current-User-Token", "Cookie",
}

// endpoint returns a setter that keeps the value of an earlier key if the text is empty.
func endpoint(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, s string) error {
		if s == "" {
			return nil
		}
		parsed, err := parseEndpoint(s)
		*field(c) = parsed
		return err
	}
}

// exporter returns a setter that removes the endpoint if the text is none.
func exporter(endpoint func(*Config) *string) func(*Config, string) error {
	return func(c *Config, s string) error {
		chosen, err := choice(s, "otlp", "none")
		if chosen == "none" {
			*endpoint(c) = ""
		}
		return err
	}
}

// parseEndpoint also accepts host:port, which many gRPC programs call an endpoint.
func parseEndpoint(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	full := s
	if !strings.Contains(s, "://") {
		full = "http://" + s
	}
	if strings.Contains(s, "@") { // the text may be a password
		return "", errors.New("has a user or password, which no collector would get: write http://host:port")
	}
	u, err := url.Parse(full)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Contains(u.Host, "%") {
		return "", fmt.Errorf("%q is not the address of a collector: write http://host:port, "+
			"or https://host:port for a collector with TLS", s)
	}
	return full, nil
}

// parsePropagators reports whether s names tracecontext. It ignores the other names of
// OpenTelemetry's specification, because an operator may set this once for many services.
func parsePropagators(s string) (traceparent bool, err error) {
	for name := range strings.SplitSeq(s, ",") {
		switch name = strings.TrimSpace(name); name {
		case "tracecontext":
			traceparent = true
		case "none", "baggage", "b3", "b3multi", "jaeger", "xray", "ottrace":
		default:
			return false, fmt.Errorf("%q is not supported: set it to tracecontext or none", name)
		}
	}
	return traceparent, nil
}

func hs256(_ *Config, s string) error {
	if s != "HS256" {
		return fmt.Errorf("%q is not supported: tokens are signed with HS256 only, so remove this key", s)
	}
	return nil
}

func parseMinutes(s string) (time.Duration, error) {
	const maximum = 24 * 60
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maximum {
		return 0, fmt.Errorf("%q is not a whole number of minutes from 1 to %d: give one, such as 60", s, maximum)
	}
	return time.Duration(n) * time.Minute, nil
}

// parseSigningKey returns the zero Secret for the empty text.
func parseSigningKey(s string) (Secret, error) {
	if s == "" {
		return Secret{}, nil
	}
	if len(s) < minSigningKey {
		return Secret{}, fmt.Errorf("has %d bytes: %s", len(s), giveRandomKey)
	}
	distinct := map[byte]bool{}
	for i := range len(s) {
		distinct[s[i]] = true
	}
	if len(distinct) < minDistinct {
		return Secret{}, fmt.Errorf("has only %d distinct byte values: %s", len(distinct), giveRandomKey)
	}
	if strings.ContainsAny(s, "\r\n") { // JWT_PREVIOUS_SECRET_KEY could not hold it after a rotation.
		return Secret{}, errors.New("has more than one line: give one key")
	}
	return NewSecret(s), nil
}

// parseSigningKeys parses one key per line.
func parseSigningKeys(s string) ([]Secret, error) {
	var keys []Secret
	for line := range strings.Lines(s) {
		key, err := parseSigningKey(strings.TrimRight(line, "\r\n"))
		if err == nil && key == (Secret{}) {
			err = errors.New("is empty: remove it")
		}
		if err != nil {
			return nil, fmt.Errorf("line %d %w", len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

func parseAddr(s string) (string, error) {
	host, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err == nil && host != "" && !hostName.MatchString(host) {
		_, err = netip.ParseAddr(host)
	}
	if err != nil {
		return "", fmt.Errorf("%q is not host:port: write it like 127.0.0.1:8000, [::1]:8000 or :8000", s)
	}
	return s, nil
}

// prefixSyntax allows only unreserved characters (RFC 3986 §2.3), which no client or proxy rewrites.
var prefixSyntax = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// ownPaths are the first segments of the paths that the server answers outside the prefix.
var ownPaths = []string{"livez", "readyz", "static"}

func parsePrefix(s string) (string, error) {
	if !prefixSyntax.MatchString(s) {
		return "", fmt.Errorf("%q is not a path prefix: begin it with a slash, end it without one, "+
			"and use only letters, digits and . _ ~ - between slashes, as in /api/v1", s)
	}
	segments := strings.Split(s[1:], "/")
	if slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return "", fmt.Errorf("%q has a segment . or .., which clients remove: remove it", s)
	}
	if slices.Contains(ownPaths, segments[0]) {
		return "", fmt.Errorf("%q collides with /%s, a path of the server: choose another", s, segments[0])
	}
	return s, nil
}

// parseOrigins returns the origins as browsers send them (RFC 6454 §6.2): in lower case, with the ASCII form of
// other letters, and without the port that the scheme implies.
func parseOrigins(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	var origins, wrong []string
	for text := range strings.SplitSeq(s, ",") {
		text = strings.TrimSpace(text)
		if origin, ok := parseOrigin(text); ok {
			origins = append(origins, origin)
		} else {
			wrong = append(wrong, strconv.Quote(text))
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%s cannot be an origin: write scheme://host or scheme://host:port without a path, "+
			"such as https://app.example.com, or * for any origin", strings.Join(wrong, ", "))
	}
	return origins, nil
}

func parseOrigin(s string) (origin string, ok bool) {
	if s == "*" {
		return s, true
	}
	scheme, host, _ := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	u, err := url.Parse(scheme + "://" + host)
	if err != nil || scheme == "" || u.Host != host {
		return "", false
	}
	name, ok := parseOriginHost(u.Hostname())
	switch port := u.Port(); {
	case !ok || strings.HasSuffix(host, ":"):
		return "", false
	case port != "" && !(scheme == "https" && port == "443") && !(scheme == "http" && port == "80"):
		name += ":" + port
	}
	return scheme + "://" + name, true
}

// number-like labels at the end make a host an IPv4 address for a browser (WHATWG URL, "ends in a number").
var endsInNumber = regexp.MustCompile(`(?i)(^|\.)([0-9]+|0x[0-9a-f]*)\.?$`)

func parseOriginHost(host string) (name string, ok bool) {
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Is4() {
			return addr.String(), true
		}
		return "[" + addr.String() + "]", addr.Zone() == ""
	}
	name, err := idna.Lookup.ToASCII(host)
	return name, err == nil && name != "" && !endsInNumber.MatchString(name)
}

// These match a name, alone or as a browser shows it.
var (
	accountAddress = regexp.MustCompile(`(?i)^(?:https://)?([a-z0-9_.-]*?)(?:\.snowflakecomputing\.(?:com|cn))?/?$`)
	hostAndPort    = regexp.MustCompile(`(?i)^(?:https?://)?([a-z0-9_.-]+|\[[0-9a-f:.]+\]):([0-9]+)/?$`)
	hostAddress    = regexp.MustCompile(`(?i)^(?:https?://)?([a-z0-9_.-]*)/?$`)
)

// parseAccount returns an account identifier, with a region if it is a locator (Snowflake documentation, "Account
// identifiers"). It also accepts the address of the account.
func parseAccount(s string) (string, error) {
	if found := accountAddress.FindStringSubmatch(s); found != nil {
		return found[1], nil
	}
	return "", fmt.Errorf("%q is not an account identifier: write it like myorg-myaccount", s)
}

// parseHost also accepts https://host/. The scheme is SNOWFLAKE_PROTOCOL.
func parseHost(s string) (string, error) {
	if found := hostAddress.FindStringSubmatch(s); found != nil {
		return found[1], nil
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr.String(), nil
	}
	if found := hostAndPort.FindStringSubmatch(s); found != nil {
		return "", fmt.Errorf("%q has a port: set SNOWFLAKE_HOST=%s and SNOWFLAKE_PORT=%s", s, found[1], found[2])
	}
	return "", fmt.Errorf("%q is not a host name: write it like myorg-myaccount.snowflakecomputing.com", s)
}
