"""Limits of sweeps from the tables to the tables: snapshots, cycles and reasons."""

from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, Status, Sweep, WaitReason
from deployments.reasons.reader import reasons_for
from deployments.services.stop import stop_one
from deployments.services.sweeps.steer import change_sweep
from deployments.tests.api.sweeps.sweeping import members, swept
from deployments.tests.workloads import make
from organizations.tests.people import client_for
from scheduler import audit, replay
from scheduler.models import SchedulingCycle
from scheduler.store import read_and_decide
from scheduler.store.queue.relevant import LIMITS, Limits
from scheduler.tests.conftest import run_cycle

pytestmark = pytest.mark.django_db
PARTS = pytest.mark.parametrize("limits", [LIMITS, Limits(short=0)])


def statuses(sweep: Sweep) -> list[str]:
    return [row.status for row in members(sweep)]


def of(status: str, sweep: Sweep) -> int:
    return statuses(sweep).count(status)


def test_as_many_run_as_may_and_the_next_starts_when_one_ends(cluster: Cluster, dev: User) -> None:
    sweep = swept(dev, cluster, 5, max_parallel=2)
    run_cycle(cluster)
    assert statuses(sweep) == ["RUNNING", "RUNNING", "QUEUED", "QUEUED", "QUEUED"]
    run_cycle(cluster)
    assert of("RUNNING", sweep) == 2
    stop_one(members(sweep)[0], dev)
    run_cycle(cluster)
    assert statuses(sweep) == ["STOPPED", "RUNNING", "RUNNING", "QUEUED", "QUEUED"]
    assert audit.breaches(queues_too=True) == []
    for row in SchedulingCycle.objects.filter(cluster=cluster):
        assert replay.replay(row).verdict is replay.Verdict.SAME


def test_a_higher_limit_starts_more_and_a_lower_one_stops_none(cluster: Cluster, dev: User) -> None:
    sweep = swept(dev, cluster, 6, max_parallel=1)
    run_cycle(cluster)
    change_sweep(sweep, {"max_parallel": 3})
    run_cycle(cluster)
    assert of("RUNNING", sweep) == 3
    change_sweep(sweep, {"max_parallel": 1})
    run_cycle(cluster)
    assert of("RUNNING", sweep) == 3
    for row in members(sweep)[:2]:
        stop_one(row, dev)
    run_cycle(cluster)
    assert (of("RUNNING", sweep), of("QUEUED", sweep)) == (1, 3)
    change_sweep(sweep, {"max_parallel": None})
    run_cycle(cluster)
    assert of("RUNNING", sweep) == 4


def test_one_row_says_why_all_members_wait(cluster: Cluster, dev: User) -> None:
    sweep = swept(dev, cluster, 30, max_parallel=4)
    run_cycle(cluster)
    assert WaitReason.objects.filter(cluster=cluster).count() == 1
    last = Deployment.objects.select_related("priority_class").get(pk=members(sweep)[-1].pk)
    reason = reasons_for([last])[last.pk]
    assert reason is not None
    assert reason["code"] == "SWEEP_LIMIT"
    assert reason["message"] == (
        "4 of its sweep's 4 that may run at once do; the next starts when one ends."
    )
    assert reason["details"] == {
        "sweep": str(sweep.pk),
        "max_parallel": 4,
        "allocated": 4,
    }


@PARTS
def test_a_cycle_reads_of_a_sweep_what_may_start(
    cluster: Cluster, dev: User, limits: Limits
) -> None:
    """The head of the key, and as many behind it as its limit leaves."""
    swept(dev, cluster, 30, max_parallel=2)
    snapshot = read_and_decide(cluster.pk, limits=limits).snapshot
    assert [(each.limit, each.allocated) for each in snapshot.sweeps] == [(2, 0)]
    assert len(snapshot.queued) == 3


@pytest.mark.parametrize("queueing", ["strict", "easy_backfill", "best_effort"])
def test_a_full_sweep_is_no_head_of_the_queue(cluster: Cluster, dev: User, queueing: str) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(queueing=queueing, ordering="fifo")
    sweep = swept(dev, cluster, 12, max_parallel=1)
    others = [make(cluster, dev) for _ in range(3)]
    run_cycle(cluster)
    assert of("RUNNING", sweep) == 1
    found = Deployment.objects.filter(pk__in=[row.pk for row in others])
    assert {row.status for row in found} == {Status.RUNNING}


def test_the_limits_of_two_sweeps_are_their_own(cluster: Cluster, dev: User) -> None:
    first, second = (swept(dev, cluster, 4, max_parallel=n) for n in (1, 2))
    free = swept(dev, cluster, 2)
    run_cycle(cluster)
    assert [of("RUNNING", each) for each in (first, second, free)] == [1, 2, 2]


def test_a_cluster_without_limits_costs_no_query_more(
    cluster: Cluster, dev: User, django_assert_num_queries: Any
) -> None:
    swept(dev, cluster, 1)
    with django_assert_num_queries(5):
        read_and_decide(cluster.pk)
    cluster.refresh_from_db()
    Cluster.objects.filter(pk=cluster.pk).update(has_sweeps=True)
    with django_assert_num_queries(6):
        read_and_decide(cluster.pk)


def test_explain_says_what_keeps_a_member_waiting(cluster: Cluster, dev: User) -> None:
    sweep = swept(dev, cluster, 3, max_parallel=1)
    make(cluster, dev, Status.RUNNING)
    run_cycle(cluster)
    running, waiting, _ = members(sweep)
    answer = client_for(dev).get(f"/api/deployments/{waiting.pk}/explain")
    assert answer.status_code == 200, answer.content
    explained = answer.json()
    assert explained["reason"]["code"] == "SWEEP_LIMIT"
    assert [each["deployment_id"] for each in explained["allocated_to"]] == [str(running.pk)]
    assert explained["starts_now_with"]["after"]["any_one_of"] == [str(running.pk)]
