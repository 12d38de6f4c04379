"""An interval for each attempt on each node: open while that is allocated, then closed with what
came of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster, Node, NodeState
from clusters.services.deletion import delete_cluster, delete_rows
from clusters.services.nodes import drain
from clusters.tests.allocation import make_cluster
from deployments.models import AllocationInterval, Deployment, Status
from deployments.reasons import codes
from deployments.reconciler.assessment import Assessment, Outcome
from deployments.services.stop import stop_deployment
from deployments.services.submit import create_deployment
from deployments.tests import clock
from deployments.tests.reconciler.testbed import Testbed
from deployments.tests.usage.conftest import Show
from mlops_platform.api.ids import milliseconds
from mlops_platform.database.clock import database_now
from organizations.models import Organization
from scheduler import audit
from scheduler.tests.conftest import run_cycle

pytestmark = pytest.mark.django_db

SPEC: dict[str, Any] = {"image": "x", "cpu_milli": 1500, "ram_mib": 512, "gpu": 1}


def intervals(row: Deployment) -> list[AllocationInterval]:
    return list(AllocationInterval.objects.filter(deployment_id=row.pk).order_by("begin_ms", "pk"))


def ends(row: Deployment) -> list[str]:
    """How each of its intervals has ended; empty for an open one."""
    return [each.outcome for each in intervals(row)]


@pytest.fixture
def nodes(testbed: Testbed) -> list[Node]:
    """Two open ones of two GPUs."""
    made = [testbed.add_node(name, labels={"gpu": f"type-{name}"}) for name in "ab"]
    Node.objects.update(observed=NodeState.READY)
    return made


def test_an_interval_says_what_is_allocated_to_which_user_where_and_since_when(
    testbed: Testbed, nodes: list[Node]
):
    row = testbed.submit(replicas=3, labels={"team": "vision"}, cpu_milli=1500)
    testbed.cycle()
    row = testbed.fresh(row)
    found = intervals(row)
    cluster = testbed.cluster
    for each in found:
        [at] = [node for node in nodes if node.pk == each.node_id]
        assert (each.node, each.node_labels) == (at.name, at.labels)
        assert (each.organization_id, each.cluster_id) == (cluster.organization_id, cluster.pk)
        assert (each.cluster, each.username, each.user_id) == ("real", "dev", row.owner_id)
        assert (each.priority_class, each.labels) == ("LOW", {"team": "vision"})
        assert (each.deployment, each.attempt) == (row.name, 1)
        amounts = (each.cpu_milli, each.ram_mib, each.gpu)
        assert amounts == (1500 * each.replicas, 512 * each.replicas, each.replicas)
        assert row.admitted_at is not None
        assert (each.begin_ms, each.end) == (milliseconds(row.admitted_at), None)
    assert sorted(each.replicas for each in found) == [1, 2]
    assert [each.queued_at is None for each in found] == [False, True]  # the wait counts once
    assert found[0].queued_ms == milliseconds(row.queued_at)


def preempt(testbed: Testbed, row: Deployment, show: Show) -> None:
    for _ in range(4):
        testbed.submit(priority="HIGH")
    testbed.cycle()


def leave_a_drained_node(testbed: Testbed, row: Deployment, show: Show) -> None:
    for node in Node.objects.filter(pk__in=testbed.fresh(row).ran_on or []):
        drain(node)
    testbed.cycle()
    assert ends(row) == [""]  # it has its capacity until it is gone
    show(row, Assessment(Outcome.GONE))


def stop_it(testbed: Testbed, row: Deployment, show: Show) -> None:
    stop_deployment(row.owner, testbed.fresh(row))
    assert ends(row) == [""]
    show(row, Assessment(Outcome.GONE))


def shown(*args: Any, **more: Any) -> Callable[[Testbed, Deployment, Show], None]:
    return lambda testbed, row, show: show(row, Assessment(*args, **more))


ENDS = {
    "completed": (shown(Outcome.COMPLETE), "completed"),
    "failed for good": (shown(Outcome.FAIL, "EXITED", exit_code=1, final=True), "failed"),
    "failed and tried again": (shown(Outcome.FAIL, "EXITED", exit_code=1), "failed"),
    "disrupted": (shown(Outcome.REQUEUE, codes.GANG_INCOMPLETE), "failed"),
    "lost with its node": (shown(Outcome.REQUEUE, codes.NODE_LOST), "lost"),
    "lost from its node": (shown(Outcome.REQUEUE, codes.CONTAINER_LOST), "lost"),
    "preempted": (preempt, "evicted"),
    "drained": (leave_a_drained_node, "evicted"),
    "stopped": (stop_it, "stopped"),
}


@pytest.mark.parametrize("saved", ["never", "once"])
@pytest.mark.parametrize("kind", ["job", "service"])
@pytest.mark.parametrize("how", ENDS)
def test_every_end_closes_the_interval_and_says_from_when_on_its_work_is_lost(
    testbed: Testbed, nodes: list[Node], show: Show, how: str, kind: str, saved: str
):
    row = testbed.submit(max_retries=1, kind=kind)
    testbed.cycle()
    show(row, Assessment(Outcome.CONFIRM))
    began = database_now() - timedelta(hours=1)
    saved_at = began + timedelta(minutes=20) if saved == "once" else None
    Deployment.objects.filter(pk=row.pk).update(started_at=began, checkpoint_at=saved_at)
    begin_ms = milliseconds(began)
    AllocationInterval.objects.update(begin_ms=begin_ms, queued_ms=begin_ms)
    before_ms = milliseconds(database_now())
    act, outcome = ENDS[how]
    act(testbed, row, show)
    first = intervals(row)[0]
    assert first.outcome == outcome
    assert first.end_ms is not None
    assert before_ms <= first.end_ms <= milliseconds(database_now())
    loses = outcome in ("failed", "evicted", "lost") and kind == "job"
    assert first.lost_ms == (milliseconds(saved_at or began) if loses else None)
    assert AllocationInterval.objects.filter(deployment_id=row.pk, end_ms=None).count() == 0


def test_each_attempt_has_an_interval_of_its_own(testbed: Testbed, nodes: list[Node], show: Show):
    row = testbed.submit(max_retries=1)
    testbed.cycle()
    show(row, Assessment(Outcome.FAIL, "EXITED", exit_code=1))
    testbed.end_retry_pauses()
    testbed.cycle()
    show(row, Assessment(Outcome.COMPLETE))
    assert [(each.attempt, each.outcome) for each in intervals(row)] == [
        (1, "failed"),
        (2, "completed"),
    ]
    assert all(each.queued_ms is not None for each in intervals(row))


@pytest.fixture
def pool(org: Organization) -> Cluster:
    """Simulated, with 4 GPUs."""
    return make_cluster(org)


def test_in_a_simulated_cluster_intervals_end_as_well(pool: Cluster, dev: User):
    limits: list[dict[str, Any]] = [
        {"simulated_runtime_s": 60},
        {"max_runtime_s": 60},
        {},
        {"on_preempt": "fail"},
    ]
    rows = [create_deployment(dev, pool.pk, {**SPEC, **each}).deployment for each in limits]
    run_cycle(pool)
    clock.finish_due(database_now() + timedelta(minutes=2))
    for _ in range(4):
        create_deployment(dev, pool.pk, SPEC, priority="HIGH")
    run_cycle(pool)
    assert [ends(row) for row in rows] == [["completed"], ["failed"], ["evicted"], ["evicted"]]
    stop_deployment(dev, Deployment.objects.get(pk=rows[2].pk))
    assert ends(rows[2]) == ["evicted", "stopped"]
    assert audit.breaches() == []


@pytest.mark.parametrize("with_dependents", [False, True])
def test_what_ends_in_the_queue_leaves_its_wait(pool: Cluster, dev: User, with_dependents: bool):
    row = create_deployment(dev, pool.pk, SPEC).deployment
    needing = {**SPEC, "depends_on": [str(row.pk)]}
    rows = [create_deployment(dev, pool.pk, needing).deployment] if with_dependents else []
    stop_deployment(dev, row)
    for each, outcome in [(row, "stopped"), *((other, "failed") for other in rows)]:
        [found] = intervals(each)
        ended = Deployment.objects.get(pk=each.pk)
        assert ended.finished_at is not None
        assert (found.outcome, found.replicas, found.gpu) == (outcome, 0, 0)
        assert found.queued_ms == milliseconds(ended.queued_at)
        assert found.begin_ms == found.end_ms == milliseconds(ended.finished_at)
        assert (found.username, found.cluster) == ("dev", pool.name)


def test_the_record_outlives_cluster_deployment_and_user(
    pool: Cluster, dev: User, testbed: Testbed
):
    ran, runs = (create_deployment(dev, pool.pk, SPEC).deployment for _ in range(2))
    run_cycle(pool)
    stop_deployment(dev, Deployment.objects.get(pk=ran.pk))
    delete_cluster(pool, force=True)
    while delete_rows(pool.pk, 100).name == "SOME":
        pass
    assert not Deployment.objects.filter(cluster_id=pool.pk).exists()
    dev.delete()
    for row in (ran, runs):
        [found] = intervals(row)
        assert (found.outcome, found.cluster, found.username) == ("stopped", pool.name, "dev")


def test_an_interval_never_ends_before_it_began(pool: Cluster, dev: User):
    """The database's clock has been put back since."""
    row = create_deployment(dev, pool.pk, SPEC).deployment
    run_cycle(pool)
    later = milliseconds(database_now()) + 3_600_000
    AllocationInterval.objects.update(begin_ms=later)
    stop_deployment(dev, Deployment.objects.get(pk=row.pk))
    assert [(each.begin_ms, each.end_ms) for each in intervals(row)] == [(later, later)]
    assert Deployment.objects.get(pk=row.pk).status == Status.STOPPED
