"""The audit finds each kind of breach: every one is made here with raw SQL, and undone."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection

from clusters.models import Cluster, Node
from clusters.nodes.failed_starts import FailedStarts
from clusters.services.windows import plan_window
from clusters.tests.allocation import make_cluster, make_node
from deployments import redis_queues
from deployments.models import Deployment
from deployments.services.stop import stop_deployment
from mlops_platform.coordination.redis import redis_client
from organizations.models import Organization
from scheduler.audit import breaches
from scheduler.queues.queue_sync import mend
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db

Breach = Callable[..., list[str]]


@pytest.fixture
def rows(cluster: Cluster, submit: Submit) -> dict[str, Deployment]:
    """One that runs, one that waits and one that has ended, all sound."""
    running = submit("LOW", gpu=4, replicas=2)
    ended = submit("LOW", gpu=9)
    run_cycle(cluster)
    stop_deployment(ended.owner, ended)
    waiting = submit("LOW", gpu=8)
    run_cycle(cluster)
    mend(cluster.pk, thoroughly=True)
    assert breaches(queues_too=True) == []
    return {"running": running, "waiting": waiting, "ended": ended}


@pytest.fixture
def breach(rows: dict[str, Deployment]) -> Breach:
    """`breach("UPDATE …", …)`: what the audit says after a statement that no CHECK stops."""

    def breach(statement: str, *parameters: UUID | int) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for table, names in _CHECKS.items():
                for name in names:
                    cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            cursor.execute(statement, parameters)
        return breaches()

    return breach


_CHECKS = {
    "clusters_cluster": [f"{name}_never_overcommitted" for name in ("cpu_milli", "ram_mib", "gpu")],
    "clusters_node": [
        f"node_{name}_never_overcommitted" for name in ("cpu_milli", "ram_mib", "gpu")
    ],
    "deployments_deployment": ["request_is_sound"],
}


NOT_IN_INTERVALS = "deployment {}: what it has allocated in its pool is not in its open intervals"


@pytest.mark.parametrize("resource", ["cpu_milli", "ram_mib", "gpu"])
@pytest.mark.parametrize("amount", ["-1", "total_{} + 1"])
def test_a_counter_out_of_bounds(breach: Breach, resource: str, amount: str) -> None:
    found = breach(f"UPDATE clusters_cluster SET allocated_{resource} = {amount.format(resource)}")
    assert any(f"allocated {resource} is out of bounds" in sentence for sentence in found)


@pytest.mark.parametrize("resource", ["cpu_milli", "ram_mib", "gpu"])
@pytest.mark.parametrize("amount", [-1, 11])
def test_a_node_out_of_bounds(breach: Breach, cluster: Cluster, resource: str, amount: int) -> None:
    node = Node.objects.create(cluster=cluster, name="n1", cpu_milli=10, ram_mib=10, gpu=10)
    found = breach(f"UPDATE clusters_node SET allocated_{resource} = %s", amount)
    assert f"node {node.pk} (n1): allocated {resource} is out of bounds" in found


@pytest.mark.parametrize("resource", ["cpu_milli", "ram_mib", "gpu"])
def test_totals_that_are_not_the_sum_of_the_nodes(org: Organization, resource: str) -> None:
    cluster = make_cluster(org, name="machines")
    make_node(cluster)
    make_node(cluster, name="node-2")
    assert breaches() == []
    Cluster.objects.filter(pk=cluster.pk).update(**{f"total_{resource}": 1})
    assert breaches() == [f"cluster {cluster.pk}: the totals are not the sum of its nodes"]


def test_a_node_that_is_empty_and_waits_for_it(org: Organization) -> None:
    node = make_node(make_cluster(org))
    Node.objects.update(pending={"delete": True})
    assert breaches() == [
        f"node {node.pk} (node-1) is empty, and what waited for that was not done"
    ]


@pytest.mark.parametrize("resource", ["cpu_milli", "ram_mib", "gpu"])
def test_a_counter_that_is_not_the_sum(breach: Breach, cluster: Cluster, resource: str) -> None:
    (found,) = breach(
        f"UPDATE clusters_cluster SET allocated_{resource} = allocated_{resource} - 1"
    )
    assert f"cluster {cluster.pk}: {resource} counter" in found


def test_a_counter_without_a_deployment_behind_it(breach: Breach, cluster: Cluster) -> None:
    other = Cluster.objects.create(
        organization=cluster.organization,
        name="empty",
        total_cpu_milli=10,
        total_ram_mib=10,
        total_gpu=10,
    )
    found = breach("UPDATE clusters_cluster SET allocated_gpu = 1 WHERE id = %s", other.pk)
    assert found == [f"cluster {other.pk}: gpu counter 1, but the sum is 0"]


@pytest.mark.parametrize(
    ("which", "change", "sentence"),
    [
        ("running", "placement = '[]'", "has capacity allocated but is placed nowhere"),
        ("running", "started_at = NULL", "runs but never started"),
        ("running", "finished_at = now()", "has an end but goes on"),
        ("waiting", "finished_at = now()", "has an end but goes on"),
        (
            "waiting",
            """placement = '[{"node_id": null, "node": null, "replicas": 1}]'""",
            "is placed but has nothing allocated",
        ),
        ("ended", "finished_at = NULL", "has ended but not when"),
        (
            "running",
            """placement = '[{"node_id": null, "node": null, "replicas": 1}]'""",
            "is placed in part",
        ),
        ("waiting", "started_at = now()", "waits but has started"),
        ("waiting", "due_at = now()", "is due but has nothing allocated"),
        ("ended", "due_at = now()", "is due but has nothing allocated"),
    ],
)
def test_a_deployment_in_half_a_state(
    breach: Breach, rows: dict[str, Deployment], which: str, change: str, sentence: str
) -> None:
    key = rows[which].pk
    found = breach(f"UPDATE deployments_deployment SET {change} WHERE id = %s", key)
    expected = [f"deployment {key} {sentence}"]
    if which == "running" and "placement" in change:
        expected.append(NOT_IN_INTERVALS.format(key))
    assert found == expected


@pytest.mark.parametrize(
    ("which", "needs", "change", "sentence"),
    [
        ("waiting", "running", "", "counts 0 pending dependencies, but there are 1"),
        (
            "running",
            "waiting",
            "UPDATE deployments_deployment SET pending_dependencies = 1 WHERE id = %s",
            "started before what it depends on had completed",
        ),
        (
            "waiting",
            "ended",
            "UPDATE deployments_deployment SET pending_dependencies = 1 WHERE id = %s",
            "waits for what will never complete",
        ),
    ],
)
def test_a_deployment_out_of_turn(
    breach: Breach,
    rows: dict[str, Deployment],
    which: str,
    needs: str,
    change: str,
    sentence: str,
) -> None:
    rows[which].depends_on.add(rows[needs])
    key = rows[which].pk
    found = breach(change, key) if change else breaches()
    assert found == [f"deployment {key} {sentence}"]


def test_a_dependency_in_another_cluster(
    breach: Breach, cluster: Cluster, rows: dict[str, Deployment], submit: Submit
) -> None:
    east = Cluster.objects.create(
        organization=cluster.organization,
        name="east",
        total_cpu_milli=10,
        total_ram_mib=10,
        total_gpu=10,
    )
    other, key = submit("LOW", into=east), rows["waiting"].pk
    rows["waiting"].depends_on.add(other)
    found = breach("UPDATE deployments_deployment SET pending_dependencies = 1 WHERE id = %s", key)
    assert found == [f"deployment {key} depends on a deployment of another cluster"]


def test_a_deployment_that_lost_its_state(breach: Breach, rows: dict[str, Deployment]) -> None:
    """RUNNING to QUEUED behind the scheduler's back: its share stays counted as allocated."""
    key = rows["running"].pk
    found = breach("UPDATE deployments_deployment SET status = 'QUEUED' WHERE id = %s", key)
    assert any("gpu counter 8, but the sum is 0" in sentence for sentence in found)
    assert f"deployment {key} is placed but has nothing allocated" in found


