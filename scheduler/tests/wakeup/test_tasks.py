"""The tasks: one cycle at a time, no ring lost, and a sweep for what Redis forgot."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from clusters.models import Cluster, State
from deployments.models import Deployment, Status
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop_deployment
from deployments.tests.clock import finish_due
from deployments.tests.interleaving import after_statement
from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client
from scheduler import audit, cycle, wakeup
from scheduler.models import SchedulingCycle, Trigger
from scheduler.store import StalePlanError
from scheduler.tasks import look_for_unanswered, schedule_cluster, sweep
from scheduler.tests.conftest import Submit, messages, run_cycle
from scheduler.wakeup import lock_name

pytestmark = pytest.mark.django_db


def wake_up_and_run(cluster: Cluster, trigger: Trigger = Trigger.SUBMITTED) -> None:
    wakeup.request_cycle(cluster.pk, trigger)
    redis_client().delete("scheduler")  # the message is taken ...
    schedule_cluster(str(cluster.pk))  # ... and its task run here


def status_of(row: Deployment) -> str:
    return Deployment.objects.values_list("status", flat=True).get(pk=row.pk)


def work() -> None:
    """Run the tasks that wait, one after another, as a worker would."""
    for _ in range(10):
        if not redis_client().lpop("scheduler"):
            return
        for cluster_id in Cluster.objects.values_list("pk", flat=True):
            schedule_cluster(str(cluster_id))
    pytest.fail("the tasks do not end")


def backdate(cluster: Cluster, *, looked_s_ago: float = 0) -> None:
    """As if all in the cluster had happened an hour ago, and a cycle had looked so long ago."""
    now, hour = timezone.now(), timedelta(hours=1)
    Deployment.objects.filter(cluster=cluster).update(queued_at=F("queued_at") - hour)
    looked_at = now - timedelta(seconds=looked_s_ago)
    Cluster.objects.filter(pk=cluster.pk).update(changed_at=now - hour, evaluated_at=looked_at)


# --- The task --------------------------------------------------------------------------------


def test_a_task_runs_one_cycle_and_leaves_all_silent(cluster: Cluster, submit: Submit) -> None:
    row = submit("LOW", gpu=1)
    wake_up_and_run(cluster)
    assert status_of(row) == Status.RUNNING
    assert not wakeup.is_flag_set(cluster.pk)
    assert messages() == 0
    assert redis_client().exists(lock_name(cluster.pk)) == 0
    assert SchedulingCycle.objects.get().trigger == Trigger.SUBMITTED


def test_a_task_whose_wakeup_was_answered_already_reads_nothing(
    cluster: Cluster, submit: Submit
) -> None:
    row = submit("LOW", gpu=1)
    schedule_cluster(str(cluster.pk))
    assert status_of(row) == Status.QUEUED
    assert Cluster.objects.get().evaluated_at is None


def test_a_task_that_finds_the_lock_taken_leaves_the_flag(cluster: Cluster, submit: Submit) -> None:
    row = submit("LOW", gpu=1)
    with try_lock(lock_name(cluster.pk)) as locked:
        assert locked
        wake_up_and_run(cluster)
    assert wakeup.is_flag_set(cluster.pk)
    assert status_of(row) == Status.QUEUED
    assert messages() == 0


def test_the_worker_with_the_lock_looks_again_after_unlocking(
    cluster: Cluster, submit: Submit
) -> None:
    """While a cycle runs, a user submits, and another worker finds the lock taken."""
    late: list[Deployment] = []

    def meanwhile() -> None:
        late.append(submit("LOW", gpu=1))
        wake_up_and_run(cluster)

    submit("LOW", gpu=1)
    with after_statement('INSERT INTO "scheduler_schedulingcycle"', meanwhile):
        wake_up_and_run(cluster)
    assert status_of(late[0]) == Status.QUEUED
    assert messages() == 1
    schedule_cluster(str(cluster.pk))
    assert status_of(late[0]) == Status.RUNNING
    assert not wakeup.is_flag_set(cluster.pk)


def test_a_cycle_that_reached_its_limit_asks_for_another(
    cluster: Cluster, submit: Submit, settings: Settings
) -> None:
    settings.SCHEDULER_MAX_STARTS_PER_CYCLE = 2
    for _ in range(3):
        submit("LOW", gpu=1)
    wake_up_and_run(cluster)
    assert Deployment.objects.filter(status=Status.RUNNING).count() == 2
    assert messages() == 1
    assert wakeup.clear_flag(cluster.pk) == Trigger.CONTINUED


def test_a_failed_cycle_gives_the_lock_back_and_the_sweep_asks_again(
    cluster: Cluster, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = submit("LOW", gpu=1)

    def refuse(*_: object) -> None:
        raise StalePlanError("for the test")

    with monkeypatch.context() as patch:
        patch.setattr(cycle, "run", refuse)
        with pytest.raises(StalePlanError):
            wake_up_and_run(cluster)
    assert redis_client().exists(lock_name(cluster.pk)) == 0
    sweep()
    schedule_cluster(str(cluster.pk))
    assert status_of(row) == Status.RUNNING


def test_a_cycle_that_outlives_its_lock_does_not_take_the_next_ones_away(
    cluster: Cluster, submit: Submit
) -> None:
    key = lock_name(cluster.pk)
    submit("LOW", gpu=1)
    with after_statement(
        'INSERT INTO "scheduler_schedulingcycle"',
        lambda: redis_client().set(key, "another worker's"),
    ):
        wake_up_and_run(cluster)
    assert redis_client().get(key) == "another worker's"


# --- The sweep -------------------------------------------------------------------------------


def swept(cluster: Cluster) -> bool:
    sweep()
    return wakeup.is_flag_set(cluster.pk) and messages() > 0


def test_a_quiet_cluster_is_left_alone(cluster: Cluster, submit: Submit) -> None:
    assert not swept(cluster)
    submit("LOW", gpu=8)
    waiting = submit("LOW", gpu=1)
    run_cycle(cluster)
    backdate(cluster)
    assert status_of(waiting) == Status.QUEUED
    assert not swept(cluster)


def test_sweep_finds_a_submit_that_no_cycle_ever_saw(cluster: Cluster, submit: Submit) -> None:
    row = submit("LOW", gpu=1)
    Deployment.objects.update(queued_at=F("queued_at") - timedelta(hours=1))
    assert swept(cluster)
    schedule_cluster(str(cluster.pk))
    assert status_of(row) == Status.RUNNING


def test_sweep_finds_a_submit_after_the_last_cycle(cluster: Cluster, submit: Submit) -> None:
    submit("LOW", gpu=1)
    run_cycle(cluster)
    submit("LOW", gpu=1)
    Cluster.objects.update(changed_at=F("changed_at") - timedelta(hours=1))
    assert swept(cluster)


def test_sweep_finds_a_submit_that_committed_late(cluster: Cluster, submit: Submit) -> None:
    """Stamped before a cycle looked, visible only after it."""
    row = submit("LOW", gpu=1)
    stamped = row.queued_at
    Deployment.objects.filter(pk=row.pk).update(status=Status.STOPPED)  # not there yet
    run_cycle(cluster)
    Deployment.objects.filter(pk=row.pk).update(status=Status.QUEUED, queued_at=stamped)
    Cluster.objects.update(changed_at=F("changed_at") - timedelta(hours=1))
    assert swept(cluster)


@pytest.mark.parametrize("freed_by", ["stop", "end", "totals", "resume"])
def test_sweep_finds_freed_capacity(cluster: Cluster, submit: Submit, freed_by: str) -> None:
    reserved_for = submit("LOW", gpu=8, simulated_runtime_s=60)
    run_cycle(cluster)
    waiting = submit("LOW", gpu=8)
    run_cycle(cluster)
    if freed_by == "resume":
        Cluster.objects.update(state=State.PAUSED)
    backdate(cluster)
    assert not swept(cluster)
    _free(cluster, reserved_for, freed_by)
    redis_client().flushdb()
    assert swept(cluster)
    schedule_cluster(str(cluster.pk))
    assert (status_of(waiting) == Status.RUNNING) == (freed_by != "resume")


def _free(cluster: Cluster, reserved_for: Deployment, how: str) -> None:
    from clusters.services.clusters import change_cluster, resume

    if how == "stop":
        stop_deployment(reserved_for.owner, Deployment.objects.get(pk=reserved_for.pk))
    elif how == "end":
        assert finish_due(timezone.now() + timedelta(seconds=61)) == 1
    elif how == "totals":
        change_cluster(cluster, {"total_gpu": 16})
    else:
        resume(cluster)


def test_sweep_finds_a_flag_whose_message_is_lost(cluster: Cluster, submit: Submit) -> None:
    row = submit("LOW", gpu=1)
    wakeup.request_cycle(cluster.pk, Trigger.SUBMITTED)
    redis_client().delete("scheduler")
    wakeup.request_cycle(cluster.pk, Trigger.SUBMITTED)
    assert messages() == 0
    assert swept(cluster)
    schedule_cluster(str(cluster.pk))
    assert status_of(row) == Status.RUNNING


@pytest.mark.parametrize("how", ["stopped", "shrunk"])
def test_sweep_finds_a_blocked_head_that_has_left(
    cluster: Cluster, submit: Submit, how: str
) -> None:
    """It had nothing allocated, so nothing was freed; but others waited behind it."""
    Cluster.objects.update(queueing="strict")
    submit("LOW", gpu=4)
    run_cycle(cluster)
    head, behind = submit("HIGH", gpu=8), submit("LOW", gpu=1)
    Cluster.objects.update(preemption="never")
    run_cycle(cluster)
    assert {status_of(head), status_of(behind)} == {Status.QUEUED}
    if how == "stopped":
        stop_deployment(head.owner, head)
    else:
        change_deployment(head.owner, head, {"gpu": 1})
    redis_client().flushdb()
    backdate(cluster, looked_s_ago=61)
    assert swept(cluster)
    schedule_cluster(str(cluster.pk))
    assert status_of(behind) == Status.RUNNING


def test_sweep_looks_again_at_what_the_clock_alone_decides(
    cluster: Cluster, submit: Submit
) -> None:
    """A victim becomes old enough to be evicted, and nothing rings for that."""
    Cluster.objects.update(preempt_exempt_s=1800)
    low = submit("LOW", gpu=8)
    run_cycle(cluster)
    high = submit("HIGH", gpu=8)
    run_cycle(cluster)
    assert status_of(high) == Status.QUEUED
    Deployment.objects.filter(pk=low.pk).update(started_at=F("started_at") - timedelta(hours=1))
    backdate(cluster, looked_s_ago=61)
    assert swept(cluster)
    work()
    assert status_of(high) == Status.RUNNING
    assert audit.breaches(queues_too=True) == []


def test_sweep_goes_on_draining(cluster: Cluster, submit: Submit) -> None:
    row = submit("LOW", gpu=1)
    run_cycle(cluster)
    backdate(cluster)
    Cluster.objects.update(state=State.DRAINING)
    assert swept(cluster)
    schedule_cluster(str(cluster.pk))
    assert status_of(row) == Status.QUEUED


def test_sweep_settles(cluster: Cluster, submit: Submit) -> None:
    """What has been swept and looked at is not swept for ever."""
    submit("LOW", gpu=8)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    backdate(cluster)
    assert not swept(cluster)


def test_a_cycle_that_lies_in_the_future_is_none(cluster: Cluster, submit: Submit) -> None:
    """The database's clock was ahead when the cycle looked, and has been put right since."""
    submit("LOW", gpu=8)
    submit("LOW", gpu=8)
    run_cycle(cluster)
    backdate(cluster, looked_s_ago=-3600)
    assert swept(cluster)


