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
)

// minSigningKey is the least length of an HS256 key in bytes (RFC 7518 §3.2).
const minSigningKey = 32

// leastDistinct is a number of different bytes that a random key of that length, even in
// hexadecimal digits, all but certainly has.
const leastDistinct = 8

func text(field func(*Config) *string) func(*Config, string) error {
	return func(c *Config, s string) error {
		*field(c) = s
		return nil
	}
}

func secret(field func(*Config) *Secret) func(*Config, string) error {
	return func(c *Config, s string) error {
		*field(c) = NewSecret(s)
		return nil
	}
}

func oneOf(field func(*Config) *string, allowed ...string) func(*Config, string) error {
	return func(c *Config, s string) error {
		lower := strings.ToLower(s)
		if !slices.Contains(allowed, lower) {
			return fmt.Errorf("%q is unknown: choose one of %s", s, strings.Join(allowed, ", "))
		}
		*field(c) = lower
		return nil
	}
}

func duration(field func(*Config) *time.Duration, least time.Duration) func(*Config, string) error {
	return func(c *Config, s string) error {
		d, err := time.ParseDuration(s)
		if err != nil {
			return fmt.Errorf("%q is not a duration: write a number with a unit, such as 500ms, 10s or 1m30s", s)
		}
		if d < least {
			return fmt.Errorf("%q is too short: give at least %v", s, least)
		}
		*field(c) = d
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, s string) error {
		switch strings.ToLower(s) {
		case "true":
			*field(c) = true
		case "false":
			*field(c) = false
		default:
			return fmt.Errorf("%q is neither true nor false", s)
		}
		return nil
	}
}

func number(field func(*Config) *int, least, most int) func(*Config, string) error {
	return func(c *Config, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return fmt.Errorf("%q is not a whole number from %d to %d", s, least, most)
		}
		*field(c) = n
		return nil
	}
}

// headerName is a token of RFC 9110 §5.6.2.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]*$")

func parseHeaderName(s string) (string, error) {
	if !headerName.MatchString(s) {
		return "", fmt.Errorf("%q is not the name of a header: write it like X-Client-Name", s)
	}
	return s, nil
}

// endpoint leaves alone what another key has set when s is empty.
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

// parseEndpoint takes host:port too, as what speaks gRPC often calls its endpoint.
func parseEndpoint(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	full := s
	if !strings.Contains(s, "://") {
		full = "http://" + s
	}
	u, err := url.Parse(full)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", fmt.Errorf("%q is not the address of a collector: write http://host:port, or https:// if it has TLS", s)
	}
	return full, nil
}

// parsePropagators passes over the other names that OpenTelemetry's specification knows: whoever runs
// many services sets this once for all of them.
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
		return fmt.Errorf("%q is not supported: tokens are signed with HS256 only, so remove this key or set it to HS256", s)
	}
	return nil
}

func parseMinutes(s string) (time.Duration, error) {
	const most = 24 * 60
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("%q is not a whole number of minutes from 1 to %d: give one, such as 60", s, most)
	}
	return time.Duration(n) * time.Minute, nil
}

// parseSigningKey takes the empty text for no key.
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
	if len(distinct) < leastDistinct {
		return Secret{}, fmt.Errorf("has only %d distinct byte values: %s", len(distinct), giveRandomKey)
	}
	if strings.ContainsAny(s, "\r\n") { // nor could it be one of several later on
		return Secret{}, errors.New("has more than one line: give one key")
	}
	return NewSecret(s), nil
}

// parseSigningKeys reads one key per line.
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

// RFC 3986 §2.3: only unreserved characters, which no client or proxy rewrites.
var prefixSyntax = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// ownPaths are the first segments that the server itself answers outside the prefix.
var ownPaths = []string{"livez", "readyz", "static"}

func parsePrefix(s string) (string, error) {
	if !prefixSyntax.MatchString(s) {
		return "", fmt.Errorf("%q is not a path prefix: begin it with a slash, end it without one, and use only letters, digits and . _ ~ - between slashes, as in /api/v1", s)
	}
	segments := strings.Split(s[1:], "/")
	if slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return "", fmt.Errorf("%q has a segment . or .., which clients resolve away: remove it", s)
	}
	if slices.Contains(ownPaths, segments[0]) {
		return "", fmt.Errorf("%q collides with /%s, which the server needs for itself: choose another", s, segments[0])
	}
	return s, nil
}

// parseOrigins returns origins as browsers send them (RFC 6454 §6.2), that is in lower case.
func parseOrigins(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	var origins, wrong []string
	for origin := range strings.SplitSeq(s, ",") {
		origin = strings.ToLower(strings.TrimSpace(origin))
		if validOrigin(origin) {
			origins = append(origins, origin)
		} else {
			wrong = append(wrong, strconv.Quote(origin))
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("%s cannot be an origin: write scheme://host or scheme://host:port without a path, such as https://app.example.com, or * for any",
			strings.Join(wrong, ", "))
	}
	return origins, nil
}

func validOrigin(s string) bool {
	if s == "*" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Hostname() != "" && s == u.Scheme+"://"+u.Host &&
		!strings.HasSuffix(u.Host, ":") && !strings.Contains(u.Host, "*")
}
