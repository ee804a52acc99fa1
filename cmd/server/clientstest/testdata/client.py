"""Calls every operation with a client of openapi-python-client, which generates the package generated."""

import sys
from http import HTTPStatus

from generated import AuthenticatedClient, Client
from generated.api.auth import login
from generated.api.items import create_item, delete_item, get_item, list_items, update_item
from generated.api.me import change_password, delete_me, get_me, update_me
from generated.api.service import get_health
from generated.api.users import create_user, delete_user, get_user, list_users, update_user
from generated.models import (
    ItemPatch, Login, NewItem, NewUser, PasswordChange, Problem, ProfilePatch, UserPatch,
)

base = sys.argv[1]
password = "correct horse battery staple"


def sign_in(email, password):
    token = login.sync(client=Client(base_url=base), body=Login(username=email, password=password))
    return AuthenticatedClient(base_url=base, token=token.access_token)


assert get_health.sync(client=Client(base_url=base)).status == "healthy"
admin = sign_in("admin@example.com", "changethis")
ann = create_user.sync(client=admin, body=NewUser(email="ann@py.example", password=password))
assert get_user.sync(ann.id, client=admin) == ann
assert ann in list_users.sync(client=admin, limit=1000).data
assert update_user.sync(ann.id, client=admin, body=UserPatch(full_name="Ann")).full_name == "Ann"

client = sign_in("ann@py.example", password)
assert get_me.sync(client=client).full_name == "Ann"
assert update_me.sync(client=client, body=ProfilePatch(full_name=None)).full_name is None
item = create_item.sync(client=client, body=NewItem(title="shovel", description="red"))
assert get_item.sync(item.id, client=client) == item
assert [i.id for i in list_items.sync(client=client).data] == [item.id]
changed = update_item.sync_detailed(item.id, client=client, body=ItemPatch(description=None), if_match='"1"')
assert changed.parsed.description is None and changed.headers["ETag"] == '"2"'
stale = delete_item.sync_detailed(item.id, client=client, if_match='"1"')
assert stale.status_code == HTTPStatus.PRECONDITION_FAILED and isinstance(stale.parsed, Problem)
assert delete_item.sync_detailed(item.id, client=client).status_code == HTTPStatus.NO_CONTENT

change = PasswordChange(current_password=password, new_password=password + "!")
assert change_password.sync_detailed(client=client, body=change).status_code == HTTPStatus.NO_CONTENT
assert get_me.sync(client=client).status == 401
client = sign_in("ann@py.example", password + "!")
assert delete_me.sync_detailed(client=client).status_code == HTTPStatus.NO_CONTENT
bob = create_user.sync(client=admin, body=NewUser(email="bob@py.example", password=password))
assert delete_user.sync_detailed(bob.id, client=admin).status_code == HTTPStatus.NO_CONTENT
