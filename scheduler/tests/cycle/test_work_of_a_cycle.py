"""How often a cycle plans, and derives what its snapshot implies."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter, sleep
from types import FrameType

import pytest
from django.utils import timezone

from clusters.models import Cluster
from deployments.models import Deployment, Status
from scheduler import cycle
from scheduler.engine import Decision, decide
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.leaving import drained
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.reservations.long_running import LongRunning
from scheduler.models import SchedulingCycle, Trigger
from scheduler.store.queue.relevant import LIMITS
from scheduler.tests.conftest import Submit

pytestmark = pytest.mark.django_db

DERIVATIONS = (
    Capacity.__init__,
    drained,
    LongRunning.__init__,
    OwnerUsage.__init__,
)
POLICIES = [
    (queueing, ordering)
    for queueing in ("best_effort", "strict", "easy_backfill")
    for ordering in ("gpu_weighted", "fair_share")
]
each_policy = pytest.mark.parametrize(("queueing", "ordering"), POLICIES)


class Planner:
    """Decides, and remembers of which views."""

    def __init__(self) -> None:
        self.planned: list[ClusterView] = []

    def __call__(self, view: ClusterView) -> Decision:
        self.planned.append(view)
        return decide(view)


@contextmanager
def counted(*functions: Callable[..., object]) -> Iterator[Counter[str]]:
    """How often each of these functions is called, by name, as the interpreter tells."""
    codes = {each.__code__: each.__qualname__ for each in functions}
    calls: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in codes:
            calls[codes[frame.f_code]] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def run(cluster: Cluster) -> tuple[cycle.CycleResult, list[ClusterView]]:
    """One cycle, and the views that it planned."""
    planner = Planner()
    result = cycle.run(cluster.pk, Trigger.SUBMITTED, decide=planner)
    assert result is not None
    return result, planner.planned


def make_late(row: Deployment) -> None:
    queued_at = timezone.now() - timedelta(hours=2)
    Deployment.objects.filter(pk=row.pk).update(queued_at=queued_at)


@each_policy
@pytest.mark.parametrize("waits", ["LOW", "HIGH", "late LOW", "many LOW", "nothing"])
def test_an_idle_cycle_plans_once_and_derives_each_view_once(
    cluster: Cluster, submit: Submit, queueing: str, ordering: str, waits: str
) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(queueing=queueing, ordering=ordering)
    submit("HIGH", gpu=8)
    run(cluster)
    if waits != "nothing":
        for _ in range(LIMITS.short + 1 if waits == "many LOW" else 1):
            row = submit(waits.rsplit(maxsplit=1)[-1], gpu=8)
        if waits == "late LOW":
            make_late(row)
    run(cluster)
    with counted(*DERIVATIONS) as derived:
        result, planned = run(cluster)
    assert not result.plan.starts
    assert not result.plan.evictions
    assert [view.snapshot for view in planned] == [result.snapshot]
    assert derived["Capacity.__init__"] == 1
    assert max(derived.values()) == 1


@each_policy
@pytest.mark.parametrize("behind", [0, LIMITS.short])
def test_a_preemption_plans_once_in_each_of_its_two_cycles(
    cluster: Cluster, submit: Submit, queueing: str, ordering: str, behind: int
) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(queueing=queueing, ordering=ordering)
    submit("LOW", gpu=8)
    run(cluster)
    submit("HIGH", gpu=8)
    for _ in range(behind):
        submit("LOW", gpu=9)
    with counted(*DERIVATIONS) as derived:
        result, planned = run(cluster)
    assert len(result.plan.evictions) == 1
    assert result.wants_another
    assert [view.snapshot for view in planned] == [result.snapshot]
    assert max(derived.values()) == 1
    result, planned = run(cluster)
    assert not result.wants_another
    assert [view.snapshot for view in planned] == [result.snapshot]


def test_an_eviction_that_frees_more_than_it_must_is_planned_twice(
    cluster: Cluster, submit: Submit
) -> None:
    """Only the first plan shows that the waiting LOW fits in the rest."""
    submit("LOW", gpu=8)
    run(cluster)
    submit("HIGH", gpu=4)
    small = submit("LOW", gpu=3)
    for _ in range(LIMITS.short):  # a shorter queue is read whole
        submit("LOW", gpu=8)
    result, planned = run(cluster)
    assert len(planned) == 2
    assert planned[-1].snapshot == result.snapshot
    small.refresh_from_db()
    assert small.status == Status.RUNNING


def test_planning_within_the_reading_counts_as_planning(cluster: Cluster, submit: Submit) -> None:
    submit("LOW", gpu=1)

    def slow(view: ClusterView) -> Decision:
        sleep(0.2)
        return decide(view)

    began = perf_counter()
    result = cycle.run(cluster.pk, Trigger.SUBMITTED, decide=slow)
    took_s = perf_counter() - began
    assert result is not None
    assert result.plan_s >= 0.2
    assert result.load_s + result.plan_s + result.apply_s <= took_s
    row = SchedulingCycle.objects.get()
    assert row.plan_ms == round(result.plan_s * 1000, 3)
    assert row.load_ms == round(result.load_s * 1000, 3)
