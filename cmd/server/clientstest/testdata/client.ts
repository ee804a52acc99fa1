// Calls every operation with openapi-fetch, on the types that openapi-typescript generates.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const baseUrl = process.argv[2];
const password = "correct horse battery staple";
const anonymous = createClient<paths>({ baseUrl });

const headers = { "Content-Type": "application/x-www-form-urlencoded" };

function withToken(token: string) {
  return createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
}

async function signIn(username: string, password: string) {
  const { data } = await anonymous.POST("/auth/login", { body: { username, password }, headers });
  assert(data);
  return withToken(data.access_token);
}

async function useCredentials(username: string) {
  const { data: tokens } = await anonymous.POST("/auth/login", { body: { username, password }, headers });
  assert(tokens?.refresh_token);
  const { data: refreshed } = await anonymous.POST("/auth/refresh", {
    body: { refresh_token: tokens.refresh_token },
    headers,
  });
  assert(refreshed?.refresh_token);
  assert.notEqual(refreshed.refresh_token, tokens.refresh_token);
  const person = withToken(refreshed.access_token);
  const { data: sessions } = await person.GET("/users/me/sessions");
  assert.equal(sessions?.data[0].kind, "password");

  const { data: created } = await person.POST("/users/me/clients", { body: { name: "a program", read_only: true } });
  assert(created);
  const { client_id, client_secret } = created;
  const { data: token } = await anonymous.POST("/auth/login", {
    body: { grant_type: "client_credentials", client_id, client_secret },
    headers,
  });
  assert(token);
  const program = withToken(token.access_token);
  assert((await program.GET("/users/me/clients")).data?.data[0].used_at);
  assert.equal((await program.POST("/items/", { body: { title: "x" } })).error?.code, "insufficient_scope");
  const clientsPath = { path: { id: client_id } };
  assert.equal((await person.DELETE("/users/me/clients/{id}", { params: clientsPath })).response.status, 204);

  assert.equal((await anonymous.POST("/auth/snowflake")).error?.status, 404);
  const ended = await anonymous.POST("/auth/logout", { body: { token: refreshed.refresh_token }, headers });
  assert.equal(ended.response.status, 204);
  const sessionsPath = { path: { id: sessions!.data[0].id } };
  assert.equal((await person.DELETE("/users/me/sessions/{id}", { params: sessionsPath })).error?.status, 404);
  assert.equal((await person.POST("/auth/logout-all")).response.status, 204);
}

assert.equal((await anonymous.GET("/health")).data?.status, "healthy");
const admin = await signIn("admin@example.com", "changethis");
const { data: ann } = await admin.POST("/users/", { body: { email: "ann@ts.example", password } });
assert(ann);
const annsPath = { path: { id: ann.id } };
assert.deepEqual((await admin.GET("/users/{id}", { params: annsPath })).data, ann);
const { data: users } = await admin.GET("/users/", { params: { query: { limit: 1000 } } });
assert(users?.data.some((u) => u.id === ann.id));
const renamed = await admin.PATCH("/users/{id}", { params: annsPath, body: { full_name: "Ann" } });
assert.equal(renamed.data?.full_name, "Ann");

await useCredentials("ann@ts.example");
assert.equal((await admin.DELETE("/users/{id}/sessions", { params: annsPath })).response.status, 204);
const client = await signIn("ann@ts.example", password);
assert.equal((await client.GET("/users/me")).data?.full_name, "Ann");
assert.equal((await client.PATCH("/users/me", { body: { full_name: null } })).data?.full_name, null);
const { data: item } = await client.POST("/items/", { body: { title: "shovel", description: "red" } });
assert(item);
const itemsPath = { path: { id: item.id } };
assert.deepEqual((await client.GET("/items/{id}", { params: itemsPath })).data, item);
assert.equal((await client.GET("/items/")).data?.count, 1);
const changed = await client.PATCH("/items/{id}", {
  params: { ...itemsPath, header: { "If-Match": '"1"' } },
  body: { description: null },
});
assert.equal(changed.data?.description, null);
assert.equal(changed.response.headers.get("ETag"), '"2"');
const stale = await client.DELETE("/items/{id}", { params: { ...itemsPath, header: { "If-Match": '"1"' } } });
assert.equal(stale.error?.status, 412);
assert.equal((await client.DELETE("/items/{id}", { params: itemsPath })).response.status, 204);

const change = { current_password: password, new_password: password + "!" };
assert.equal((await client.PATCH("/users/me/password", { body: change })).response.status, 204);
assert.equal((await client.GET("/users/me")).error?.status, 401);
const again = await signIn("ann@ts.example", password + "!");
assert.equal((await again.DELETE("/users/me")).response.status, 204);
const { data: bob } = await admin.POST("/users/", { body: { email: "bob@ts.example", password } });
assert(bob);
assert.equal((await admin.DELETE("/users/{id}", { params: { path: { id: bob.id } } })).response.status, 204);
