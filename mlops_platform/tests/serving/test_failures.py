"""What callers are told when it is our fault, when PostgreSQL or Redis is away, and when they
come too often."""

import pytest
from django.db import OperationalError, transaction
from django.db.backends.utils import CursorWrapper
from django.test import Client
from redis.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from mlops_platform.tests.equipment.routes import api_routes, every_route
from mlops_platform.tests.equipment.world import fingerprint
from mlops_platform.tests.input.test_bad_input import ROW_OF
from mlops_platform.tests.input.test_matrix import told_as_an_error
from organizations.tests.people import PASSWORD

API = [pytest.param(route, id=str(route)) for route in api_routes()]


def ask(client, route, world):
    path = route.path.format(**world.ids)
    return getattr(client, route.method.lower())(path, ROW_OF[str(route)].filled_body(world.ids))


@pytest.fixture
def admin(world):
    client = world.client("admin")
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("route", API)
def test_a_bug_is_answered_in_json_without_a_trace(world, admin, monkeypatch, route, caplog):
    def bug(*_args, **_kwargs):
        raise RuntimeError("the password is hunter2")

    before = fingerprint()
    with monkeypatch.context() as broken:
        broken.setattr(CursorWrapper, "execute", bug)
        answer = ask(admin, route, world)
    assert answer.status_code == 500
    assert told_as_an_error(answer)["code"] == "internal_error"
    assert "hunter2" not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()
    assert "hunter2" in caplog.text  # the trace is ours to read
    assert fingerprint() == before


@pytest.mark.parametrize("route", API)
def test_postgresql_away_is_503_and_soon_to_be_tried_again(world, admin, monkeypatch, route):
    def away(*_args, **_kwargs):
        raise OperationalError("connection to server at 10.0.0.7 failed")

    before = fingerprint()
    with transaction.atomic(), monkeypatch.context() as broken:
        broken.setattr(CursorWrapper, "execute", away)
        answer = ask(admin, route, world)
    assert answer.status_code == 503
    assert told_as_an_error(answer)["code"] == "database_unavailable"
    assert int(answer["Retry-After"]) > 0
    assert "10.0.0.7" not in answer.content.decode()
    assert fingerprint() == before


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 503), ("/metrics", 503), ("/swagger/", 200)]
)
def test_postgresql_away_and_the_pages_for_machines(db, anyone, monkeypatch, path, status):
    def away(*_args, **_kwargs):
        raise OperationalError("away")

    with monkeypatch.context() as broken:
        broken.setattr(CursorWrapper, "execute", away)
        assert anyone.get(path).status_code == status


@pytest.mark.parametrize("route", [pytest.param(r, id=str(r)) for r in every_route()])
def test_redis_away_changes_no_answer(world, admin, monkeypatch, route):
    """Only queue positions are missing, and the throttles let everybody in."""

    def away(*_args, **_kwargs):
        raise RedisConnectionError("away")

    for kind in (Connection, UnixDomainSocketConnection):
        monkeypatch.setattr(kind, "send_packed_command", away)
        monkeypatch.setattr(kind, "_connect", away)
    assert ask(admin, route, world).status_code == ROW_OF[str(route)].answers[-1]


@pytest.mark.parametrize(
    ("call", "body", "status"),
    [
        ("/api/users/login", {"username": "ada", "password": "wrong"}, 401),
        ("/api/users/register", {"username": "ada", "password": PASSWORD}, 400),
    ],
)
def test_too_many_attempts_are_429_and_say_when_to_come_back(
    ada, anyone, monkeypatch, call, body, status
):
    for scope in ("login", "register"):
        monkeypatch.setitem(anyone.rates(), scope, "3/min")
    assert [anyone.post(call, body).status_code for _ in range(3)] == [status] * 3
    before = fingerprint()
    answer = anyone.post(call, body)
    assert answer.status_code == 429
    assert told_as_an_error(answer)["code"] == "throttled"
    assert 0 < int(answer["Retry-After"]) <= 61
    assert fingerprint() == before


@pytest.mark.parametrize("asked", ["right", "wrong"])
def test_the_admins_login_counts_together_with_the_apis(ada, anyone, monkeypatch, asked):
    """An operator's password cannot be guessed at the second door once the first is shut."""
    ada.is_staff = True
    ada.save()
    monkeypatch.setitem(anyone.rates(), "login", "3/min")
    for _ in range(3):
        anyone.post("/api/users/login", {"username": "ada", "password": "wrong"})
    password = PASSWORD if asked == "right" else "wrong"
    answer = Client().post("/admin/login/", {"username": "Ada", "password": password})
    assert answer.status_code == 200
    assert "Too many attempts" in answer.content.decode()
    assert "sessionid" not in answer.cookies


def test_an_operator_logs_in(ada):
    ada.is_staff = True
    ada.save()
    client = Client(enforce_csrf_checks=True)
    token = client.get("/admin/login/").cookies["csrftoken"].value
    form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
    answer = client.post("/admin/login/?next=/admin/", form)
    assert answer.status_code == 302, answer.content
    assert answer.cookies["sessionid"]["httponly"]
    assert answer.cookies["sessionid"]["samesite"] == "Lax"
