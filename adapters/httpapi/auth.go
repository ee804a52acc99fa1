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

// sourceOf returns the client that sign-in attempts are counted for: the name that a trusted gateway gives,
// or else the IP address.
func (s *Server) sourceOf(c echo.Context) string {
	const maxName = 255 // of a Snowflake user; longer names would only cost memory
	if name := c.Request().Header.Get(s.SourceHeader); name != "" && len(name) <= maxName {
		return name
	}
	return network(c.RealIP())
}

// network returns an IPv4 address as it is, and the /64 network of an IPv6 address: one client usually
// controls all of it.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}

// tokenPath returns the path of the token endpoint.
func (s *Server) tokenPath() string { return s.Prefix + "/auth/login" }

const codeUnsupportedGrant = "unsupported_grant_type" // RFC 6749 §5.2

// Login implements POST /auth/login, the token endpoint (RFC 6749 §4.3).
func (s *Server) Login(c echo.Context) error {
	form := bodyOf(c)
	if err := form.err(); err != nil {
		return err
	}
	if grant := form.text("grant_type"); grant != "" && grant != "password" {
		return failure(http.StatusBadRequest, codeUnsupportedGrant, "grant_type must be password, or left out")
	}
	token, err := s.Auth.SignIn(c.Request().Context(), form.text("username"), form.text("password"), s.sourceOf(c))
	if err != nil {
		return err
	}
	return writeStatus(c, http.StatusOK, Token{
		AccessToken: token.Value, TokenType: Bearer, ExpiresIn: int(token.ExpiresIn.Seconds()),
	})
}
