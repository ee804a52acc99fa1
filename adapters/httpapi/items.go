package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

var itemFields = fields[domain.Item, domain.ItemContent, domain.ItemPatch]{
	{
		name: "id",
		show: func(i *domain.Item) jsontext.Token { return jsontext.String(i.ID) },
	},
	{
		name:   "title",
		show:   func(i *domain.Item) jsontext.Token { return jsontext.String(i.Title.String()) },
		create: func(n *domain.ItemContent, v value) { n.Title = parse(v, domain.ParseTitle) },
		change: func(p *domain.ItemPatch, v value) { p.Title = domain.Some(parse(v, domain.ParseTitle)) },
	},
	{
		name:   "description",
		show:   func(i *domain.Item) jsontext.Token { return textOrNull(i.Description) },
		create: func(n *domain.ItemContent, v value) { n.Description = parseOrNull(v, domain.ParseDescription) },
		change: func(p *domain.ItemPatch, v value) {
			p.Description = domain.Some(parseOrNull(v, domain.ParseDescription))
		},
	},
	{
		name: "owner_id",
		show: func(i *domain.Item) jsontext.Token { return jsontext.String(i.OwnerID) },
	},
	{
		name: "created_at",
		show: func(i *domain.Item) jsontext.Token { return timestamp(i.CreatedAt) },
	},
	{
		name: "updated_at",
		show: func(i *domain.Item) jsontext.Token { return timestamp(i.UpdatedAt) },
	},
}

// ListItems implements GET /items/.
func (s *Server) ListItems(c echo.Context, params ListItemsParams) error {
	request, err := pageRequest(itemCursor, listParams(params))
	if err != nil {
		return err
	}
	page, err := s.Items.List(c.Request().Context(), actorOf(c), request)
	if err != nil {
		return err
	}
	return writePage(s, c, itemCursor, itemFields, page)
}

// CreateItem implements POST /items/.
func (s *Server) CreateItem(c echo.Context) error {
	var in domain.ItemContent
	if err := itemFields.readNew(bodyOf(c), &in); err != nil {
		return err
	}
	i, err := s.Items.Create(c.Request().Context(), actorOf(c), in)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, s.Prefix+"/items/"+i.ID)
	return writeEntity(c, http.StatusCreated, itemFields, i.Version, i)
}

// GetItem implements GET /items/{id}.
func (s *Server) GetItem(c echo.Context, id ID) error {
	i, err := s.Items.Get(c.Request().Context(), actorOf(c), canonical(id))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, itemFields, i.Version, i)
}

// UpdateItem implements PATCH /items/{id}.
func (s *Server) UpdateItem(c echo.Context, id ID, params UpdateItemParams) error {
	ifVersion, err := versionsOf(params.IfMatch)
	if err != nil {
		return err
	}
	var patch domain.ItemPatch
	if err := itemFields.readPatch(bodyOf(c), &patch); err != nil {
		return err
	}
	i, err := s.Items.Update(c.Request().Context(), actorOf(c), canonical(id), patch, ifVersion)
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, itemFields, i.Version, i)
}

// DeleteItem implements DELETE /items/{id}.
func (s *Server) DeleteItem(c echo.Context, id ID, params DeleteItemParams) error {
	ifVersion, err := versionsOf(params.IfMatch)
	if err != nil {
		return err
	}
	if err := s.Items.Delete(c.Request().Context(), actorOf(c), canonical(id), ifVersion); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
