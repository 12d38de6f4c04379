"""The answers to a bug of ours, and to every call while PostgreSQL or Redis is away."""

import pytest
from django.db import OperationalError, connection, transaction

from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.routes import api_routes, every_route
from mlops_platform.tests.equipment.world import fingerprint
from mlops_platform.tests.input.matrix import ROW_OF

WITHOUT_QUERIES = "POST /api/auth/password/reset"  # its answer must not depend on what users exist
API = [
    pytest.param(route, id=str(route)) for route in api_routes() if str(route) != WITHOUT_QUERIES
]


def ask(client, route, world):
    path = route.path.format(**world.ids)
    return getattr(client, route.method.lower())(path, ROW_OF[str(route)].filled_body(world.ids))


@pytest.fixture
def admin(world):
    client = world.client("admin")
    client.raise_request_exception = False
    return client


@pytest.mark.parametrize("route", API)
def test_a_bug_is_answered_in_json_without_a_trace(world, admin, route, caplog):
    def bug(*_args, **_kwargs):
        raise RuntimeError("the password is hunter2")

    before = fingerprint()
    with connection.execute_wrapper(bug):
        answer = ask(admin, route, world)
    assert answer.status_code == 500
    assert error_body(answer)["code"] == "internal_error"
    assert "hunter2" not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()
    assert "hunter2" in caplog.text  # the trace is ours to read
    assert fingerprint() == before


@pytest.mark.parametrize("route", API)
def test_postgresql_away_is_503_and_soon_to_be_tried_again(world, admin, route):
    def away(*_args, **_kwargs):
        raise OperationalError("connection to server at 10.0.0.7 failed")

    before = fingerprint()
    with transaction.atomic(), connection.execute_wrapper(away):
        answer = ask(admin, route, world)
    assert answer.status_code == 503
    assert error_body(answer)["code"] == "database_unavailable"
    assert int(answer["Retry-After"]) > 0
    assert "10.0.0.7" not in answer.content.decode()
    assert fingerprint() == before


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 503), ("/metrics", 503), ("/swagger/", 200)]
)
def test_postgresql_away_and_the_pages_for_machines(db, anyone, path, status):
    def away(*_args, **_kwargs):
        raise OperationalError("away")

    with connection.execute_wrapper(away):
        assert anyone.get(path).status_code == status


@pytest.mark.parametrize("route", [pytest.param(r, id=str(r)) for r in every_route()])
def test_redis_away_changes_no_answer(world, admin, settings, tmp_path, route):
    """Only queue positions are missing, and the throttles let every caller in."""
    settings.REDIS_URL = f"unix://{tmp_path}/no-server.sock"
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": settings.REDIS_URL}}
    assert ask(admin, route, world).status_code == ROW_OF[str(route)].answers[-1]
