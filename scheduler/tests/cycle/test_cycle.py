"""A cycle on the real tables: what starts, what is evicted, what each row says afterwards."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django.fixtures import DjangoAssertNumQueries
from uuid_utils.compat import uuid7

from clusters.models import Cluster, State
from deployments import redis_queues
from deployments.models import Deployment, EventType, Status, WaitReason
from deployments.reasons.reader import reasons_for
from deployments.services.stop import stop_deployment
from scheduler import audit, cycle, store
from scheduler.engine import Decision, make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle, Trigger
from scheduler.store.queue.relevant import LIMITS
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


def fresh(deployment: Deployment) -> Deployment:
    return Deployment.objects.select_related("cluster", "priority_class").get(pk=deployment.pk)


def reason_of(deployment: Deployment) -> dict[str, Any]:
    """Why the deployment waits."""
    reason = reasons_for([fresh(deployment)])[deployment.pk]
    assert reason is not None
    return reason


def types_of(deployment: Deployment) -> list[str]:
    return list(deployment.events.order_by("id").values_list("type", flat=True))


def test_what_fits_runs_and_is_counted(cluster: Cluster, submit: Submit) -> None:
    row = submit("LOW", gpu=2, cpu=4, simulated_runtime_s=60, max_runtime_s=90)
    run_cycle(cluster)
    row = fresh(row)
    assert row.status == Status.RUNNING
    assert row.started_at is not None
    assert row.due_at == row.started_at + timedelta(seconds=60)
    assert row.placement == [{"node_id": None, "node": None, "replicas": 1}]
    assert types_of(row) == [EventType.SUBMITTED, EventType.STARTED]
    assert (row.cluster.allocated_cpu_milli, row.cluster.allocated_gpu) == (4000, 2)
    assert row.cluster.evaluated_at is not None
    assert audit.breaches() == []


def test_high_preempts_low_and_low_keeps_its_place(cluster: Cluster, submit: Submit) -> None:
    low = submit("LOW", gpu=8)
    run_cycle(cluster)
    low_2 = submit("LOW", gpu=8)
    high = submit("HIGH", gpu=4)
    run_cycle(cluster)
    submitted, low, high = low.created_at, fresh(low), fresh(high)
    assert high.status == Status.RUNNING
    assert low.status == Status.QUEUED
    assert (low.preemption_count, low.retry_count) == (1, 0)
    assert low.created_at == submitted
    assert (low.started_at, low.placement, low.due_at) == (None, [], None)
    assert low.reason_code == "PREEMPTED"
    assert low.reason_details["by"] == str(high.pk)
    assert types_of(low) == [EventType.SUBMITTED, EventType.STARTED, EventType.PREEMPTED]
    assert high.cluster.allocated_gpu == 4

    assert redis_queues.positions(
        [(cluster.pk, "LOW", low.pk), (cluster.pk, "LOW", low_2.pk)], ["HIGH", "LOW"]
    ) == [1, 2]
    assert audit.breaches() == []


def test_a_preemptor_that_is_stopped_gives_its_capacity_back(
    cluster: Cluster, submit: Submit
) -> None:
    low = submit("LOW", gpu=8)
    run_cycle(cluster)
    high = submit("HIGH", gpu=8)
    run_cycle(cluster)
    stop_deployment(high.owner, fresh(high))
    run_cycle(cluster)
    assert fresh(low).status == Status.RUNNING
    assert fresh(low).created_at == low.created_at
    assert audit.breaches() == []


def test_a_scheduling_key_has_one_wait_reason_for_all(cluster: Cluster, submit: Submit) -> None:
    submit("LOW", gpu=7)
    for _ in range(3):
        submit("LOW", gpu=4)
    run_cycle(cluster)
    (reason,) = WaitReason.objects.all()
    assert reason.code == "INSUFFICIENT_CAPACITY"
    assert reason.details["short"] == {"gpu": 3}


def test_a_deployment_that_no_cycle_reads_has_a_reason_when_asked(
    cluster: Cluster, submit: Submit
) -> None:
    submit("LOW", gpu=8)
    run_cycle(cluster)
    late, never = submit("LOW", gpu=4), submit("HIGH", gpu=9)
    for _ in range(LIMITS.short):  # a shorter queue is read whole
        submit("LOW", gpu=5)
    assert {reason_of(row)["code"] for row in (late, never)} == {"NOT_YET_EVALUATED"}
    run_cycle(cluster)
    assert not WaitReason.objects.exists()
    assert reason_of(never)["code"] == "EXCEEDS_CAPACITY"
    assert reason_of(late)["code"] == "INSUFFICIENT_CAPACITY"
    assert reason_of(late)["details"]["short"] == {"gpu": 4}


def test_under_strict_queueing_all_others_wait_for_the_head(
    cluster: Cluster, submit: Submit
) -> None:
    Cluster.objects.update(queueing="strict")
    submit("LOW", gpu=8)
    run_cycle(cluster)
    first, equal, other = submit("LOW", gpu=4), submit("LOW", gpu=4), submit("LOW", gpu=1)
    run_cycle(cluster)
    assert reason_of(first)["code"] == "INSUFFICIENT_CAPACITY"
    for row in (equal, other):
        assert (reason_of(row)["code"], reason_of(row)["details"]) == (
            "BLOCKED_BY_HEAD",
            {"head": str(first.pk), "head_name": "busybox", "head_owner": "dev"},
        )


def test_a_cycle_that_changes_nothing_leaves_no_ledger_row(
    cluster: Cluster, submit: Submit
) -> None:
    submit("LOW", gpu=8)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    assert SchedulingCycle.objects.count() == 1
    run_cycle(cluster)
    assert SchedulingCycle.objects.count() == 1


def test_the_ledger_replays_bit_for_bit(cluster: Cluster, submit: Submit) -> None:
    submit("LOW", gpu=8)
    run_cycle(cluster)
    submit("HIGH", gpu=3)
    submit("LOW", gpu=3)
    run_cycle(cluster)
    rows = SchedulingCycle.objects.all()
    assert len(rows) == 2
    for row in rows:
        assert make_plan(decode_snapshot(bytes(row.snapshot))) == decode_plan(bytes(row.plan))


def test_the_number_of_queries_does_not_follow_the_queue(
    cluster: Cluster, submit: Submit, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(12):
        submit("LOW", gpu=2)
    # savepoint, cluster, classes, nodes, reservations, whether the queue is short, starved, heads,
    # members, other classes waiting; lock, start, events, count, reasons read, written, ledger,
    # release
    with django_assert_num_queries(18):
        cycle.run(cluster.pk, Trigger.SUBMITTED)
    assert Deployment.objects.filter(status=Status.RUNNING).count() == 4


def test_a_short_queue_takes_one_query(
    cluster: Cluster, submit: Submit, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(LIMITS.short):
        submit("LOW", gpu=2)
    # savepoint, cluster, classes, nodes, reservations, queue; lock, start, events, count, reasons
    # read, written, ledger, release
    with django_assert_num_queries(14):
        cycle.run(cluster.pk, Trigger.SUBMITTED)
    assert Deployment.objects.filter(status=Status.RUNNING).count() == 4


def test_a_paused_cluster_starts_nothing_and_says_so(cluster: Cluster, submit: Submit) -> None:
    Cluster.objects.update(state=State.PAUSED)
    row = submit("HIGH", gpu=1)
    run_cycle(cluster)
    assert fresh(row).status == Status.QUEUED
    assert reason_of(row)["code"] == "CLUSTER_PAUSED"


def test_a_draining_cluster_requeues_what_runs_without_counting_it(
    cluster: Cluster, submit: Submit
) -> None:
    row = submit("HIGH", gpu=1)
    run_cycle(cluster)
    Cluster.objects.update(state=State.DRAINING)
    run_cycle(cluster)
    row = fresh(row)
    assert (row.status, row.reason_code) == (Status.QUEUED, "NODE_DRAINED")
    assert (row.preemption_count, row.retry_count) == (0, 0)
    assert row.cluster.allocated_gpu == 0
    Cluster.objects.update(state=State.ACTIVE)
    run_cycle(cluster)
    assert fresh(row).status == Status.RUNNING
    assert fresh(row).reason_code == ""


@pytest.mark.parametrize(
    "meanwhile",
    [
        {"status": Status.STOPPED},
        {"scheduling_key": "LOW/9000/1024/1x1"},
    ],
    ids=["stopped", "changed"],
)
def test_a_plan_overtaken_by_events_is_refused_whole(
    cluster: Cluster, submit: Submit, meanwhile: dict[str, str]
) -> None:
    """The first deployment changes between plan and apply, each time."""
    first, second = submit("LOW", gpu=1), submit("LOW", gpu=1)

    def read(cluster_id: UUID, decide: store.Decide) -> Decision:
        decision = store.read_and_decide(cluster_id, decide)
        Deployment.objects.filter(pk=first.pk).update(**meanwhile)
        return decision

    with pytest.raises(store.StalePlanError):
        cycle.run(cluster.pk, Trigger.SUBMITTED, read=read)
    cluster.refresh_from_db()
    assert fresh(second).status == Status.QUEUED
    assert cluster.allocated_gpu == 0
    assert SchedulingCycle.objects.count() == 0


def test_a_plan_overtaken_once_is_made_anew(cluster: Cluster, submit: Submit) -> None:
    first, second = submit("LOW", gpu=1), submit("LOW", gpu=1)
    calls = []

    def read(cluster_id: UUID, decide: store.Decide) -> Decision:
        """The first time with a deployment that is gone by then."""
        decision = store.read_and_decide(cluster_id, decide)
        calls.append(decision)
        queued = decision.snapshot.queued
        if len(calls) == 1:
            return decide(decision.view.with_queue((replace(queued[0], id=str(uuid7())), *queued)))
        return decision

    cycle.run(cluster.pk, Trigger.SUBMITTED, read=read)
    assert len(calls) == 2
    assert {fresh(first).status, fresh(second).status} == {Status.RUNNING}
    assert audit.breaches() == []


def test_more_than_a_cycle_may_start_goes_on_in_the_next(
    cluster: Cluster, submit: Submit, settings: object
) -> None:
    settings.SCHEDULER_MAX_STARTS_PER_CYCLE = 2  # type: ignore[attr-defined]  # pytest-django's
    for _ in range(5):
        submit("LOW", gpu=1)
    assert run_cycle(cluster).wants_another
    assert run_cycle(cluster).wants_another
    assert not run_cycle(cluster).wants_another
    assert Deployment.objects.filter(status=Status.RUNNING).count() == 5


def test_a_cluster_that_is_gone_has_no_cycle(cluster: Cluster) -> None:
    key = cluster.pk
    cluster.delete()
    assert cycle.run(key, Trigger.SWEEP) is None


def test_wait_seconds_count_from_the_last_time_it_was_queued(
    cluster: Cluster, submit: Submit
) -> None:
    row = submit("LOW", gpu=1)
    Deployment.objects.filter(pk=row.pk).update(queued_at=timezone.now() - timedelta(seconds=30))
    ((priority, waited_s),) = run_cycle(cluster).waited_s
    assert priority == "LOW"
    assert 30 <= waited_s < 40
