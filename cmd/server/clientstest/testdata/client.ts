// Calls every operation with openapi-fetch, on the types that openapi-typescript generates.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const baseUrl = process.argv[2];
const password = "correct horse battery staple";
const anonymous = createClient<paths>({ baseUrl });

async function signIn(username: string, password: string) {
  const { data } = await anonymous.POST("/auth/login", {
    body: { username, password },
    headers: { "Content-Type": "application/x-www-form-urlencoded" },
  });
  assert(data);
  return createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${data.access_token}` } });
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