# --- What was lost a moment ago --------------------------------------------------------------


def unanswered(cluster: Cluster) -> bool:
    look_for_unanswered()
    return wakeup.is_flag_set(cluster.pk) and messages() > 0


def a_moment_ago(cluster: Cluster, *, evaluated_s_ago: float | None = None) -> None:
    """As if what has just happened had happened 2 s ago."""
    ago = timedelta(seconds=2)
    Deployment.objects.filter(cluster=cluster).update(queued_at=F("queued_at") - ago)
    Cluster.objects.filter(pk=cluster.pk).update(changed_at=F("changed_at") - ago)
    if evaluated_s_ago is not None:
        looked_at = timezone.now() - timedelta(seconds=evaluated_s_ago)
        Cluster.objects.filter(pk=cluster.pk).update(evaluated_at=looked_at)


@pytest.mark.parametrize("evaluated_s_ago", [None, 60])
def test_a_submit_whose_wakeup_is_lost_is_found_a_moment_later(
    cluster: Cluster, submit: Submit, evaluated_s_ago: float | None
) -> None:
    row = submit("LOW", gpu=1)
    assert not unanswered(cluster)  # its cycle may be on the way
    a_moment_ago(cluster, evaluated_s_ago=evaluated_s_ago)
    assert unanswered(cluster)
    schedule_cluster(str(cluster.pk))
    assert status_of(row) == Status.RUNNING


