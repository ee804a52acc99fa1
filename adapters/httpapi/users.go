package httpapi

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// userFields has no password hash: no reply shows one.
var userFields = fields[domain.User, domain.NewUser, domain.UserPatch]{
	{
		name: "id",
		show: func(u *domain.User) jsontext.Token { return jsontext.String(u.ID) },
	},
	{
		name:   "email",
		show:   func(u *domain.User) jsontext.Token { return jsontext.String(u.Email.String()) },
		create: func(n *domain.NewUser, v value) { n.Email = parse(v, domain.ParseEmail) },
		change: func(p *domain.UserPatch, v value) { p.Email = domain.Some(parse(v, domain.ParseEmail)) },
	},
	{
		name:   "password",
		create: func(n *domain.NewUser, v value) { n.Password = parse(v, domain.ParsePassword) },
		change: func(p *domain.UserPatch, v value) { p.Password = domain.Some(parse(v, domain.ParsePassword)) },
	},
	{
		name:   "full_name",
		show:   func(u *domain.User) jsontext.Token { return textOrNull(u.FullName) },
		create: func(n *domain.NewUser, v value) { n.FullName = parseOrNull(v, domain.ParseFullName) },
		change: func(p *domain.UserPatch, v value) { p.FullName = domain.Some(parseOrNull(v, domain.ParseFullName)) },
	},
	{
		name:   "snowflake_user",
		show:   func(u *domain.User) jsontext.Token { return textOrNull(u.SnowflakeUser) },
		create: func(n *domain.NewUser, v value) { n.SnowflakeUser = parseOrNull(v, domain.ParseSnowflakeUser) },
		change: func(p *domain.UserPatch, v value) {
			p.SnowflakeUser = domain.Some(parseOrNull(v, domain.ParseSnowflakeUser))
		},
	},
	{
		name:   "is_active",
		show:   func(u *domain.User) jsontext.Token { return jsontext.Bool(u.Active) },
		create: func(n *domain.NewUser, v value) { n.Active = v.bool() },
		change: func(p *domain.UserPatch, v value) { p.Active = domain.Some(v.bool()) },
	},
	{
		name:   "is_superuser",
		show:   func(u *domain.User) jsontext.Token { return jsontext.Bool(u.Superuser) },
		create: func(n *domain.NewUser, v value) { n.Superuser = v.bool() },
		change: func(p *domain.UserPatch, v value) { p.Superuser = domain.Some(v.bool()) },
	},
	{
		name: "created_at",
		show: func(u *domain.User) jsontext.Token { return timestamp(u.CreatedAt) },
	},
	{
		name: "updated_at",
		show: func(u *domain.User) jsontext.Token { return timestamp(u.UpdatedAt) },
	},
}

// GetMe implements GET /users/me.
func (s *Server) GetMe(c echo.Context) error {
	u, err := s.Users.Self(c.Request().Context(), actorOf(c))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, userFields, u.Version, u)
}

// UpdateMe implements PATCH /users/me. The document admits only the fields of a [domain.ProfilePatch].
func (s *Server) UpdateMe(c echo.Context, params UpdateMeParams) error {
	ifVersion, err := versionsOf(params.IfMatch)
	if err != nil {
		return err
	}
	var patch domain.UserPatch
	if err := userFields.readPatch(bodyOf(c), &patch); err != nil {
		return err
	}
	u, err := s.Users.UpdateSelf(c.Request().Context(), actorOf(c), patch.ProfilePatch, ifVersion)
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, userFields, u.Version, u)
}

// DeleteMe implements DELETE /users/me.
func (s *Server) DeleteMe(c echo.Context, params DeleteMeParams) error {
	ifVersion, err := versionsOf(params.IfMatch)
	if err != nil {
		return err
	}
	if err := s.Users.DeleteSelf(c.Request().Context(), actorOf(c), ifVersion); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// ChangePassword implements PATCH /users/me/password.
func (s *Server) ChangePassword(c echo.Context, params ChangePasswordParams) error {
	ifVersion, err := versionsOf(params.IfMatch)
	if err != nil {
		return err
	}
	b := bodyOf(c)
	current := b.text("current_password")
	next, _ := b.field("new_password")
	password := parse(next, domain.ParsePassword)
	if err := b.err(); err != nil {
		return err
	}
	if err := s.Users.ChangePassword(c.Request().Context(), actorOf(c), current, password, ifVersion); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// ListUsers implements GET /users/.
func (s *Server) ListUsers(c echo.Context, params ListUsersParams) error {
	request, err := pageRequest(userCursor, listParams(params))
	if err != nil {
		return err
	}
	page, err := s.Users.List(c.Request().Context(), actorOf(c), request)
	if err != nil {
		return err
	}
	return writePage(s, c, userCursor, userFields, page)
}

// CreateUser implements POST /users/.
func (s *Server) CreateUser(c echo.Context) error {
	in := domain.NewUser{Active: true}
	if err := userFields.readNew(bodyOf(c), &in); err != nil {
		return err
	}
	u, err := s.Users.Create(c.Request().Context(), actorOf(c), in)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, s.Prefix+"/users/"+u.ID)
	return writeEntity(c, http.StatusCreated, userFields, u.Version, u)
}

// GetUser implements GET /users/{id}.
func (s *Server) GetUser(c echo.Context, id ID) error {
	u, err := s.Users.Get(c.Request().Context(), actorOf(c), canonical(id))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, userFields, u.Version, u)
}

// UpdateUser implements PATCH /users/{id}.
func (s *Server) UpdateUser(c echo.Context, id ID, params UpdateUserParams) error {
	ifVersion, err := versionsOf(params.IfMatch)
	if err != nil {
		return err
	}
	var patch domain.UserPatch
	if err := userFields.readPatch(bodyOf(c), &patch); err != nil {
		return err
	}
	u, err := s.Users.Update(c.Request().Context(), actorOf(c), canonical(id), patch, ifVersion)
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, userFields, u.Version, u)
}

// DeleteUser implements DELETE /users/{id}.
func (s *Server) DeleteUser(c echo.Context, id ID, params DeleteUserParams) error {
	ifVersion, err := versionsOf(params.IfMatch)
	if err != nil {
		return err
	}
	if err := s.Users.Delete(c.Request().Context(), actorOf(c), canonical(id), ifVersion); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
