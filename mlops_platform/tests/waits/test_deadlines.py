"""Nothing that serves waits in PostgreSQL without an end, and who has to wait hears it."""

from collections.abc import Callable

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
)
from django.test import Client

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment
from deployments.tests.workloads import body
from mlops_platform.environment.database import (
    AWAY,
    BUSY,
    COMMAND,
    SERVING,
    TOO_SLOW,
    deadlines,
    try_again,
)
from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.row_locks import locked
from mlops_platform.tests.equipment.world import fingerprint
from organizations.models import Organization
from organizations.tests.people import JsonClient


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    return make_cluster(org, total_gpu=8)


def test_each_connection_has_the_deadlines(db: None) -> None:
    with connection.cursor() as cursor:
        for name, seconds in SERVING.items():
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == (f"{seconds}s",)


def test_a_command_may_compute_for_long_but_not_wait_for_a_lock() -> None:
    assert COMMAND["statement_timeout"] == 0
    assert 0 < COMMAND["lock_timeout"] <= 10
    assert deadlines("/srv/mlops/manage.py") == deadlines("manage.py") != deadlines("gunicorn")


def test_a_worker_waits_for_a_lock_for_a_fifth_of_a_second() -> None:
    module = "/srv/lib/celery/__main__.py"  # python -m celery
    assert deadlines("/srv/bin/celery") == deadlines(module) == deadlines("celery")
    assert "lock_timeout=200ms" in deadlines("celery")
    assert "lock_timeout=2000ms" in deadlines("gunicorn")


@pytest.mark.parametrize(
    ("method", "path", "table"),
    [
        ("patch", "/api/clusters/{cluster}", "clusters_cluster"),
        ("delete", "/api/clusters/{cluster}?force=true", "clusters_cluster"),
        ("post", "/api/deployments/{deployment}/stop", "deployments_deployment"),
        ("patch", "/api/deployments/{deployment}", "deployments_deployment"),
    ],
)
def test_a_row_that_another_change_keeps_locked_is_503_at_once_and_nothing_changes(
    short_wait: None,
    api: Callable[[User], JsonClient],
    dev: User,
    ada: User,
    cluster: Cluster,
    method: str,
    path: str,
    table: str,
) -> None:
    answer = api(dev).post("/api/deployments", body(cluster)).json()
    key = {"clusters_cluster": cluster.pk, "deployments_deployment": answer["id"]}[table]
    url = path.format(cluster=cluster.pk, deployment=answer["id"])
    client = api(ada if "clusters" in path else dev)
    changes = {"name": "other"} if method == "patch" else None
    before = fingerprint()
    with locked(table, key):
        refused = getattr(client, method)(url, changes)
    assert refused.status_code == 503
    assert error_body(refused)["code"] == "busy"
    assert int(refused["Retry-After"]) > 0
    assert fingerprint() == before
    assert getattr(client, method)(url, changes).status_code < 300


def test_a_cluster_whose_row_is_locked_still_takes_submits(
    short_wait: None, api: Callable[[User], JsonClient], dev: User, cluster: Cluster
) -> None:
    with locked("clusters_cluster", cluster.pk):
        assert api(dev).post("/api/deployments", body(cluster)).status_code == 201
    assert Deployment.objects.count() == 1


def caused_by(error: Exception, sqlstate: str) -> Exception:
    error.__cause__ = type("Psycopg2Error", (Exception,), {"pgcode": sqlstate})()
    return error


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (OperationalError("connection refused"), AWAY),
        (InterfaceError("connection already closed"), AWAY),
        (DatabaseError("server closed the connection unexpectedly"), AWAY),
        (caused_by(OperationalError("lock timeout"), "55P03"), BUSY),
        (caused_by(OperationalError("deadlock"), "40P01"), BUSY),
        (caused_by(OperationalError("statement timeout"), "57014"), TOO_SLOW),
        (caused_by(OperationalError("the system is shutting down"), "57P01"), AWAY),
        (caused_by(InternalError("read-only transaction"), "25006"), AWAY),
        (caused_by(InternalError("idle-in-transaction timeout"), "25P03"), AWAY),
        (caused_by(InternalError("transaction is aborted"), "25P02"), None),
        (IntegrityError("duplicate key"), None),
        (ValueError("a bug"), None),
    ],
    ids=str,
)
def test_errors_that_pass_are_told_from_bugs(error: Exception, answer: object) -> None:
    assert try_again(error) == answer


@pytest.mark.django_db(transaction=True)
def test_a_write_to_a_database_that_has_become_read_only_is_told_to_come_back(
    api: Callable[[User], JsonClient], dev: User, cluster: Cluster
) -> None:
    client = api(dev)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        try:
            answer = client.post("/api/deployments", body(cluster))
            assert client.get("/api/deployments").status_code == 200
        finally:
            cursor.execute("SET default_transaction_read_only = off")
    assert answer.status_code == 503
    assert answer.json()["code"] == "database_unavailable"
    assert answer["Retry-After"] == "5"


def test_a_statement_that_takes_too_long_is_cut_off(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '50ms'")
        with pytest.raises(OperationalError) as caught:
            cursor.execute("SELECT pg_sleep(30)")
    assert try_again(caught.value) == TOO_SLOW


def test_the_admin_too_answers_503_while_postgresql_restarts(
    client: Client, django_user_model: type[User]
) -> None:
    operator = django_user_model.objects.create_superuser("root", "", "Wide-river-7-stones")
    client.force_login(operator)
    client.raise_request_exception = False

    def away(*_args: object, **_kwargs: object) -> None:
        raise DatabaseError("server closed the connection unexpectedly")

    with connection.execute_wrapper(away):
        answer = client.get("/admin/clusters/cluster/")
    assert answer.status_code == 503
    assert answer.json()["code"] == "database_unavailable"
    assert int(answer["Retry-After"]) > 0
