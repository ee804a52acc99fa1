"""Uses the three grants with authlib and requests-oauthlib, as programs do.

python oauth.py API CLIENT_ID CLIENT_SECRET
"""

import os
import sys

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # this test speaks plain HTTP to its own machine

import oauthlib.oauth2
import requests_oauthlib
from authlib.integrations import requests_client

api, client_id, client_secret = sys.argv[1:]
token_url = f"{api}/auth/login"
refresh_url = f"{api}/auth/refresh"
person = {"username": "admin@example.com", "password": "changethis"}


def check(session):
    reply = session.get(f"{api}/users/me")
    assert reply.status_code == 200, reply.text
    assert reply.json()["email"] == person["username"]


def authlib_password_and_refresh():
    saved = []
    session = requests_client.OAuth2Session(
        token_endpoint=token_url,
        token_endpoint_auth_method="none",
        update_token=lambda token, **_: saved.append(token),
    )
    first = session.fetch_token(token_url, **person)
    check(session)
    second = session.refresh_token(refresh_url)
    assert second["refresh_token"] != first["refresh_token"]
    check(session)
    # The library refreshes by itself when its token has expired.
    session.token = {**second, "expires_at": 1}
    check(session)
    assert saved[-1]["refresh_token"] != second["refresh_token"]


def authlib_client():
    for method in ("client_secret_basic", "client_secret_post"):
        session = requests_client.OAuth2Session(client_id, client_secret, token_endpoint_auth_method=method)
        token = session.fetch_token(token_url, grant_type="client_credentials")
        assert "refresh_token" not in token
        check(session)


def requests_oauthlib_password_and_refresh():
    saved = []
    session = requests_oauthlib.OAuth2Session(
        client=oauthlib.oauth2.LegacyApplicationClient(client_id=""),
        auto_refresh_url=refresh_url,
        token_updater=saved.append,
    )
    first = session.fetch_token(token_url, **person)
    check(session)
    session.token = {**first, "expires_in": -1, "expires_at": 1}
    check(session)
    assert saved[-1]["refresh_token"] != first["refresh_token"]


def requests_oauthlib_client():
    for in_form in (False, True):
        session = requests_oauthlib.OAuth2Session(client=oauthlib.oauth2.BackendApplicationClient(client_id))
        session.fetch_token(token_url, client_id=client_id, client_secret=client_secret, include_client_id=in_form)
        check(session)


def errors_have_the_names_of_the_standard():
    session = requests_oauthlib.OAuth2Session(client=oauthlib.oauth2.LegacyApplicationClient(client_id=""))
    for expected, call in {
        "invalid_grant": lambda: session.fetch_token(token_url, username=person["username"], password="wrong"),
        "invalid_client": lambda: requests_oauthlib.OAuth2Session(
            client=oauthlib.oauth2.BackendApplicationClient(client_id)
        ).fetch_token(token_url, client_id=client_id, client_secret="wrong"),
    }.items():
        try:
            call()
        except oauthlib.oauth2.OAuth2Error as error:
            assert error.error == expected, error
        else:
            raise AssertionError(f"no error, instead of {expected}")


authlib_password_and_refresh()
authlib_client()
requests_oauthlib_password_and_refresh()
requests_oauthlib_client()
errors_have_the_names_of_the_standard()
