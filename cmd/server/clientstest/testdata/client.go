// Calls every operation with a client that oapi-codegen generates into this package.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"reflect"
)

const password = "correct horse battery staple"

var ctx = context.Background()

// got returns the reply of a call that must not fail.
func got[T any](reply T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return reply
}

func want(ok bool, what string) {
	if !ok {
		log.Fatal("unexpected: ", what)
	}
}

func newClient(token string) *ClientWithResponses {
	return got(NewClientWithResponses(os.Args[1], WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		return nil
	})))
}

func signIn(email, password string) *ClientWithResponses {
	return newClient(tokensOf(Login{Username: &email, Password: &password}).AccessToken)
}

func tokensOf(form Login) *Token {
	reply := got(newClient("").LoginWithFormdataBodyWithResponse(ctx, form))
	want(reply.JSON200 != nil, reply.Status())
	return reply.JSON200
}

// useCredentials calls the operations of sessions and clients as an account.
func useCredentials(email string) {
	secret := password
	tokens := tokensOf(Login{Username: &email, Password: &secret})
	refreshed := got(newClient("").RefreshWithFormdataBodyWithResponse(ctx, Refresh{RefreshToken: *tokens.RefreshToken})).JSON200
	want(refreshed != nil && *refreshed.RefreshToken != *tokens.RefreshToken, "no other refresh token")
	person := newClient(refreshed.AccessToken)
	sessions := got(person.ListSessionsWithResponse(ctx, nil)).JSON200.Data
	want(len(sessions) > 0 && sessions[0].Kind == SessionKindPassword, "no session")

	readOnly := true
	created := got(person.CreateClientWithResponse(ctx, NewOAuthClient{Name: "a program", ReadOnly: &readOnly})).JSON201
	want(created != nil, "no client")
	grant, id := LoginGrantTypeClientCredentials, created.ClientId.String()
	program := newClient(tokensOf(Login{GrantType: &grant, ClientId: &id, ClientSecret: &created.ClientSecret}).AccessToken)
	clients := got(program.ListClientsWithResponse(ctx, nil)).JSON200.Data
	want(len(clients) == 1 && clients[0].UsedAt != nil, "the client was not used")
	want(got(program.CreateItemWithResponse(ctx, NewItem{Title: "x"})).ApplicationproblemJSON403 != nil, "it is not read-only")
	want(got(person.DeleteClientWithResponse(ctx, created.ClientId)).StatusCode() == http.StatusNoContent, "the client stays")

	want(got(newClient("").SignInWithSnowflakeWithResponse(ctx, nil)).ApplicationproblemJSON404 != nil, "it is on")
	want(got(person.LogoutWithFormdataBodyWithResponse(ctx, Logout{Token: refreshed.RefreshToken})).StatusCode() == http.StatusNoContent, "no logout")
	want(got(person.DeleteSessionWithResponse(ctx, sessions[0].Id)).ApplicationproblemJSON404 != nil, "the session stays")
	want(got(person.LogoutAllWithResponse(ctx)).StatusCode() == http.StatusNoContent, "no logout")
}

func main() {
	want(got(newClient("").GetHealthWithResponse(ctx)).JSON200.Status == Healthy, "health")
	admin := signIn("admin@example.com", "changethis")
	ann := got(admin.CreateUserWithResponse(ctx, NewUser{Email: "ann@go.example", Password: password})).JSON201
	want(ann != nil, "no account")
	want(reflect.DeepEqual(ann, got(admin.GetUserWithResponse(ctx, ann.Id)).JSON200), "another account")
	want(len(got(admin.ListUsersWithResponse(ctx, nil)).JSON200.Data) > 1, "too few accounts")
	name := "Ann"
	renamed := got(admin.UpdateUserWithResponse(ctx, ann.Id, nil, UserPatch{FullName: &name})).JSON200
	want(renamed != nil && *renamed.FullName == name, "another name")

	useCredentials("ann@go.example")
	want(got(admin.SignOutUserWithResponse(ctx, ann.Id)).StatusCode() == http.StatusNoContent, "no logout")
	client := signIn("ann@go.example", password)
	want(*got(client.GetMeWithResponse(ctx)).JSON200.FullName == name, "another name of one's own")
	name = "Ann Example"
	want(*got(client.UpdateMeWithResponse(ctx, nil, ProfilePatch{FullName: &name})).JSON200.FullName == name, "the old name")
	description := "red"
	item := got(client.CreateItemWithResponse(ctx, NewItem{Title: "shovel", Description: &description})).JSON201
	want(item != nil, "no item")
	want(reflect.DeepEqual(item, got(client.GetItemWithResponse(ctx, item.Id)).JSON200), "another item")
	want(*got(client.ListItemsWithResponse(ctx, nil)).JSON200.Count == 1, "another count")
	first := `"1"`
	title := "spade"
	changed := got(client.UpdateItemWithResponse(ctx, item.Id, &UpdateItemParams{IfMatch: &first}, ItemPatch{Title: &title}))
	want(changed.JSON200.Title == title && changed.HTTPResponse.Header.Get("ETag") == `"2"`, "no change")
	stale := got(client.DeleteItemWithResponse(ctx, item.Id, &DeleteItemParams{IfMatch: &first}))
	want(stale.ApplicationproblemJSON412 != nil, stale.Status())
	want(got(client.DeleteItemWithResponse(ctx, item.Id, nil)).StatusCode() == http.StatusNoContent, "the item stays")

	change := PasswordChange{CurrentPassword: password, NewPassword: password + "!"}
	want(got(client.ChangePasswordWithResponse(ctx, nil, change)).StatusCode() == http.StatusNoContent, "the password stays")
	want(got(client.GetMeWithResponse(ctx)).ApplicationproblemJSON401 != nil, "the token stays")
	client = signIn("ann@go.example", password+"!")
	want(got(client.DeleteMeWithResponse(ctx, nil)).StatusCode() == http.StatusNoContent, "the account stays")
	bob := got(admin.CreateUserWithResponse(ctx, NewUser{Email: "bob@go.example", Password: password})).JSON201
	want(got(admin.DeleteUserWithResponse(ctx, bob.Id, nil)).StatusCode() == http.StatusNoContent, "Bob stays")
}