def test_what_a_cycle_has_seen_is_not_found_again(cluster: Cluster, submit: Submit) -> None:
    submit("LOW", gpu=8)
    waiting = submit("LOW", gpu=1)
    run_cycle(cluster)
    a_moment_ago(cluster)
    assert status_of(waiting) == Status.QUEUED
    assert not unanswered(cluster)


@pytest.mark.parametrize("freed_by", ["stop", "end", "totals"])
def test_freed_capacity_whose_wakeup_is_lost_is_found_a_moment_later(
    cluster: Cluster, submit: Submit, freed_by: str
) -> None:
    reserved_for = submit("LOW", gpu=8, simulated_runtime_s=60)
    run_cycle(cluster)
    waiting = submit("LOW", gpu=8)
    run_cycle(cluster)
    a_moment_ago(cluster, evaluated_s_ago=60)
    Deployment.objects.filter(cluster=cluster).update(queued_at=F("queued_at") - timedelta(hours=1))
    Cluster.objects.update(changed_at=F("changed_at") - timedelta(hours=1))
    assert not unanswered(cluster)
    _free(cluster, reserved_for, freed_by)
    redis_client().flushdb()
    Cluster.objects.update(changed_at=timezone.now() - timedelta(seconds=2))
    assert unanswered(cluster)
    schedule_cluster(str(cluster.pk))
    assert status_of(waiting) == Status.RUNNING
