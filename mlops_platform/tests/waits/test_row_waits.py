"""A row that a session keeps locked takes up no threads: few wait for it, others are refused."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from clusters.models import Cluster
from clusters.services.clusters import lock_cluster, lock_clusters
from clusters.tests.allocation import make_cluster
from deployments.tests.workloads import body
from mlops_platform.database import row_waits
from mlops_platform.environment.database import RowLocked
from mlops_platform.tests.equipment.errors import error_body
from mlops_platform.tests.equipment.row_locks import all_locked, locked
from mlops_platform.tests.equipment.world import fingerprint
from mlops_platform.tests.waits.organization_lock import waits_in_vain
from organizations.models import Organization
from organizations.tests.people import JsonClient

pytestmark = pytest.mark.usefixtures("short_wait")

CLUSTER, DEPLOYMENT = "clusters_cluster", "deployments_deployment"
ORGANIZATION, USER = "organizations_organization", "accounts_user"
NEW_NODE = {"name": "a", "cpu": 1, "ram": 1, "gpu": 0}
NEW_CLUSTER = {
    "name": "c",
    "organization_id": "{org}",
    "total_cpu": 1,
    "total_ram": 1,
    "total_gpu": 1,
}


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    return make_cluster(org)


def waits_in(act: Callable[[], Any]) -> tuple[Any, int]:
    """What `act` returns, and how many of its statements wait for a locked row."""
    with CaptureQueriesContext(connection) as queries:
        result = act()
    found = [each["sql"] for each in queries if "FOR NO KEY UPDATE" in each["sql"]]
    return result, sum("SKIP LOCKED" not in sql for sql in found)


@pytest.mark.parametrize(
    ("method", "path", "change", "table"),
    [
        ("patch", "/api/clusters/{cluster}", {"name": "new"}, CLUSTER),
        ("post", "/api/clusters/{cluster}/nodes", NEW_NODE, CLUSTER),
        ("post", "/api/clusters", NEW_CLUSTER, ORGANIZATION),
        ("post", "/api/orgs/create", {"name": "new"}, USER),
        ("patch", "/api/deployments/{deployment}", {"name": "new"}, DEPLOYMENT),
    ],
)
def test_after_one_has_waited_in_vain_others_are_refused_at_once(
    api: Callable[[User], JsonClient],
    ada: User,
    org: Organization,
    cluster: Cluster,
    method: str,
    path: str,
    change: dict[str, object],
    table: str,
) -> None:
    deployment = api(ada).post("/api/deployments", body(cluster)).json()["id"]
    ids = {"cluster": cluster.pk, "deployment": deployment, "org": org.pk}
    keys = {CLUSTER: cluster.pk, ORGANIZATION: org.pk, USER: ada.pk, DEPLOYMENT: deployment}
    given = {k: v.format(**ids) if isinstance(v, str) else v for k, v in change.items()}

    def act() -> Any:
        return getattr(api(ada), method)(path.format(**ids), given)

    key = row_waits._Key(table, str(keys[table]))
    before = fingerprint()
    with locked(table, keys[table]):
        first, waits = waits_in(act)
        assert (first.status_code, waits) == (503, 1)
        second, waits = waits_in(act)
        assert (second.status_code, error_body(second)["code"], waits) == (503, "busy", 0)
        assert int(second["Retry-After"]) > 0
    assert fingerprint() == before
    after, waits = waits_in(act)
    assert (after.status_code < 300, waits) == (True, 0)
    assert key not in row_waits._in_vain
    assert key not in row_waits._since


def lock_and_leave(cluster: Cluster) -> None:
    with transaction.atomic():
        lock_cluster(cluster.pk)


def test_many_wait_for_an_ordinary_change_until_the_first_has_waited_for_long(
    cluster: Cluster,
) -> None:
    key = row_waits._Key(CLUSTER, str(cluster.pk))
    with row_waits._waiting(key), row_waits._waiting(key), locked(CLUSTER, cluster.pk):
        with pytest.raises(OperationalError, match="lock timeout"):
            lock_and_leave(cluster)
        row_waits._in_vain.clear()
        row_waits._since[key][0] -= 2 * row_waits.LONG_S
        with pytest.raises(RowLocked):
            lock_and_leave(cluster)
        row_waits._since[key][0] += 2 * row_waits.LONG_S
    row_waits._in_vain.clear()


def limits_of(act: Callable[[], object], before: str) -> list[str]:
    """What lock_timeout is before each statement that has this in its text."""
    found = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if before in sql and "SKIP LOCKED" not in sql:
            context["cursor"].cursor.execute("SHOW lock_timeout")
            found.append(context["cursor"].cursor.fetchone()[0])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        act()
    return found


@pytest.mark.parametrize("lock", [lock_cluster, lambda key: lock_clusters([key])])
def test_a_thread_waits_for_a_single_clusters_row_as_long_as_lock_timeout_allows(
    cluster: Cluster, lock: Callable[[UUID], object]
) -> None:
    def wait() -> None:
        with pytest.raises(OperationalError), transaction.atomic():
            lock(cluster.pk)

    with locked(CLUSTER, cluster.pk):
        assert limits_of(wait, "FOR NO KEY UPDATE") == ["100ms"]


@pytest.mark.parametrize("lock", [lock_cluster, lambda key: lock_clusters([key])])
def test_a_thread_that_has_a_clusters_row_waits_shortly_for_others(
    cluster: Cluster, lock: Callable[[UUID], object]
) -> None:
    def look() -> None:
        with transaction.atomic():
            lock(cluster.pk)
            Cluster.objects.count()

    assert limits_of(look, "COUNT(") == ["200ms"]


def test_a_thread_that_waits_for_one_of_several_clusters_has_locked_no_other(
    org: Organization, cluster: Cluster
) -> None:
    other = make_cluster(org, name="other")
    free: list[bool] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "FOR NO KEY UPDATE" in sql and "SKIP LOCKED" not in sql:  # about to wait
            free.append(is_free(other))
        return execute(sql, params, many, context)

    with locked(CLUSTER, cluster.pk), connection.execute_wrapper(look):
        with pytest.raises(RowLocked) as refused, transaction.atomic():
            lock_clusters([other.pk, cluster.pk])
        assert free == [True]
        assert str(cluster.pk) in refused.value.detail
        with pytest.raises(RowLocked), transaction.atomic():  # at once, as it is known
            lock_clusters([other.pk, cluster.pk])
        assert free == [True]
        assert is_free(other)


def is_free(cluster: Cluster) -> bool:
    """For another session."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            statement = f"SELECT 1 FROM {CLUSTER} WHERE id = %s FOR UPDATE SKIP LOCKED"
            cursor.execute(statement, [cluster.pk])
            return cursor.fetchone() is not None
    finally:
        other.close()


