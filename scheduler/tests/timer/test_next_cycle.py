"""The moment at which a cycle could decide differently, and the cycle that runs then."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import pytest
from django.utils.dateparse import parse_datetime

from accounts.models import User
from clusters.models import Cluster, Preemption, State
from deployments.models import Deployment, PriorityClass, Status
from mlops_platform.api.ids import milliseconds, moment
from mlops_platform.coordination.redis import redis_client
from mlops_platform.database.clock import database_now
from mlops_platform.tests.equipment.workers import StartTimer
from organizations.tests.people import all_at_once
from scheduler import cycle, store
from scheduler.engine import Decision, Plan
from scheduler.models import NextCycle, SchedulingCycle, Trigger
from scheduler.store import next_cycle
from scheduler.tests.api.test_explain import explained
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.tests.timer.test_process import wait_for

pytestmark = pytest.mark.django_db

EXEMPT_S = 45


@pytest.fixture
def cluster(cluster: Cluster) -> Cluster:
    Cluster.objects.update(preempt_exempt_s=EXEMPT_S)
    cluster.refresh_from_db()
    return cluster


def due_at(cluster: Cluster) -> datetime | None:
    return NextCycle.objects.filter(pk=cluster.pk).values_list("due_at", flat=True).first()


def started(cluster: Cluster, row: Deployment, *, ago_s: float) -> datetime:
    """As if the deployment had started so long ago."""
    at = database_now() - timedelta(seconds=ago_s)
    Deployment.objects.filter(pk=row.pk).update(started_at=at)
    return at


def full(cluster: Cluster, submit: Submit) -> Deployment:
    """A LOW deployment that has all GPUs, and runs for a second."""
    row = submit("LOW", gpu=8)
    run_cycle(cluster)
    started(cluster, row, ago_s=1)
    return Deployment.objects.get(pk=row.pk)


def test_it_is_the_end_of_the_exempt_time_of_a_possible_victim(
    cluster: Cluster, submit: Submit
) -> None:
    low = full(cluster, submit)
    assert due_at(cluster) is None  # nothing waits
    submit("HIGH", gpu=1)
    run_cycle(cluster)
    assert low.started_at is not None
    assert due_at(cluster) == low.started_at + timedelta(seconds=EXEMPT_S)


def test_of_several_victims_the_first_one_counts_whose_exempt_time_is_not_over(
    cluster: Cluster, submit: Submit
) -> None:
    rows = [submit("LOW", gpu=2) for _ in range(4)]
    run_cycle(cluster)
    times = [
        started(cluster, row, ago_s=ago_s)
        for row, ago_s in zip(rows, (50, 20, 30, 40), strict=True)
    ]
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    assert due_at(cluster) == times[3] + timedelta(seconds=EXEMPT_S)


def test_it_is_when_a_preemptor_has_waited_for_the_exempt_time_of_one_that_passed_it(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    """As its explanation says."""
    old = submit("LOW", gpu=6)
    run_cycle(cluster)
    started(cluster, old, ago_s=EXEMPT_S + 1)
    Cluster.objects.update(max_preemptions=0)
    high = submit("HIGH", gpu=8)
    run_cycle(cluster)
    since = database_now() - timedelta(seconds=30)
    Deployment.objects.filter(pk=high.pk).update(queued_at=since)
    submit("LOW", gpu=2)
    run_cycle(cluster)  # it passes, and is exempt for longer
    Cluster.objects.update(max_preemptions=5)
    run_cycle(cluster)
    promised = parse_datetime(explained(dev, high)["earliest_start"])
    assert promised == moment(milliseconds(since) + EXEMPT_S * 1000)
    assert due_at(cluster) == since + timedelta(seconds=EXEMPT_S)


def test_the_exempt_time_of_one_that_is_starting_counts_from_its_admission(
    cluster: Cluster, submit: Submit
) -> None:
    low = full(cluster, submit)
    admitted_at = database_now()
    Deployment.objects.filter(pk=low.pk).update(
        status=Status.STARTING, started_at=None, admitted_at=admitted_at
    )
    submit("HIGH", gpu=1)
    run_cycle(cluster)
    assert due_at(cluster) == admitted_at + timedelta(seconds=EXEMPT_S)


def never(cluster: Cluster, _: Deployment) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(preemption=Preemption.NEVER)


def paused(cluster: Cluster, _: Deployment) -> None:
    Cluster.objects.filter(pk=cluster.pk).update(state=State.PAUSED)


def protected(_: Cluster, __: Deployment) -> None:
    PriorityClass.objects.filter(name="LOW").update(preemptible=False)


def peaceful(_: Cluster, __: Deployment) -> None:
    PriorityClass.objects.filter(name="HIGH").update(may_preempt=False)


def equal(_: Cluster, low: Deployment) -> None:
    low.priority_class = PriorityClass.objects.get(name="HIGH")
    low.save()


def often_evicted(cluster: Cluster, low: Deployment) -> None:
    low.preemption_count = cluster.max_preemptions
    low.save()


def long_past(cluster: Cluster, low: Deployment) -> None:
    started(cluster, low, ago_s=EXEMPT_S + 1)


@pytest.mark.parametrize(
    "change", [never, paused, protected, peaceful, equal, often_evicted, long_past]
)
def test_there_is_none_where_waiting_makes_no_victim(
    cluster: Cluster, submit: Submit, change: Callable[[Cluster, Deployment], None]
) -> None:
    low = full(cluster, submit)
    submit("HIGH", gpu=1)
    change(cluster, low)
    run_cycle(cluster)
    assert due_at(cluster) is None


def test_it_is_found_as_well_for_what_a_long_queue_leaves_unread(
    cluster: Cluster, submit: Submit
) -> None:
    low = full(cluster, submit)
    for number in range(20):
        submit("LOW", gpu=8 - number % 8)
    submit("HIGH", gpu=8)
    outcome = run_cycle(cluster)
    assert low.id not in {each.id for each in outcome.snapshot.running}
    assert low.started_at is not None
    assert due_at(cluster) == low.started_at + timedelta(seconds=EXEMPT_S)


def test_the_cycle_at_that_moment_starts_what_waited_and_leaves_no_moment(
    cluster: Cluster, submit: Submit
) -> None:
    low = full(cluster, submit)
    high = submit("HIGH", gpu=8)
    run_cycle(cluster)
    assert next_cycle.claim_due() == []
    started(cluster, low, ago_s=EXEMPT_S)
    NextCycle.objects.update(due_at=database_now())
    assert next_cycle.claim_due() == [cluster.pk]
    assert next_cycle.claim_due() == []
    assert cycle.run(cluster.pk, Trigger.TIMER) is not None
    high.refresh_from_db()
    assert high.status == Status.RUNNING
    assert due_at(cluster) is None


def test_a_moment_whose_cycle_never_ran_comes_again(cluster: Cluster, submit: Submit) -> None:
    full(cluster, submit)
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    NextCycle.objects.update(due_at=database_now())
    assert next_cycle.claim_due() == [cluster.pk]
    assert next_cycle.claim_due() == []
    [claim] = redis_client().keys(f"cluster:{cluster.pk}:moment:*")
    assert 0 < redis_client().pttl(claim) <= next_cycle.AGAIN_S * 1000
    redis_client().delete(claim)  # as when it has expired
    assert next_cycle.claim_due() == [cluster.pk]


def test_a_moment_that_has_become_void_costs_one_cycle(cluster: Cluster, submit: Submit) -> None:
    full(cluster, submit)
    high = submit("HIGH", gpu=8)
    run_cycle(cluster)
    Deployment.objects.filter(pk=high.pk).update(status=Status.STOPPED)
    run_cycle(cluster)
    assert due_at(cluster) is not None
    NextCycle.objects.update(due_at=database_now())
    next_cycle.claim_due()
    cycle.run(cluster.pk, Trigger.TIMER)
    assert due_at(cluster) is None


def test_exempt_times_that_end_one_after_another_are_looked_at_together(
    cluster: Cluster, submit: Submit
) -> None:
    low = full(cluster, submit)
    submit("HIGH", gpu=8)
    snapshot = run_cycle(cluster).snapshot
    assert low.started_at is not None
    shortly_before = low.started_at + timedelta(seconds=EXEMPT_S, milliseconds=-50)
    snapshot = replace(snapshot, now_ms=milliseconds(shortly_before))
    next_cycle.note(snapshot, Plan(), is_due=True)
    apart = timedelta(milliseconds=next_cycle.APART_MS)
    assert due_at(cluster) == moment(snapshot.now_ms) + apart


def test_a_cluster_without_exempt_time_pays_nothing(
    cluster: Cluster, submit: Submit, django_assert_num_queries
) -> None:
    full(cluster, submit)
    submit("HIGH", gpu=8)
    snapshot = run_cycle(cluster).snapshot
    with django_assert_num_queries(1):
        next_cycle.note(snapshot, Plan(), is_due=False)
    Cluster.objects.update(preempt_exempt_s=0)
    snapshot = run_cycle(cluster).snapshot
    with django_assert_num_queries(0):
        next_cycle.note(snapshot, Plan(), is_due=False)


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_of_many_timers_at_once_each_moment_is_one_timers(cluster: Cluster, submit: Submit) -> None:
    NextCycle.objects.create(cluster=cluster, due_at=database_now())
    claimed = all_at_once(*[partial(next_cycle.claim_due) for _ in range(6)])
    assert [id_ for each in claimed for id_ in each] == [cluster.pk]


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_a_claim_refuses_no_plan_of_a_cycle_under_way(
    cluster: Cluster, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    full(cluster, submit)
    submit("HIGH", gpu=1)
    run_cycle(cluster)
    NextCycle.objects.update(due_at=database_now() - timedelta(seconds=1))
    claimed: list[list[UUID]] = []

    def read(cluster_id: UUID, decide: store.Decide) -> Decision:
        decision = store.read_and_decide(cluster_id, decide)
        claimed.extend(all_at_once(next_cycle.claim_due))
        return decision

    assert cycle.run(cluster.pk, Trigger.SUBMITTED, read=read) is not None
    assert claimed == [[cluster.pk]]
    assert "plan refused" not in caplog.text
    now_due = due_at(cluster)
    assert now_due is not None
    assert now_due > database_now()


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_a_deployment_runs_when_the_exempt_time_of_its_victim_is_over(
    cluster: Cluster,
    submit: Submit,
    start_timer: StartTimer,
    start_worker: Callable[..., object],
) -> None:
    Cluster.objects.update(preempt_exempt_s=6)
    start_worker(concurrency=1)
    start_timer()
    low = submit("LOW", gpu=8)
    wait_for(lambda: status(low) == Status.RUNNING)
    high = submit("HIGH", gpu=8)
    wait_for(lambda: status(high) == Status.RUNNING)
    low.refresh_from_db()
    high.refresh_from_db()
    assert low.admitted_at is not None
    assert high.started_at is not None
    took_s = (high.started_at - low.admitted_at).total_seconds()
    assert 6 <= took_s <= 20  # a sweep looks after 60 seconds
    answered = SchedulingCycle.objects.filter(started_count=1).order_by("started_at").last()
    assert answered is not None
    assert answered.trigger == Trigger.TIMER


def status(row: Deployment) -> str:
    return Deployment.objects.values_list("status", flat=True).get(pk=row.pk)
