"""What Schemathesis needs to know about the service beside its document."""

import itertools
import os
import uuid

import requests
import schemathesis

api = os.environ["API"]
password = os.environ["PASSWORD"]
numbers = itertools.count()


class Keeper:
    """The first superuser. It creates the accounts that Schemathesis acts as, and which it may change or delete."""

    def __init__(self):
        self.sign_in()
        self.id = self.call("GET", "/users/me")["id"]

    def sign_in(self):
        self.token = sign_in("admin@example.com")

    def call(self, method, path, json=None):
        for _ in range(2):
            headers = {"Authorization": f"Bearer {self.token}", "X-Source": "keeper"}
            reply = requests.request(method, api + path, json=json, headers=headers, timeout=30)
            if reply.status_code != 401:
                break
            self.sign_in()
        reply.raise_for_status()
        return reply.json()


def sign_in(email):
    form = {"username": email, "password": password}
    reply = requests.post(f"{api}/auth/login", data=form, headers={"X-Source": "keeper"}, timeout=30)
    reply.raise_for_status()
    return reply.json()["access_token"]


keeper = Keeper()


# A fresh sign-in is at most 15 minutes old, and some requests end all tokens of their account.
@schemathesis.auth(refresh_interval=2)
class Superuser:
    def get(self, case, context):
        email = f"superuser-{uuid.uuid4()}@example.com"
        keeper.call("POST", "/users/", {"email": email, "password": password, "is_superuser": True})
        return sign_in(email)

    def set(self, case, token, context):
        case.headers["Authorization"] = f"Bearer {token}"


# The limits on what one source may try would end a run.
@schemathesis.hook
def before_call(context, case, kwargs):
    case.headers["X-Source"] = f"source {next(numbers)}"
    if case.path_parameters and case.path_parameters.get("id") == keeper.id:
        case.path_parameters["id"] = str(uuid.uuid4())
