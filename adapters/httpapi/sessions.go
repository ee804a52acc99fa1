package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// sessionFields has no hash of a token: no reply shows one. Clients set nothing of a session.
var sessionFields = fields[domain.Session, struct{}, struct{}]{
	{
		name: "id",
		show: func(s *domain.Session) jsontext.Token { return jsontext.String(s.ID) },
	},
	{
		name: "kind",
		show: func(s *domain.Session) jsontext.Token { return jsontext.String(string(s.Kind)) },
	},
	{
		name: "created_at",
		show: func(s *domain.Session) jsontext.Token { return timestamp(s.CreatedAt) },
	},
	{
		name: "refreshed_at",
		show: func(s *domain.Session) jsontext.Token { return timestamp(s.RefreshedAt) },
	},
	{
		name: "expires_at",
		show: func(s *domain.Session) jsontext.Token { return timestamp(s.ExpiresAt) },
	},
	{
		name: "user_agent",
		show: func(s *domain.Session) jsontext.Token { return jsontext.String(s.UserAgent) },
	},
}

// ListSessions implements GET /users/me/sessions.
func (s *Server) ListSessions(c echo.Context, params ListSessionsParams) error {
	request, err := pageRequest(sessionCursor, listParams(params))
	if err != nil {
		return err
	}
	page, err := s.Credentials.Sessions(c.Request().Context(), actorOf(c), request)
	if err != nil {
		return err
	}
	return writePage(s, c, sessionCursor, sessionFields, page)
}

// DeleteSession implements DELETE /users/me/sessions/{id}.
func (s *Server) DeleteSession(c echo.Context, id ID) error {
	if err := s.Credentials.EndSession(c.Request().Context(), actorOf(c), canonical(id)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// SignOutUser implements DELETE /users/{id}/sessions.
func (s *Server) SignOutUser(c echo.Context, id ID) error {
	if err := s.Users.SignOut(c.Request().Context(), actorOf(c), canonical(id)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
