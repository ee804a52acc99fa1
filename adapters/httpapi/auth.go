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

// sourceOf is where attempts from ip are counted: an IPv6 client has a whole /64 to itself.
func sourceOf(ip string) string {
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
	token, err := s.Auth.SignIn(c.Request().Context(), form.Username, form.Password, sourceOf(c.RealIP()))
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusOK, Token{AccessToken: token.Value, TokenType: Bearer, ExpiresIn: int(token.ExpiresIn.Seconds())})
}
