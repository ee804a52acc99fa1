"""Calls every operation with a client of openapi-python-client, which generates the package generated."""

import sys
from http import HTTPStatus

from generated import AuthenticatedClient, Client
from generated.api.auth import login, logout, logout_all, refresh, sign_in_with_snowflake
from generated.api.items import create_item, delete_item, get_item, list_items, update_item
from generated.api.me import (
    change_password, create_client, delete_client, delete_me, delete_session, get_me, list_clients, list_sessions, update_me,
)
from generated.api.service import get_health
from generated.api.users import create_user, delete_user, get_user, list_users, sign_out_user, update_user
from generated.models import (
    ItemPatch, Login, LoginGrantType, Logout, NewOAuthClient, NewItem, NewUser, PasswordChange, Problem, ProfilePatch, Refresh, UserPatch,
)

base = sys.argv[1]
password = "correct horse battery staple"


anonymous = Client(base_url=base)


def sign_in(email, password):
    token = login.sync(client=anonymous, body=Login(username=email, password=password))
    return AuthenticatedClient(base_url=base, token=token.access_token)


def use_credentials(email):
    tokens = login.sync(client=anonymous, body=Login(username=email, password=password))
    refreshed = refresh.sync(client=anonymous, body=Refresh(refresh_token=tokens.refresh_token))
    assert refreshed.refresh_token != tokens.refresh_token
    person = AuthenticatedClient(base_url=base, token=refreshed.access_token)
    sessions = list_sessions.sync(client=person).data
    assert sessions[0].kind == "password"

    created = create_client.sync(client=person, body=NewOAuthClient(name="a program", read_only=True))
    form = Login(
        grant_type=LoginGrantType.CLIENT_CREDENTIALS, client_id=created.client_id, client_secret=created.client_secret
    )
    program = AuthenticatedClient(base_url=base, token=login.sync(client=anonymous, body=form).access_token)
    assert [c.client_id for c in list_clients.sync(client=program).data if c.used_at] == [created.client_id]
    assert create_item.sync(client=program, body=NewItem(title="x")).code == "insufficient_scope"
    assert delete_client.sync_detailed(created.client_id, client=person).status_code == HTTPStatus.NO_CONTENT

    assert sign_in_with_snowflake.sync(client=anonymous).status == 404
    ended = logout.sync_detailed(client=anonymous, body=Logout(token=refreshed.refresh_token))
    assert ended.status_code == HTTPStatus.NO_CONTENT
    assert delete_session.sync(sessions[0].id, client=person).status == 404
    assert logout_all.sync_detailed(client=person).status_code == HTTPStatus.NO_CONTENT


assert get_health.sync(client=Client(base_url=base)).status == "healthy"
admin = sign_in("admin@example.com", "changethis")
ann = create_user.sync(client=admin, body=NewUser(email="ann@py.example", password=password))
assert get_user.sync(ann.id, client=admin) == ann
assert ann in list_users.sync(client=admin, limit=1000).data
assert update_user.sync(ann.id, client=admin, body=UserPatch(full_name="Ann")).full_name == "Ann"

use_credentials("ann@py.example")
assert sign_out_user.sync_detailed(ann.id, client=admin).status_code == HTTPStatus.NO_CONTENT
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
