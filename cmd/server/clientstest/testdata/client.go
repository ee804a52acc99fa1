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
	reply := got(newClient("").LoginWithFormdataBodyWithResponse(ctx, LoginFormdataRequestBody{Username: email, Password: password}))
	want(reply.JSON200 != nil, reply.Status())
	return newClient(reply.JSON200.AccessToken)
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
