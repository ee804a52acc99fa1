package httpapi

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// headerXAuthorization carries the bearer token past gateways that use Authorization themselves.
const headerXAuthorization = "X-Authorization"

const actorKey = "actor"

// actorOf returns whom the guard has authenticated. The zero Actor, which every store refuses, is
// what a handler outside the guard would get.
func actorOf(c echo.Context) domain.Actor {
	actor, _ := c.Get(actorKey).(domain.Actor)
	return actor
}

// authenticate finds the bearer token (RFC 6750 §2.1) and returns whom it speaks for.
func (s *Server) authenticate(r *http.Request) (domain.Actor, error) {
	var token string
	for _, header := range []string{echo.HeaderAuthorization, headerXAuthorization} {
		for _, value := range r.Header.Values(header) {
			scheme, candidate, _ := strings.Cut(value, " ")
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

// sourceOf is where the attempts of a request are counted: whom the gateway says that it is from, where
// there is one, and otherwise its address.
func (s *Server) sourceOf(c echo.Context) string {
	const longest = 255 // of a name in Snowflake; what is longer would only cost memory
	if who := c.Request().Header.Get(s.SourceHeader); who != "" && len(who) <= longest {
		return who
	}
	return network(c.RealIP())
}

// network is an address, or of IPv6 the /64 that its client has to itself.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	return netip.PrefixFrom(addr, 64).Masked().String()
}

// Login implements POST /auth/login (RFC 6749 §4.3).
func (s *Server) Login(c echo.Context) error {
	form, err := bodyOf[Login](c)
	if err != nil {
		return err
	}
	if optional(form.GrantType).Or("password") != "password" {
		return failure(http.StatusBadRequest, "unsupported_grant_type", "grant_type must be password, or left out")
	}
	token, err := s.Auth.SignIn(c.Request().Context(), form.Username, form.Password, s.sourceOf(c))
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, Token{AccessToken: token.Value, TokenType: Bearer, ExpiresIn: int(token.ExpiresIn.Seconds())})
}
