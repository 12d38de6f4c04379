"""Ringing: many rings make one task, none is lost, and a Redis that is away is no error."""

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks

from clusters.models import Cluster
from clusters.services.clusters import pause
from deployments.models import Status
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop_deployment
from mlops_platform.coordination.redis import redis_client
from scheduler import wakeup
from scheduler.models import Trigger
from scheduler.tests.conftest import Submit, messages

pytestmark = pytest.mark.django_db


def test_many_wake_ups_make_one_task_and_keep_the_first_trigger(cluster: Cluster) -> None:
    for trigger in (Trigger.STOPPED, Trigger.SUBMITTED, Trigger.SUBMITTED):
        wakeup.request_cycle(cluster.pk, trigger)
    assert messages() == 1
    assert wakeup.clear_flag(cluster.pk) == Trigger.STOPPED


def test_a_cleared_flag_stays_clear_until_the_next_wake_up(cluster: Cluster) -> None:
    wakeup.request_cycle(cluster.pk, Trigger.SUBMITTED)
    wakeup.clear_flag(cluster.pk)
    assert not wakeup.is_flag_set(cluster.pk)
    assert wakeup.clear_flag(cluster.pk) is None
    wakeup.request_cycle(cluster.pk, Trigger.CHANGED)
    assert wakeup.is_flag_set(cluster.pk)
    assert messages() == 2


def test_each_cluster_has_a_flag_of_its_own(cluster: Cluster) -> None:
    other = Cluster.objects.create(
        organization=cluster.organization,
        name="other",
        total_cpu_milli=1000,
        total_ram_mib=1024,
        total_gpu=0,
    )
    wakeup.request_cycle(cluster.pk, Trigger.SUBMITTED)
    assert not wakeup.is_flag_set(other.pk)
    wakeup.request_cycle(other.pk, Trigger.SUBMITTED)
    assert messages() == 2


def test_a_repeated_wake_up_sends_a_task_although_the_flag_is_set(cluster: Cluster) -> None:
    wakeup.request_cycle(cluster.pk, Trigger.SUBMITTED)
    wakeup.request_cycle(cluster.pk, Trigger.SWEEP, again=True)
    assert messages() == 2
    assert wakeup.clear_flag(cluster.pk) == Trigger.SUBMITTED


def test_submit_change_stop_and_a_new_state_wake_the_scheduler_once_committed(
    cluster: Cluster,
    submit: Submit,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    def woken_by(act: object) -> Trigger | None:
        with django_capture_on_commit_callbacks(execute=True):
            act()  # type: ignore[operator]  # a lambda of this test
            assert not wakeup.is_flag_set(cluster.pk)
        return wakeup.clear_flag(cluster.pk)

    assert woken_by(lambda: submit("LOW", gpu=1)) == Trigger.SUBMITTED
    row = submit("LOW", gpu=1)
    assert woken_by(lambda: change_deployment(row.owner, row, {"gpu": 2})) == Trigger.CHANGED
    assert woken_by(lambda: change_deployment(row.owner, row, {"name": "new"})) is None
    assert woken_by(lambda: stop_deployment(row.owner, row)) == Trigger.STOPPED
    assert woken_by(lambda: pause(cluster)) == Trigger.CHANGED


def test_a_rolled_back_submit_wakes_nothing(
    cluster: Cluster,
    submit: Submit,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    from django.db import transaction

    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        submit("LOW", gpu=1)
        transaction.set_rollback(True)
    assert not wakeup.is_flag_set(cluster.pk)
    assert redis_client().keys(f"cluster:{cluster.pk}:*") == []


def test_submits_and_stops_go_on_without_redis(
    cluster: Cluster,
    submit: Submit,
    no_redis: None,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        row = submit("LOW", gpu=1)
    assert "not requested: redis is away" in caplog.text
    caplog.clear()
    with django_capture_on_commit_callbacks(execute=True):
        stop_deployment(row.owner, row)
    assert "not requested: redis is away" in caplog.text
    row.refresh_from_db()
    assert row.status == Status.STOPPED
