"""The queues in Redis follow the table, come back when lost, and stand in the engine's order."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoCaptureOnCommitCallbacks
from uuid_utils.compat import uuid7

from accounts.models import User
from clusters.models import Cluster, State
from deployments import redis_queues
from deployments.models import Deployment, PriorityClass, Status
from deployments.scheduling_key import key_of
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop_deployment
from mlops_platform.api.ids import time_of
from mlops_platform.coordination.redis import redis_client
from mlops_platform.tests.equipment.examples import examples
from organizations.models import Organization
from scheduler import wakeup
from scheduler.audit import breaches
from scheduler.engine.queue.order import order_key
from scheduler.models import Trigger
from scheduler.queries import queue_lengths, queue_of
from scheduler.queues import queue_sync
from scheduler.tasks import schedule_cluster
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.tests.store.whole import read_whole

pytestmark = pytest.mark.django_db


def in_redis(cluster: Cluster) -> list[str]:
    """Every id in line: the most urgent class first, and last of all what could never run."""
    names = PriorityClass.objects.order_by("-value").values_list("name", flat=True)
    keys = [redis_queues.queue_key(cluster.pk, name) for name in names]
    parts = [(key, *scores) for scores in (("-inf", 0), ("(0", "+inf")) for key in keys]
    return [str(member) for part in parts for member in redis_client().zrangebyscore(*part)]


def in_table(cluster: Cluster) -> list[str]:
    return [str(row.pk) for row in queue_of(cluster)]


# --- Following -------------------------------------------------------------------------------


def test_submit_change_stop_start_and_eviction_move_their_entries(
    cluster: Cluster,
    submit: Submit,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    @contextmanager
    def committed() -> Iterator[None]:
        with django_capture_on_commit_callbacks(execute=True):
            yield
        assert in_redis(cluster) == in_table(cluster)

    with committed():
        big, small = submit("LOW", gpu=8), submit("LOW", gpu=1)
    assert in_redis(cluster) == [str(big.pk), str(small.pk)]
    with committed():
        change_deployment(small.owner, small, {}, priority="HIGH")
    assert in_redis(cluster) == [str(small.pk), str(big.pk)]
    with committed():
        stop_deployment(small.owner, small)
    assert in_redis(cluster) == [str(big.pk)]
    with committed():
        run_cycle(cluster)
    assert in_redis(cluster) == []
    high = submit("HIGH", gpu=8)
    with committed():
        run_cycle(cluster)
    assert in_redis(cluster) == [str(big.pk)]
    assert Deployment.objects.get(pk=high.pk).status == Status.RUNNING


def test_following_without_redis_is_no_error(
    cluster: Cluster,
    submit: Submit,
    no_redis: None,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        row = submit("LOW", gpu=1)
        run_cycle(cluster)
    with django_capture_on_commit_callbacks(execute=True):
        stop_deployment(row.owner, row)
    assert queue_lengths(cluster) == {"HIGH": 0, "LOW": 0}


# --- Mending ---------------------------------------------------------------------------------


@pytest.fixture
def waiting(cluster: Cluster, submit: Submit) -> list[str]:
    """Three that wait, in order, their queues just mended."""
    Cluster.objects.update(state=State.PAUSED)
    small, big, high = submit("LOW", gpu=1), submit("LOW", gpu=2), submit("HIGH")
    assert queue_sync.mend(cluster.pk)
    line = [str(row.pk) for row in (high, big, small)]
    assert in_redis(cluster) == line
    return line


def test_sound_queues_are_left_alone(cluster: Cluster, waiting: list[str]) -> None:
    assert not queue_sync.mend(cluster.pk)


def test_queues_come_back_after_flushall(cluster: Cluster, waiting: list[str]) -> None:
    redis_client().flushdb()
    assert queue_sync.mend(cluster.pk)
    assert in_redis(cluster) == waiting


@pytest.mark.parametrize("fault", ["lost", "stray", "both"])
def test_a_queue_of_another_length_is_mended(
    cluster: Cluster, waiting: list[str], fault: str
) -> None:
    high, low = (redis_queues.queue_key(cluster.pk, name) for name in ("HIGH", "LOW"))
    if fault in ("lost", "both"):
        redis_client().zrem(low, waiting[1])
    if fault in ("stray", "both"):
        redis_client().zadd(high, {str(uuid7()): 0})
    assert queue_sync.mend(cluster.pk)
    assert in_redis(cluster) == waiting


def test_a_stop_and_a_submit_that_missed_redis_are_found_by_a_sweep(
    cluster: Cluster, submit: Submit, waiting: list[str]
) -> None:
    """The lengths are right all the same."""
    stopped = Deployment.objects.get(pk=waiting[1])
    stop_deployment(stopped.owner, stopped)
    submitted = submit("LOW", gpu=8)
    assert not queue_sync.mend(cluster.pk)
    wakeup.request_cycle(cluster.pk, Trigger.SWEEP)
    schedule_cluster(str(cluster.pk))
    assert in_redis(cluster) == [waiting[0], str(submitted.pk), waiting[2]]


def test_other_totals_give_other_scores(cluster: Cluster, submit: Submit) -> None:
    """One GPU of 8 is a larger share than 60 cores of 64, weighted; one of 64 is not."""
    Cluster.objects.update(state=State.PAUSED)
    by_gpu, by_cpu = submit("LOW", gpu=1, cpu=1), submit("LOW", cpu=60)
    queue_sync.mend(cluster.pk)
    assert in_redis(cluster) == [str(by_gpu.pk), str(by_cpu.pk)]
    Cluster.objects.update(total_gpu=64)
    assert queue_sync.mend(cluster.pk)
    assert in_redis(cluster) == [str(by_cpu.pk), str(by_gpu.pk)]
    cluster.refresh_from_db()
    assert in_redis(cluster) == in_table(cluster)


def test_another_ordering_is_another_order(cluster: Cluster, waiting: list[str]) -> None:
    Cluster.objects.update(ordering="fifo")
    assert queue_sync.mend(cluster.pk)
    high, big, small = waiting
    assert in_redis(cluster) == [high, small, big]


def test_mending_overtaken_by_a_stop_writes_nothing(
    cluster: Cluster, submit: Submit, waiting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One leaves and one enters between read and write: the lengths would never tell."""
    redis_client().delete(f"cluster:{cluster.pk}:queues")
    real = queue_sync._members

    def overtaken(of: Cluster) -> object:
        line = real(of)
        leaver = Deployment.objects.get(pk=waiting[0])
        stop_deployment(leaver.owner, leaver)
        queue_sync.refresh(cluster.pk, [leaver.pk])
        queue_sync.enter([submit("HIGH", gpu=3)])
        return line

    with monkeypatch.context() as patch:
        patch.setattr(queue_sync, "_members", overtaken)
        assert not queue_sync.mend(cluster.pk)
    assert in_redis(cluster) == in_table(cluster)
    assert queue_sync.mend(cluster.pk)
    assert breaches(queues_too=True) == []