@pytest.mark.parametrize(
    ("which", "change"),
    [
        ("running", "end_ms = begin_ms, outcome = 'failed'"),
        ("running", "gpu = gpu + 1"),
        ("running", "attempt = attempt + 1"),
        ("ended", "end_ms = NULL, outcome = '', replicas = 1, gpu = 1"),
    ],
)
def test_an_interval_that_is_not_what_is_allocated(
    breach: Breach, rows: dict[str, Deployment], which: str, change: str
) -> None:
    key = rows[which].pk
    table = "deployments_allocationinterval"
    found = breach(f"UPDATE {table} SET {change} WHERE deployment_id = %s", key)
    assert found == [NOT_IN_INTERVALS.format(key)]


def test_queues_that_lack_some_or_have_too_many(
    cluster: Cluster, rows: dict[str, Deployment]
) -> None:
    low, high = (redis_queues.queue_key(cluster.pk, name) for name in ("LOW", "HIGH"))
    redis_client().zrem(low, str(rows["waiting"].pk))
    redis_client().zadd(high, {str(rows["ended"].pk): 0})
    assert breaches() == []
    assert sorted(breaches(queues_too=True)) == [
        f"cluster {cluster.pk}: queue HIGH lacks 0 and has 1 too many",
        f"cluster {cluster.pk}: queue LOW lacks 1 and has 0 too many",
    ]
    mend(cluster.pk)
    assert breaches(queues_too=True) == []


def test_queues_that_cannot_be_read(
    cluster: Cluster, rows: dict[str, Deployment], no_redis: None
) -> None:
    assert breaches(queues_too=True) == [f"cluster {cluster.pk}: the queues cannot be read"]


@pytest.mark.parametrize("judged", ["READY", "CORDONED"])
def test_a_cordon_that_its_failed_starts_do_not_explain(
    cluster: Cluster, breach: Breach, judged: str
) -> None:
    node = make_node(make_cluster(cluster.organization, name="of nodes"))
    closed = FailedStarts(since="2026-03-01", next_try_at="2026-03-02")
    record = FailedStarts() if judged == "CORDONED" else closed
    Node.objects.filter(pk=node.pk).update(failed_starts=record.column())
    [found] = breach(f"UPDATE clusters_node SET judged = '{judged}' WHERE id = %s", node.pk)
    assert found == f"node {node.pk} ({node.name}) is {judged}, and its failed starts say other"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE clusters_node SET labels = '{}' WHERE id = %s", ""),
        (
            """UPDATE clusters_node SET drain = '{"window": "x"}' WHERE id = %s""",
            "is closed by a window that is not open",
        ),
        (
            """UPDATE clusters_maintenancewindow SET ends_at = ends_at + interval '90 minutes'
                WHERE cluster_id = (SELECT cluster_id FROM clusters_node WHERE id = %s)""",
            "is in two windows at once",
        ),
    ],
)
def test_windows_that_close_nodes_while_not_open_or_overlap(
    cluster: Cluster, breach: Breach, change: str, said: str
) -> None:
    other = make_cluster(cluster.organization, name="of nodes")
    node = make_node(other)
    for hours in (1, 3):
        times = {"begins_at": timedelta(hours=hours), "ends_at": timedelta(hours=hours + 1)}
        plan_window(other, {**times, "mode": "cordon", "reason": "disks"}, by="ada")
    expected = [f"node {node.pk} ({node.name}) {said}"] if said else []
    assert breach(change, node.pk) == expected
