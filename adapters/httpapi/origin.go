package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// crossSite returns a middleware that refuses what pages of foreign sites send to the paths below /auth. Without
// it, such a page could make the browser of a visitor guess passwords, and the guesses would count against the
// visitor. The given origins are not foreign; with *, none is.
func (s *Server) crossSite(origins []string) (echo.MiddlewareFunc, error) {
	protection := http.NewCrossOriginProtection()
	everyOrigin := slices.Contains(origins, "*")
	for _, origin := range origins {
		if err := protection.AddTrustedOrigin(origin); err != nil && !everyOrigin {
			return nil, fmt.Errorf("CORS_ORIGINS: %w", err)
		}
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if !everyOrigin && strings.HasPrefix(c.Path(), s.Prefix+"/auth/") && protection.Check(c.Request()) != nil {
				c.Response().Header().Set(echo.HeaderCacheControl, "no-store")
				return failure(http.StatusForbidden, "cross_site",
					"pages of this origin may not sign in or out: an operator can name the origin in CORS_ORIGINS")
			}
			return next(c)
		}
	}, nil
}

// onlyLoopback refuses requests that name the service by a host that is not of this machine. A page of a foreign
// site can resolve its own host name to 127.0.0.1 (DNS rebinding), and then its requests look like those of a
// page of the service.
func onlyLoopback(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !isLoopbackName(c.Request().Host) {
			return failure(http.StatusMisdirectedRequest, "not_loopback",
				"with the default password, the service answers only as localhost or at a loopback address: "+
					"set FIRST_SUPERUSER_PASSWORD to use another name")
		}
		return next(c)
	}
}

// isLoopbackName reports whether the header Host names this machine. Browsers always send that header.
func isLoopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
