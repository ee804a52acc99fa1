package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// clientFields has no secret: only the reply to [Server.CreateClient] shows one.
var clientFields = fields[domain.Client, domain.NewClient, struct{}]{
	{
		name: "client_id",
		show: func(c *domain.Client) jsontext.Token { return jsontext.String(c.ID) },
	},
	{
		name:   "name",
		show:   func(c *domain.Client) jsontext.Token { return jsontext.String(c.Name.String()) },
		create: func(n *domain.NewClient, v value) { n.Name = parse(v, domain.ParseClientName) },
	},
	{
		name:   "read_only",
		show:   func(c *domain.Client) jsontext.Token { return jsontext.Bool(c.ReadOnly) },
		create: func(n *domain.NewClient, v value) { n.ReadOnly = v.bool() },
	},
	{
		name: "created_at",
		show: func(c *domain.Client) jsontext.Token { return timestamp(c.CreatedAt) },
	},
	{
		name:   "expires_at",
		show:   func(c *domain.Client) jsontext.Token { return timestamp(c.ExpiresAt) },
		create: func(n *domain.NewClient, v value) { n.ExpiresAt = parse(v, parseTime) },
	},
	{
		name: "used_at",
		show: func(c *domain.Client) jsontext.Token { return timestampOrNull(c.UsedAt) },
	},
}

// ListClients implements GET /users/me/clients.
func (s *Server) ListClients(c echo.Context, params ListClientsParams) error {
	request, err := pageRequest(clientCursor, listParams(params))
	if err != nil {
		return err
	}
	page, err := s.Credentials.Clients(c.Request().Context(), actorOf(c), request)
	if err != nil {
		return err
	}
	return writePage(s, c, clientCursor, clientFields, page)
}

// CreateClient implements POST /users/me/clients.
func (s *Server) CreateClient(c echo.Context) error {
	var in domain.NewClient
	if err := clientFields.readNew(bodyOf(c), &in); err != nil {
		return err
	}
	created, secret, err := s.Credentials.CreateClient(c.Request().Context(), actorOf(c), in)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, s.Prefix+"/users/me/clients/"+created.ID)
	return writeJSON(c, http.StatusCreated, CreatedOAuthClient{
		ClientId: created.ID, ClientSecret: secret,
		Name: created.Name.String(), ReadOnly: created.ReadOnly,
		CreatedAt: timestampText(created.CreatedAt), ExpiresAt: timestampText(created.ExpiresAt),
	})
}

// DeleteClient implements DELETE /users/me/clients/{id}.
func (s *Server) DeleteClient(c echo.Context, id ID) error {
	if err := s.Credentials.DeleteClient(c.Request().Context(), actorOf(c), canonical(id)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
