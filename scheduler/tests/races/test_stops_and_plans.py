"""Calls that come while a plan is made: none waits for it, and the plan that is applied takes
account of them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest
from django.db import connection, transaction

from accounts.models import User
from clusters.models import Cluster
from clusters.services.clusters import pause, resume
from deployments.models import Deployment, Status
from deployments.services.stop import stop, stop_deployment
from scheduler import audit, cycle
from scheduler.engine import Decision, decide, make_plan
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle, Trigger
from scheduler.tests.conftest import Submit

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]

AT_ONCE_S = 1.0  # on a busy machine; a plan is kept back for longer
KEPT_BACK_S = 30.0


class Planner:
    """Keeps its first decision back until it is let go."""

    def __init__(self) -> None:
        self.is_planning, self.may_go = Event(), Event()
        self.plans = 0

    def __call__(self, view: ClusterView) -> Decision:
        self.plans += 1
        decision = decide(view)
        if self.plans == 1:
            self.is_planning.set()
            assert self.may_go.wait(KEPT_BACK_S)
        return decision


Outcome = Future[cycle.CycleResult | None]


@contextmanager
def cycle_under_way(cluster: Cluster) -> Iterator[tuple[Planner, Outcome]]:
    """A cycle in a thread of its own, which has read the tables and plans for long."""
    planner = Planner()

    def run() -> cycle.CycleResult | None:
        try:
            return cycle.run(cluster.pk, Trigger.SUBMITTED, decide=planner)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(run)
        assert planner.is_planning.wait(KEPT_BACK_S)
        try:
            yield planner, outcome
        finally:
            planner.may_go.set()


def seconds(act: Callable[[], object]) -> float:
    began = time.monotonic()
    act()
    return time.monotonic() - began


@pytest.fixture
def running(cluster: Cluster, submit: Submit) -> Deployment:
    row = submit("LOW", gpu=8)
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    row.refresh_from_db()
    assert row.status == Status.RUNNING
    return row


def statuses(*rows: Deployment) -> list[str]:
    for row in rows:
        row.refresh_from_db()
    return [row.status for row in rows]


def assert_in_order(cluster: Cluster) -> None:
    assert audit.breaches() == []
    for row in SchedulingCycle.objects.filter(cluster=cluster):
        assert make_plan(decode_snapshot(bytes(row.snapshot))) == decode_plan(bytes(row.plan))


def test_a_stop_of_a_running_one_is_answered_at_once_and_spares_it_as_a_victim(
    cluster: Cluster, submit: Submit, running: Deployment, dev: User
) -> None:
    urgent = submit("HIGH", gpu=8)
    with cycle_under_way(cluster) as (planner, outcome):
        assert seconds(lambda: stop_deployment(dev, running)) < AT_ONCE_S
        assert statuses(running, urgent) == [Status.STOPPED, Status.QUEUED]
        planner.may_go.set()
        result = outcome.result(KEPT_BACK_S)
    assert planner.plans == 2
    assert result is not None
    assert result.plan.evictions == ()  # the first plan would have evicted it
    assert statuses(running, urgent) == [Status.STOPPED, Status.RUNNING]
    assert_in_order(cluster)


def test_a_stop_of_a_queued_one_is_answered_at_once_and_it_never_starts(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    leaving, other = submit("LOW", gpu=4), submit("LOW", gpu=8)
    with cycle_under_way(cluster) as (planner, outcome):
        assert seconds(lambda: stop_deployment(dev, leaving)) < AT_ONCE_S
        planner.may_go.set()
        outcome.result(KEPT_BACK_S)
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    assert statuses(leaving, other) == [Status.STOPPED, Status.RUNNING]
    assert_in_order(cluster)


def test_a_bulk_stop_a_submit_and_a_pause_wait_for_no_plan(
    cluster: Cluster, submit: Submit, running: Deployment, dev: User
) -> None:
    waiting = [submit("HIGH", gpu=1) for _ in range(3)]
    with cycle_under_way(cluster) as (planner, outcome):
        assert seconds(lambda: submit("LOW", gpu=1)) < AT_ONCE_S
        assert seconds(lambda: stop([running.pk, waiting[0].pk], dev)) < AT_ONCE_S
        assert seconds(lambda: pause(cluster)) < AT_ONCE_S
        planner.may_go.set()
        result = outcome.result(KEPT_BACK_S)
    assert result is not None
    assert result.plan.starts == ()  # nothing starts in a cluster that is paused by then
    assert statuses(running, *waiting) == [Status.STOPPED, Status.STOPPED, "QUEUED", "QUEUED"]
    assert_in_order(cluster)


def test_a_cycle_under_which_all_keeps_changing_plans_under_the_lock_at_last_in_few_steps(
    cluster: Cluster, submit: Submit, running: Deployment
) -> None:
    urgent = submit("HIGH", gpu=8)
    locked: list[bool] = []

    def changing(view: ClusterView) -> Decision:
        """Decides after another connection has changed the cluster, if it could."""
        with ThreadPoolExecutor(1) as pool:
            locked.append(not pool.submit(_change, cluster).result())
        return decide(view)

    result = cycle.run(cluster.pk, Trigger.SUBMITTED, decide=changing)
    assert locked == [False] * (cycle.ATTEMPTS - 1) + [True]
    assert result is not None
    assert result.snapshot.most_steps == cycle.STEPS_UNDER_LOCK
    assert statuses(urgent, running) == [Status.RUNNING, Status.QUEUED]
    assert_in_order(cluster)


def _change(cluster: Cluster) -> bool:
    """Pause and resume the cluster, on a connection of its own; False where its row is locked."""
    try:
        with transaction.atomic():
            free = Cluster.objects.select_for_update(no_key=True, skip_locked=True)
            if not free.filter(pk=cluster.pk).exists():
                return False
            pause(cluster)
            resume(cluster)
            return True
    finally:
        connection.close()