def test_a_cluster_that_is_gone_has_nothing_to_mend(cluster: Cluster) -> None:
    key = cluster.pk
    cluster.delete()
    assert not queue_sync.mend(key)


def test_without_redis_nothing_is_mended(cluster: Cluster, no_redis: None) -> None:
    assert not queue_sync.mend(cluster.pk)


# --- One order -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    priority: str
    cpu_milli: int
    ram_mib: int
    gpu: int
    replicas: int


CLASSES = {"LOW": 0, "HIGH": 1000, "MID": 500, "BELOW": -7}
amounts = st.one_of(st.integers(1, 9), st.integers(1, 10_000_000_000))
asks = st.builds(
    Ask,
    priority=st.sampled_from(sorted(CLASSES)),
    cpu_milli=amounts,
    ram_mib=amounts,
    gpu=st.one_of(st.integers(0, 9), st.integers(0, 10_000_000)),
    replicas=st.one_of(st.just(1), st.integers(1, 1000)),
)
totals = st.tuples(
    st.one_of(st.just(0), amounts),
    st.one_of(st.just(0), amounts),
    st.one_of(st.just(0), st.integers(1, 10_000_000)),
)


@given(
    asked=st.lists(asks, max_size=12),
    total=totals,
    ordering=st.sampled_from(["gpu_weighted", "fifo", "fair_share"]),
    twins=st.integers(0, 3),
)
@hypothesis_settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_redis_table_and_engine_agree_on_the_order(
    org: Organization,
    dev: User,
    asked: list[Ask],
    total: tuple[int, int, int],
    ordering: str,
    twins: int,
) -> None:
    """Whatever is asked for, of whatever totals: no GPUs at all, gangs, equal requests."""
    with transaction.atomic():
        cluster = _line_up(org, dev, [*asked, *asked[:twins]], total, ordering)
        queue_sync.mend(cluster.pk)
        snapshot = read_whole(cluster.pk)
        never = [each for each in snapshot.queued if not each.total.fits_in(snapshot.total)]
        possible = [each for each in snapshot.queued if each not in never]
        possible.sort(key=order_key(snapshot))
        never.sort(key=lambda each: (-CLASSES[each.priority], each.submitted_ms, each.id))
        by_engine = [each.id for each in (*possible, *never)]
        shown = set(by_engine)  # the snapshot may leave out the back of a key
        assert in_redis(cluster) == in_table(cluster)
        assert [id_ for id_ in in_table(cluster) if id_ in shown] == by_engine
        assert {row.scheduling_key for row in queue_of(cluster)} == {
            w.scheduling_key for w in snapshot.queued
        }
        transaction.set_rollback(True)


def _line_up(
    org: Organization, dev: User, asked: list[Ask], total: tuple[int, int, int], ordering: str
) -> Cluster:
    cpu_milli, ram_mib, gpu = total
    cluster = Cluster.objects.create(
        organization=org,
        name="any",
        ordering=ordering,
        total_cpu_milli=cpu_milli,
        total_ram_mib=ram_mib,
        total_gpu=gpu,
    )
    classes = {
        name: PriorityClass.objects.get_or_create(name=name, defaults={"value": value})[0]
        for name, value in CLASSES.items()
    }
    rows = [_row(cluster, dev, classes[ask.priority], ask) for ask in asked]
    Deployment.objects.bulk_create(rows)
    return cluster


def _row(cluster: Cluster, dev: User, priority_class: PriorityClass, ask: Ask) -> Deployment:
    key = uuid7()
    row = Deployment(
        id=key,
        cluster=cluster,
        owner=dev,
        name="any",
        image="busybox",
        cpu_milli=ask.cpu_milli,
        ram_mib=ask.ram_mib,
        gpu=ask.gpu,
        replicas=ask.replicas,
        priority_class=priority_class,
        created_at=time_of(key),
        queued_at=time_of(key),
    )
    row.scheduling_key = key_of(row)
    return row


def test_a_long_queue_is_counted_the_more_rarely(cluster: Cluster) -> None:
    """Empty or short ones after each cycle; one of 60,000 once a minute."""
    assert [queue_sync.is_check_due(cluster.pk) for _ in range(3)] == [True, True, True]
    redis_queues.enter(cluster.pk, [("HIGH", uuid7(), 0)])
    redis_queues.enter(cluster.pk, (("LOW", uuid7(), 0) for _ in range(60_000)))
    assert [queue_sync.is_check_due(cluster.pk) for _ in range(3)] == [True, False, False]
