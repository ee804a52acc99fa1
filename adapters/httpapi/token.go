package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// The grants of the token endpoint.
const (
	grantPassword = "password"           // RFC 6749 §4.3; also without grant_type
	grantRefresh  = "refresh_token"      // §6
	grantClient   = "client_credentials" // §4.4
)

const codeUnsupportedGrant = "unsupported_grant_type" // RFC 6749 §5.2

// tokenPath returns the path of the token endpoint.
func (s *Server) tokenPath() string { return s.Prefix + "/auth/login" }

// refreshPath returns the path that is the token endpoint for one grant.
func (s *Server) refreshPath() string { return s.Prefix + "/auth/refresh" }

// requesterOf returns where a sign-in comes from.
func requesterOf(c echo.Context) domain.Requester {
	return domain.Requester{Source: dataOf(c).source, UserAgent: c.Request().UserAgent()}
}

// Login implements POST /auth/login, the token endpoint (RFC 6749 §3.2).
func (s *Server) Login(c echo.Context) error {
	form := bodyOf(c)
	switch form.text("grant_type") {
	case "", grantPassword:
		return s.signIn(c, form)
	case grantRefresh:
		return s.refresh(c, form)
	case grantClient:
		return s.signInClient(c, form)
	}
	if err := form.err(); err != nil {
		return err
	}
	return failure(http.StatusBadRequest, codeUnsupportedGrant,
		"grant_type must be password, refresh_token or client_credentials; left out, it means password")
}

func (s *Server) signIn(c echo.Context, form *body) error {
	if err := form.require("username", "password"); err != nil {
		return err
	}
	grant, err := s.Auth.SignIn(
		c.Request().Context(), form.text("username"), form.text("password"), requesterOf(c))
	return writeGrant(c, grant, err)
}

// Refresh implements POST /auth/refresh.
func (s *Server) Refresh(c echo.Context) error { return s.refresh(c, bodyOf(c)) }

func (s *Server) refresh(c echo.Context, form *body) error {
	if err := form.require("refresh_token"); err != nil {
		return err
	}
	grant, err := s.Auth.Refresh(c.Request().Context(), form.text("refresh_token"), dataOf(c).source)
	return writeGrant(c, grant, err)
}

// SignInWithSnowflake implements POST /auth/snowflake.
func (s *Server) SignInWithSnowflake(c echo.Context, params SignInWithSnowflakeParams) error {
	callerToken := valueOr(params.SfContextCurrentUserToken, "")
	grant, err := s.Auth.SignInWithSnowflake(c.Request().Context(), callerToken, requesterOf(c))
	return writeGrant(c, grant, err)
}

func (s *Server) signInClient(c echo.Context, form *body) error {
	if err := form.err(); err != nil {
		return err
	}
	id, secret, err := clientCredentials(c.Request(), form)
	if err != nil {
		return err
	}
	token, err := s.Auth.SignInClient(c.Request().Context(), clientID(id), secret, dataOf(c).source)
	return writeGrant(c, domain.Grant{Access: token}, err)
}

// errNoClient has the code of a wrong secret (RFC 6749 §5.2), and says what is missing.
var errNoClient = &domain.Error{
	Kind: domain.Unauthenticated, Code: domain.ErrInvalidClient.Code,
	Message: "send client_id and client_secret, in the form or as HTTP Basic",
}

// clientCredentials returns the client_id and the client_secret of a program (RFC 6749 §2.3.1).
func clientCredentials(r *http.Request, form *body) (id, secret string, err error) {
	id, secret = form.text("client_id"), form.text("client_secret")
	if usesBasic(r) {
		basicID, basicSecret := basicCredentials(r)
		// Some libraries repeat the id, which proves nothing.
		if secret != "" || id != "" && id != basicID {
			return "", "", malformed("client_id and client_secret must come in the form or as HTTP Basic, not both")
		}
		id, secret = basicID, basicSecret
	}
	if id == "" || secret == "" {
		return "", "", errNoClient
	}
	return id, secret, nil
}

// usesBasic reports whether the request has credentials of HTTP Basic.
func usesBasic(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " ")
	return strings.EqualFold(scheme, "Basic")
}

// basicCredentials returns what HTTP Basic carries, form-encoded for OAuth, or empty texts if it cannot be read.
func basicCredentials(r *http.Request) (id, secret string) {
	encodedID, encodedSecret, _ := r.BasicAuth()
	id, idErr := url.QueryUnescape(encodedID)
	secret, secretErr := url.QueryUnescape(encodedSecret)
	if idErr != nil || secretErr != nil {
		return "", ""
	}
	return id, secret
}

// clientID returns a client_id as the stores know it. A text that is no UUID becomes the nil UUID, which no client has:
// not every store can look for every text.
func clientID(s string) string {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != len(id.String()) { // Parse also takes other notations
		return uuid.Nil.String()
	}
	return id.String()
}

// writeGrant replies with the tokens, unless err is not nil.
func writeGrant(c echo.Context, grant domain.Grant, err error) error {
	if err != nil {
		return err
	}
	reply := Token{
		AccessToken: grant.Access.Value, TokenType: Bearer, ExpiresIn: int(grant.Access.ExpiresIn.Seconds()),
	}
	if refresh, ok := grant.Refresh.Get(); ok {
		seconds := max(1, int(refresh.ExpiresIn.Seconds()))
		reply.RefreshToken, reply.RefreshExpiresIn = &refresh.Value, &seconds
	}
	return writeJSON(c, http.StatusOK, reply)
}

// Logout implements POST /auth/logout. A refresh token in the form goes before the bearer token, which then need not be
// valid.
func (s *Server) Logout(c echo.Context) error {
	form := bodyOf(c)
	if err := form.err(); err != nil {
		return err
	}
	ctx := c.Request().Context()
	if token := form.text("token"); token != "" {
		if err := s.Auth.SignOut(ctx, token, dataOf(c).source); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	}
	err := s.identify(c)
	if errors.Is(err, errNoToken) {
		return form.require("token")
	}
	if err != nil {
		return err
	}
	if err := s.Auth.SignOutSession(ctx, actorOf(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// LogoutAll implements POST /auth/logout-all.
func (s *Server) LogoutAll(c echo.Context) error {
	if err := s.Users.SignOutSelf(c.Request().Context(), actorOf(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
