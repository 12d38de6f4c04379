"""Deployments that wait for time limits instead of preempting: in cycles, reasons and answers."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils.dateparse import parse_datetime

from accounts.models import User
from clusters.models import Cluster, Queueing, Runtime
from deployments.models import Deployment, Status
from mlops_platform.api.ids import milliseconds, moment
from mlops_platform.database.clock import database_now
from mlops_platform.tests.equipment.workers import StartTimer
from organizations.tests.people import client_for
from scheduler import replay
from scheduler.engine.snapshot import Running
from scheduler.models import NextCycle, SchedulingCycle
from scheduler.store import snapshot_reader
from scheduler.tests.api.test_explain import explained
from scheduler.tests.api.test_quote import body, quoted
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.tests.timer.test_process import wait_for

pytestmark = pytest.mark.django_db

DELAY_S, LIMIT_S = 60, 30


@pytest.fixture
def cluster(cluster: Cluster) -> Cluster:
    Cluster.objects.update(preemption_delay_s=DELAY_S)
    cluster.refresh_from_db()
    return cluster


@pytest.fixture
def full(cluster: Cluster, submit: Submit) -> tuple[Deployment, Deployment]:
    """A LOW deployment that has run for three days on four of the eight GPUs, and a HIGH one on the
    others that its time limit ends in 30 s."""
    low, high = submit("LOW", gpu=4), submit("HIGH", gpu=4, max_runtime_s=LIMIT_S)
    run_cycle(cluster)
    since = database_now() - timedelta(days=3)
    Deployment.objects.filter(pk=low.pk).update(started_at=since)
    low.refresh_from_db()
    high.refresh_from_db()
    return low, high


def in_ms(at: datetime) -> datetime:
    return moment(milliseconds(at))


def status(row: Deployment) -> str:
    return Deployment.objects.values_list("status", flat=True).get(pk=row.pk)


def due_at(cluster: Cluster) -> datetime:
    return NextCycle.objects.values_list("due_at", flat=True).get(pk=cluster.pk)


def test_it_waits_and_says_for_which_end(
    cluster: Cluster, submit: Submit, dev: User, full: tuple[Deployment, Deployment]
) -> None:
    low, ending = full
    waits = submit("HIGH", gpu=4)
    plan = run_cycle(cluster).plan
    assert (plan.starts, plan.evictions) == ((), ())
    assert ending.started_at is not None
    end = in_ms(ending.started_at + timedelta(seconds=LIMIT_S))
    assert due_at(cluster) == end
    reason = client_for(dev).get(f"/api/deployments/{waits.pk}").json()["reason"]
    assert reason["code"] == "INSUFFICIENT_CAPACITY"
    assert reason["details"]["delayed"] == {
        "after": str(ending.pk),
        "after_name": "busybox",
        "after_owner": "dev",
        "at": end.isoformat(),
    }
    assert "waits for busybox of dev to end, by its time limit" in reason["message"]
    assert "(preemption_delay_s)" in reason["message"]
    answer = explained(dev, waits)
    assert parse_datetime(answer["earliest_start"]) == end
    [spared] = [s for s in answer["preemption"]["spared"] if s["cause"] == "PREEMPTION_DELAY"]
    assert [each["deployment_id"] for each in spared["deployments"]] == [str(low.pk)]
    waits.refresh_from_db()
    deadline = in_ms(waits.queued_at) + timedelta(seconds=DELAY_S)
    assert parse_datetime(spared["until"]) == deadline


def test_a_quote_says_that_it_waits_and_until_when(
    cluster: Cluster, dev: User, full: tuple[Deployment, Deployment]
) -> None:
    _, ending = full
    answer = quoted(dev, body(cluster, priority="HIGH", required_gpu=4))
    assert ending.started_at is not None
    end = in_ms(ending.started_at + timedelta(seconds=LIMIT_S))
    assert (answer["outcome"], answer["preempts"]) == ("WAITS", [])
    assert parse_datetime(answer["earliest_start"]) == end
    assert "instead of preempting (preemption_delay_s)" in answer["reason"]["message"]


def test_a_limit_that_is_raised_leads_to_the_preemption_at_once(
    cluster: Cluster, submit: Submit, full: tuple[Deployment, Deployment]
) -> None:
    low, ending = full
    waits = submit("HIGH", gpu=4)
    run_cycle(cluster)
    Deployment.objects.filter(pk=ending.pk).update(max_runtime_s=3600)
    plan = run_cycle(cluster).plan
    assert [each.workload_id for each in plan.evictions] == [str(low.pk)]
    assert status(waits) == Status.RUNNING
    assert not NextCycle.objects.filter(pk=cluster.pk, due_at__lt=database_now()).exists()


def test_a_cycle_that_changed_the_reason_replays_bit_for_bit(
    cluster: Cluster, submit: Submit, full: tuple[Deployment, Deployment]
) -> None:
    submit("HIGH", gpu=4)
    run_cycle(cluster)
    recorded = SchedulingCycle.objects.order_by("started_at").last()
    assert recorded is not None
    assert replay.replay(recorded).verdict is replay.Verdict.SAME


def running_of(cluster: Cluster) -> dict[str, Running]:
    snapshot = snapshot_reader.read_and_decide(cluster.pk).snapshot
    return {each.id: each for each in snapshot.running}


def test_what_is_stopping_counts_as_ending_and_is_no_victim(
    cluster: Cluster, submit: Submit, full: tuple[Deployment, Deployment]
) -> None:
    """A container may take its grace to end: meanwhile nothing else is evicted for its place."""
    low, ending = full
    stop_by = database_now() + timedelta(seconds=20)
    Deployment.objects.filter(pk=ending.pk).update(
        status=Status.STOPPING, next_status=Status.FAILED, stop_by=stop_by, due_at=None
    )
    waits = submit("HIGH", gpu=4)
    assert running_of(cluster)[str(ending.pk)].stopping
    plan = run_cycle(cluster).plan
    assert plan.evictions == ()
    assert due_at(cluster) == in_ms(stop_by)
    Deployment.objects.filter(pk=ending.pk).update(stop_by=stop_by + timedelta(seconds=DELAY_S))
    plan = run_cycle(cluster).plan
    assert [each.workload_id for each in plan.evictions] == [str(low.pk)]
    assert status(waits) == Status.RUNNING


def test_in_a_real_cluster_an_end_is_not_expected_before_the_grace_is_over(
    cluster: Cluster, submit: Submit, full: tuple[Deployment, Deployment]
) -> None:
    _, ending = full
    submit("HIGH", gpu=4)
    assert ending.started_at is not None
    end = milliseconds(ending.started_at) + LIMIT_S * 1000
    assert running_of(cluster)[str(ending.pk)].ends_ms == end
    Cluster.objects.update(runtime=Runtime.DOCKER)
    assert running_of(cluster)[str(ending.pk)].ends_ms == end + ending.grace_s * 1000
    Cluster.objects.update(preemption_delay_s=0, queueing=Queueing.EASY_BACKFILL)
    assert running_of(cluster)[str(ending.pk)].ends_ms == end


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_with_real_workers_it_runs_once_the_limit_has_ended_the_other(
    cluster: Cluster,
    submit: Submit,
    start_timer: StartTimer,
    start_worker: Callable[..., object],
) -> None:
    start_worker(concurrency=1)
    start_timer()
    low = submit("LOW", gpu=4)
    ending = submit("HIGH", gpu=4, max_runtime_s=6)
    wait_for(lambda: (status(low), status(ending)) == (Status.RUNNING, Status.RUNNING))
    waits = submit("HIGH", gpu=4)
    wait_for(lambda: status(waits) == Status.RUNNING)
    assert status(ending) == Status.FAILED
    assert status(low) == Status.RUNNING
    low.refresh_from_db()
    assert low.preemption_count == 0


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_with_real_workers_it_preempts_at_its_deadline_where_what_was_to_end_does_not(
    cluster: Cluster,
    submit: Submit,
    start_timer: StartTimer,
    start_worker: Callable[..., object],
) -> None:
    """Its cycle comes though nothing else happens. What stops for ever stands for an endpoint that
    does not answer."""
    Cluster.objects.update(preemption_delay_s=5)
    low, stuck = submit("LOW", gpu=4), submit("HIGH", gpu=4)
    run_cycle(cluster)
    begun = database_now()
    Deployment.objects.filter(pk=stuck.pk).update(
        status=Status.STOPPING, next_status=Status.FAILED, stop_by=begun, stop_told_at=begun
    )
    start_worker(concurrency=1)
    start_timer()
    waits = submit("HIGH", gpu=4)
    wait_for(lambda: status(waits) == Status.RUNNING)
    waits.refresh_from_db()
    assert waits.started_at is not None
    waited_s = (waits.started_at - waits.queued_at).total_seconds()
    assert 5 <= waited_s <= 30  # a sweep looks after 60 seconds
    assert status(low) == Status.QUEUED
