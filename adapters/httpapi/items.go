package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// ListItems implements GET /items/.
func (s *Server) ListItems(c echo.Context, params ListItemsParams) error {
	page, err := pageRequest(itemCursor, listParams(params))
	if err != nil {
		return err
	}
	items, err := s.Items.List(c.Request().Context(), actorOf(c), page)
	if err != nil {
		return err
	}
	reply := ItemPage{Data: make([]Item, len(items.Rows)), Count: total(items.Total), NextCursor: nextCursor(itemCursor, items)}
	for i, item := range items.Rows {
		reply.Data[i] = newItem(item)
	}
	return writeJSON(c, http.StatusOK, reply)
}

// CreateItem implements POST /items/.
func (s *Server) CreateItem(c echo.Context) error {
	body, err := bodyOf[NewItem](c)
	if err != nil {
		return err
	}
	var checks domain.Checks
	in := domain.NewItem{
		Title:       domain.Check(&checks, "title", body.Title, domain.ParseTitle),
		Description: checkNullable(&checks, "description", body.Description, domain.ParseDescription).Or(domain.Optional[domain.Description]{}),
	}
	if err := checks.Err(); err != nil {
		return err
	}
	i, err := s.Items.Create(c.Request().Context(), actorOf(c), in)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, s.Prefix+"/items/"+i.ID)
	return writeEntity(c, http.StatusCreated, i.Version, newItem(i))
}

// GetItem implements GET /items/{id}.
func (s *Server) GetItem(c echo.Context, id ID) error {
	i, err := s.Items.Get(c.Request().Context(), actorOf(c), canonical(id))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, i.Version, newItem(i))
}

// UpdateItem implements PATCH /items/{id}.
func (s *Server) UpdateItem(c echo.Context, id ID, params UpdateItemParams) error {
	body, err := bodyOf[ItemPatch](c)
	if err != nil {
		return err
	}
	var checks domain.Checks
	patch := domain.ItemPatch{
		Title:       domain.CheckOptional(&checks, "title", optional(body.Title), domain.ParseTitle),
		Description: checkNullable(&checks, "description", body.Description, domain.ParseDescription),
	}
	if err := checks.Err(); err != nil {
		return err
	}
	i, err := s.Items.Update(c.Request().Context(), actorOf(c), canonical(id), patch, versionOf(params.IfMatch))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, i.Version, newItem(i))
}

// DeleteItem implements DELETE /items/{id}.
func (s *Server) DeleteItem(c echo.Context, id ID, params DeleteItemParams) error {
	if err := s.Items.Delete(c.Request().Context(), actorOf(c), canonical(id), versionOf(params.IfMatch)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// newItem is an item as the document describes it.
func newItem(i domain.Item) Item {
	return Item{
		Id:          i.ID,
		Title:       i.Title.String(),
		Description: orNull(i.Description),
		OwnerId:     i.OwnerID,
		CreatedAt:   timestamp(i.CreatedAt),
		UpdatedAt:   timestamp(i.UpdatedAt),
	}
}
