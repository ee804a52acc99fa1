package httpapi

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/echo-in-snowflake/echo-in-snowflake/domain"
)

// GetMe implements GET /users/me.
func (s *Server) GetMe(c echo.Context) error {
	u, err := s.Users.Self(c.Request().Context(), actorOf(c))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, u.Version, newUser(u))
}

// UpdateMe implements PATCH /users/me.
func (s *Server) UpdateMe(c echo.Context, params UpdateMeParams) error {
	body, err := bodyOf[ProfilePatch](c)
	if err != nil {
		return err
	}
	var checks domain.Checks
	patch := profilePatch(&checks, body)
	if err := checks.Err(); err != nil {
		return err
	}
	u, err := s.Users.UpdateSelf(c.Request().Context(), actorOf(c), patch, versionOf(params.IfMatch))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, u.Version, newUser(u))
}

// DeleteMe implements DELETE /users/me.
func (s *Server) DeleteMe(c echo.Context, params DeleteMeParams) error {
	if err := s.Users.DeleteSelf(c.Request().Context(), actorOf(c), versionOf(params.IfMatch)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// ChangePassword implements PATCH /users/me/password.
func (s *Server) ChangePassword(c echo.Context, params ChangePasswordParams) error {
	body, err := bodyOf[PasswordChange](c)
	if err != nil {
		return err
	}
	var checks domain.Checks
	next := domain.Check(&checks, "new_password", body.NewPassword, domain.ParsePassword)
	if err := checks.Err(); err != nil {
		return err
	}
	if err := s.Users.ChangePassword(c.Request().Context(), actorOf(c), body.CurrentPassword, next, versionOf(params.IfMatch)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// ListUsers implements GET /users/.
func (s *Server) ListUsers(c echo.Context, params ListUsersParams) error {
	page, err := pageRequest(userCursor, listParams(params))
	if err != nil {
		return err
	}
	users, err := s.Users.List(c.Request().Context(), actorOf(c), page)
	if err != nil {
		return err
	}
	reply := UserPage{Data: make([]User, len(users.Rows)), Count: total(users.Total), NextCursor: nextCursor(userCursor, users)}
	for i, u := range users.Rows {
		reply.Data[i] = newUser(u)
	}
	return writeJSON(c, http.StatusOK, reply)
}

// CreateUser implements POST /users/.
func (s *Server) CreateUser(c echo.Context) error {
	body, err := bodyOf[NewUser](c)
	if err != nil {
		return err
	}
	var checks domain.Checks
	in := domain.NewUser{
		Email:     domain.Check(&checks, "email", body.Email, domain.ParseEmail),
		Password:  domain.Check(&checks, "password", body.Password, domain.ParsePassword),
		FullName:  checkNullable(&checks, "full_name", body.FullName, domain.ParseFullName).Or(domain.Optional[domain.FullName]{}),
		Active:    optional(body.IsActive).Or(true),
		Superuser: optional(body.IsSuperuser).Or(false),
	}
	if err := checks.Err(); err != nil {
		return err
	}
	u, err := s.Users.Create(c.Request().Context(), actorOf(c), in)
	if err != nil {
		return err
	}
	c.Response().Header().Set(echo.HeaderLocation, s.Prefix+"/users/"+u.ID)
	return writeEntity(c, http.StatusCreated, u.Version, newUser(u))
}

// GetUser implements GET /users/{id}.
func (s *Server) GetUser(c echo.Context, id ID) error {
	u, err := s.Users.Get(c.Request().Context(), actorOf(c), canonical(id))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, u.Version, newUser(u))
}

// UpdateUser implements PATCH /users/{id}.
func (s *Server) UpdateUser(c echo.Context, id ID, params UpdateUserParams) error {
	body, err := bodyOf[UserPatch](c)
	if err != nil {
		return err
	}
	var checks domain.Checks
	patch := domain.UserPatch{
		ProfilePatch: profilePatch(&checks, ProfilePatch{Email: body.Email, FullName: body.FullName}),
		Password:     domain.CheckOptional(&checks, "password", optional(body.Password), domain.ParsePassword),
		Active:       optional(body.IsActive),
		Superuser:    optional(body.IsSuperuser),
	}
	if err := checks.Err(); err != nil {
		return err
	}
	u, err := s.Users.Update(c.Request().Context(), actorOf(c), canonical(id), patch, versionOf(params.IfMatch))
	if err != nil {
		return err
	}
	return writeEntity(c, http.StatusOK, u.Version, newUser(u))
}

// DeleteUser implements DELETE /users/{id}.
func (s *Server) DeleteUser(c echo.Context, id ID, params DeleteUserParams) error {
	if err := s.Users.Delete(c.Request().Context(), actorOf(c), canonical(id), versionOf(params.IfMatch)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func profilePatch(checks *domain.Checks, body ProfilePatch) domain.ProfilePatch {
	return domain.ProfilePatch{
		Email:    domain.CheckOptional(checks, "email", optional(body.Email), domain.ParseEmail),
		FullName: checkNullable(checks, "full_name", body.FullName, domain.ParseFullName),
	}
}

// newUser is a user as the document describes it: without the password hash.
func newUser(u domain.User) User {
	return User{
		Id:          u.ID,
		Email:       u.Email.String(),
		FullName:    orNull(u.FullName),
		IsActive:    u.Active,
		IsSuperuser: u.Superuser,
		CreatedAt:   timestamp(u.CreatedAt),
		UpdatedAt:   timestamp(u.UpdatedAt),
	}
}