def test_several_clusters_are_locked_together_as_soon_as_all_are_free(
    org: Organization, cluster: Cluster
) -> None:
    other = make_cluster(org, name="other")
    with ExitStack() as session:
        session.enter_context(locked(CLUSTER, cluster.pk))

        def let_go(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            if "FOR NO KEY UPDATE" in sql and "SKIP LOCKED" not in sql:
                session.close()
            return execute(sql, params, many, context)

        with transaction.atomic(), connection.execute_wrapper(let_go):
            found = lock_clusters([other.pk, cluster.pk])
            assert [row.pk for row in found] == sorted([cluster.pk, other.pk])
            assert not is_free(cluster)
            assert not is_free(other)
    assert is_free(cluster)
    assert is_free(other)


def test_a_bulk_over_two_clusters_names_the_one_that_is_locked(
    api: Callable[[User], JsonClient], dev: User, org: Organization, cluster: Cluster
) -> None:
    other = make_cluster(org, name="other")
    needed = [
        api(dev).post("/api/deployments", body(each)).json()["id"] for each in (cluster, other)
    ]
    bodies = [body(c, depends_on=[n]) for c, n in zip((cluster, other), needed, strict=True)]
    before = fingerprint()
    with locked(CLUSTER, other.pk):
        answer = api(dev).post("/api/deployments/bulk", {"deployments": bodies})
        assert answer.status_code == 503
        assert str(other.pk) in error_body(answer)["detail"]
        assert int(answer["Retry-After"]) > 0
        assert fingerprint() == before
    assert api(dev).post("/api/deployments/bulk", {"deployments": bodies}).status_code == 201


@pytest.mark.parametrize("kind", ["one", "bulk"])
def test_submits_to_a_cluster_that_is_about_to_be_deleted_wait_for_it_once(
    api: Callable[[User], JsonClient], dev: User, cluster: Cluster, kind: str
) -> None:
    """The session has the row for an UPDATE of its key or a DELETE."""
    path, given = "/api/deployments", body(cluster)
    if kind == "bulk":
        path, given = f"{path}/bulk", {"deployments": [given] * 3}
    with all_locked([f"SELECT 1 FROM {CLUSTER} WHERE id = '{cluster.pk}' FOR UPDATE"]):
        for expected in (1, 0, 0):
            with waits_in_vain() as waits:
                answer = api(dev).post(path, given)
            assert (answer.status_code, error_body(answer)["code"]) == (503, "busy")
            assert int(answer["Retry-After"]) > 0
            assert len(waits) == expected
    assert api(dev).post(path, given).status_code == 201
    with CaptureQueriesContext(connection) as queries:
        assert api(dev).post(path, given).status_code == 201
    assert not any("FOR KEY SHARE SKIP LOCKED" in each["sql"] for each in queries)


def test_a_stop_waits_for_the_cycle_that_has_locked_the_deployment_and_else_for_nothing(
    api: Callable[[User], JsonClient], dev: User, cluster: Cluster
) -> None:
    key = api(dev).post("/api/deployments", body(cluster)).json()["id"]
    with locked(DEPLOYMENT, key), locked(CLUSTER, cluster.pk):
        answer, waits = waits_in(lambda: api(dev).post(f"/api/deployments/{key}/stop"))
        assert (answer.status_code, waits) == (503, 1)  # for the cluster's row
    answer, waits = waits_in(lambda: api(dev).post(f"/api/deployments/{key}/stop"))
    assert (answer.json()["status"], waits) == ("STOPPED", 0)


def test_a_cluster_that_is_missing_is_no_wait(cluster: Cluster) -> None:
    gone = cluster.pk
    cluster.delete()
    with pytest.raises(Cluster.DoesNotExist), transaction.atomic():
        lock_cluster(gone)
    assert row_waits._in_vain == {}
