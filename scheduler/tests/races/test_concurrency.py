"""Real workers, real PostgreSQL, real Redis, many threads: nothing lost, nothing over-committed."""

import os
import re
import signal
import subprocess
from collections.abc import Callable
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models import Sum

from accounts.models import User
from clusters.models import Cluster
from deployments.models import (
    ENDED,
    Deployment,
    DeploymentEvent,
    EventType,
    PriorityClass,
    Status,
)
from mlops_platform.coordination.redis import redis_client
from mlops_platform.database import row_waits
from organizations.models import Organization
from scheduler import audit, store
from scheduler.engine import make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.engine.plan import Plan
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Snapshot
from scheduler.models import SchedulingCycle
from scheduler.tests.races.storm import Sampler, Storm, end_what_is_due, meanwhile, settle

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]

StartWorker = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(autouse=True)
def many_threads_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A storm's threads are those of several processes."""
    monkeypatch.setattr(row_waits, "MOST_PATIENT", 100)


@pytest.fixture
def clusters(transactional_db: None, org: Organization) -> list[Cluster]:
    """Three that differ in policy, in an installation with a class between LOW and HIGH."""
    PriorityClass.objects.create(name="MID", value=500)
    policies: list[dict[str, object]] = [
        {"name": "best effort"},
        {"name": "strict", "queueing": "strict"},
        {"name": "fifo", "ordering": "fifo"},
    ]
    return [
        Cluster.objects.create(
            organization=org,
            total_cpu_milli=48_000,
            total_ram_mib=192 * 1024,
            total_gpu=12,
            **policy,
        )
        for policy in policies
    ]


def test_a_storm_leaves_everything_in_order(
    clusters: list[Cluster], dev: User, start_worker: StartWorker
) -> None:
    start_worker(concurrency=2)
    start_worker(concurrency=2)
    storm, sampler = Storm(dev, clusters, actions=2000, threads=6), Sampler()
    with meanwhile(end_what_is_due, every_s=0.2), meanwhile(sampler.look, every_s=0.005):
        storm.blow()
        settle()
    assert sampler.looks > 100
    assert sampler.seen == []
    assert_all_in_order(clusters, storm)


def test_a_killed_worker_and_an_emptied_redis_lose_nothing(
    clusters: list[Cluster], dev: User, start_worker: StartWorker
) -> None:
    doomed = start_worker(concurrency=2)
    start_worker(concurrency=2)
    storm, sampler = Storm(dev, clusters, actions=600, threads=4), Sampler()

    def disaster() -> None:
        if storm.done >= 200 and doomed.poll() is None:
            os.killpg(doomed.pid, signal.SIGKILL)
            doomed.wait()
            redis_client().flushdb()

    with meanwhile(end_what_is_due, every_s=0.2), meanwhile(sampler.look, every_s=0.005):
        with meanwhile(disaster, every_s=0.01):
            storm.blow()
        redis_client().flushdb()
        start_worker(concurrency=2)
        settle()
    assert doomed.returncode == -signal.SIGKILL
    assert sampler.seen == []
    assert_all_in_order(clusters, storm)


# --- What must hold afterwards ---------------------------------------------------------------


def assert_all_in_order(clusters: list[Cluster], storm: Storm) -> None:
    assert audit.breaches(queues_too=True) == []
    assert_nobody_is_lost(storm)
    assert_every_timeline_is_whole()
    for cluster in clusters:
        assert_nothing_is_left_to_do(cluster)
    assert_the_ledger_replays_and_no_equal_yields()


def assert_nobody_is_lost(storm: Storm) -> None:
    status = dict(Deployment.objects.values_list("pk", "status"))
    assert len(storm.submitted) == len(set(storm.submitted))
    assert set(status) == set(storm.submitted)
    assert {status[key] for key in storm.stopped} <= set(ENDED)
    assert set(status.values()) >= {Status.QUEUED, Status.RUNNING, Status.STOPPED, Status.COMPLETED}


_LETTERS = {
    EventType.SUBMITTED: "s",
    EventType.STARTED: "r",
    EventType.PREEMPTED: "p",
    EventType.COMPLETED: "e",
    EventType.FAILED: "e",
    EventType.STOPPED: "e",
    EventType.CHANGED: "",
}


def assert_every_timeline_is_whole() -> None:
    """Submitted, then started and preempted in turn, ended once at most, and as the row says."""
    lines: dict[UUID, str] = dict.fromkeys(Deployment.objects.values_list("pk", flat=True), "")
    events = DeploymentEvent.objects.order_by("deployment", "id")
    for key, kind in events.values_list("deployment", "type"):
        lines[key] += _LETTERS[EventType(kind)]
    for row in Deployment.objects.all():
        line = lines[row.pk]
        assert re.fullmatch(r"s(rp)*r?e?", line), line
        assert line.count("p") == row.preemption_count
        assert (line[-1] == "e") == (row.status in ENDED)
        assert (line[-1] == "r") == (row.status == Status.RUNNING)


def assert_nothing_is_left_to_do(cluster: Cluster) -> None:
    cluster.refresh_from_db()
    with transaction.atomic():
        plan = store.read_and_decide(cluster.pk).plan()
    assert (plan.starts, plan.evictions) == ((), ())
    if cluster.queueing == "best_effort":
        free = Resources(cluster.free_cpu_milli, cluster.free_ram_mib, cluster.free_gpu)
        ready = Deployment.objects.filter(status=Status.QUEUED, pending_dependencies=0)
        for row in ready.filter(cluster=cluster):
            need = Resources(row.cpu_milli, row.ram_mib, row.gpu).times(row.replicas)
            assert not need.fits_in(free), f"{row.pk} fits and was left waiting"


def assert_the_ledger_replays_and_no_equal_yields() -> None:
    evictions = 0
    for cycle in SchedulingCycle.objects.iterator():
        snapshot, plan = decode_snapshot(bytes(cycle.snapshot)), decode_plan(bytes(cycle.plan))
        assert make_plan(snapshot) == plan
        evictions += _assert_only_the_lower_yield(snapshot, plan)
    counted = Deployment.objects.aggregate(Sum("preemption_count"))["preemption_count__sum"]
    assert evictions == counted > 0


def _assert_only_the_lower_yield(snapshot: Snapshot, plan: Plan) -> int:
    value = {each.name: each.value for each in snapshot.classes}
    urgency = {waiting.id: value[waiting.priority] for waiting in snapshot.queued}
    urgency |= {running.id: value[running.priority] for running in snapshot.running}
    for eviction in plan.evictions:
        assert eviction.by is not None
        assert urgency[eviction.workload_id] < urgency[eviction.by]
        assert urgency[eviction.by] > value["LOW"]
    return len(plan.evictions)
