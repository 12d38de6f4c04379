"""The users of every test, and their clients.

The organization `org` has three members: `ada` founded it (ADMIN), `dev` is a DEVELOPER, `vera` a
VIEWER. `sam` is a stranger with an organization of his own, `sams_org`, where he is ADMIN. `api`
makes a client for any of them, `anyone` is a client without a token.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from mlops_platform.tests.equipment.conformance import faults_of
from organizations.models import Membership, Organization, Role
from organizations.services import create_organization

PASSWORD = "correct-horse-battery"
TRIES_WHILE_BUSY = 20


class JsonClient(APIClient):
    """Sends JSON by default, and accepts no answer but those that the OpenAPI document declares."""

    default_format = "json"

    def request(self, **kwargs: Any) -> Any:
        answer = super().request(**kwargs)
        method, path = answer.request["REQUEST_METHOD"], answer.request["PATH_INFO"]
        faults = list(faults_of(method, path, answer))
        assert not faults, f"{method} {path} answers {answer.status_code}: {'; '.join(faults)}"
        return answer

    @staticmethod
    def rates() -> dict[str, str | None]:
        """The throttles' rates by scope, for a test to change with monkeypatch.setitem."""
        return SimpleRateThrottle.THROTTLE_RATES


def make_user(username: str, **fields: Any) -> User:
    """A user whose password is PASSWORD."""
    user: User = User.objects.create_user(username, password=PASSWORD, **fields)
    return user


def make_member(organization: Organization, username: str, role: Role) -> User:
    user = make_user(username)
    Membership.objects.create(organization=organization, user=user, role=role)
    return user


def client_for(user: User | None) -> JsonClient:
    client = JsonClient()
    if user is not None:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {AccessToken.for_user(user)}")
    return client


def all_at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each call answered or raised, all started together on threads and connections of their
    own. Needs `transactional_db`, else they cannot see each other's rows.

    An answer "busy" (503: a row was locked for longer than a call waits) asks for another try,
    which is made: on a loaded machine short locks last longer.
    """
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=10)
            for _ in range(TRIES_WHILE_BUSY):
                answer = call()
                if getattr(answer, "status_code", None) != 503 or answer.json()["code"] != "busy":
                    break
            return answer
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.fixture
def api() -> Callable[[User], JsonClient]:
    return client_for


@pytest.fixture
def anyone() -> JsonClient:
    return client_for(None)


@pytest.fixture
def ada(db: None) -> User:
    return make_user("ada")


@pytest.fixture
def org(ada: User) -> Organization:
    return create_organization(ada, "Analytical Engines")


@pytest.fixture
def dev(org: Organization) -> User:
    return make_member(org, "dev", Role.DEVELOPER)


@pytest.fixture
def vera(org: Organization) -> User:
    return make_member(org, "vera", Role.VIEWER)


@pytest.fixture
def sam(db: None) -> User:
    sam = make_user("sam")
    create_organization(sam, "Sam's")
    return sam


@pytest.fixture
def sams_org(sam: User) -> Organization:
    return Organization.objects.get(name="Sam's")
