package httpapi

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// headerXAuthorization carries the bearer token through gateways that use Authorization themselves.
const headerXAuthorization = "X-Authorization"

// authenticate finds the bearer token (RFC 6750 §2.1) and returns the actor that it names.
func (s *Server) authenticate(r *http.Request) (domain.Actor, error) {
	var token string
	for _, header := range []string{echo.HeaderAuthorization, headerXAuthorization} {
		for _, line := range r.Header.Values(header) {
			scheme, candidate, _ := strings.Cut(line, " ")
			candidate = strings.Trim(candidate, " ")
			switch {
			case !strings.EqualFold(scheme, "Bearer"):
			case token != "" && token != candidate:
				return domain.Actor{}, malformed("the request carries two different bearer tokens")
			default:
				token = candidate
			}
		}
	}
	if token == "" {
		return domain.Actor{}, errNoToken
	}
	return s.Auth.Authenticate(token)
}

// identify sets the actor of the request. It returns an error if the request has no valid token, or one that is not for
// its method.
func (s *Server) identify(c echo.Context) error {
	data, r := dataOf(c), c.Request()
	actor, err := s.authenticate(r)
	if err != nil {
		return err
	}
	actor.Source = data.source
	data.actor = actor
	if actor.ReadOnly && r.Method != http.MethodGet && r.Method != http.MethodHead {
		return domain.ErrInsufficientScope
	}
	return nil
}

// sourceOf returns the client that limits on attempts count by, and that audit events name: the one that a
// trusted gateway names, or else the IP address.
func (s *Server) sourceOf(r *http.Request) (string, error) {
	const maxName = 255 // of a Snowflake user; longer names would only cost memory
	name, err := s.namedSource(r.Header.Values(s.SourceHeader))
	if err != nil {
		return "", err
	}
	if name == "" || len(name) > maxName {
		name = s.echo.IPExtractor(r)
	}
	return network(name), nil
}

// namedSource returns the source that the lines of the trusted header name, or "" if they name none. If the
// header is a list, its lines are parts of one list (RFC 9110 §5.3). Only the values that trusted proxies
// have appended count: clients may write the ones before.
func (s *Server) namedSource(lines []string) (string, error) {
	if s.SourceHops == 0 {
		if len(lines) > 1 {
			return "", malformed("the header " + s.SourceHeader + " must be given only once")
		}
		return strings.Join(lines, ""), nil
	}
	values := strings.Split(strings.Join(lines, ","), ",")
	if len(values) < s.SourceHops {
		return "", nil
	}
	// A clone, because sources are remembered, and clients choose the size of the list.
	return strings.Clone(strings.TrimSpace(values[len(values)-s.SourceHops])), nil
}

// network returns a name or an IPv4 address as it is, and the /64 network of an IPv6 address: one client
// usually controls all of it. It removes a port, which changes with each connection.
func network(name string) string {
	addr, err := netip.ParseAddr(name)
	if err != nil {
		withPort, err := netip.ParseAddrPort(name)
		if err != nil {
			return name
		}
		addr, name = withPort.Addr(), withPort.Addr().String()
	}
	if addr.Unmap().Is4() {
		return name
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}
