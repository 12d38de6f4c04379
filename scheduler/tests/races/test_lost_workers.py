"""Workers that are killed or frozen in the middle of a cycle: others take over within seconds."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
from django.db import connection

from clusters.models import Cluster
from deployments.models import Deployment, EventType, Status
from mlops_platform.coordination.redis import redis_client
from mlops_platform.processes.ending import END_WITHIN_S
from mlops_platform.tests.equipment.own_redis import OwnRedis
from mlops_platform.tests.equipment.row_locks import locked
from scheduler import audit, wakeup
from scheduler.models import SchedulingCycle, Trigger
from scheduler.tests.conftest import Submit
from scheduler.timer.turn import ask_again

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]

Worker = subprocess.Popen[bytes]
StartWorker = Callable[..., Worker]
WAIT_S = 20.0
LATE_S = 12.0  # for a busy machine
OPEN = "wakeups:scheduler.tasks.schedule_cluster"


def wait_for(condition: Callable[[], bool], *, meanwhile: Callable[[], object] = ask_again) -> None:
    """`meanwhile` is what the platform's clock does twice a second."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        meanwhile()
        time.sleep(0.1)


def status_of(row: Deployment) -> str:
    return Deployment.objects.values_list("status", flat=True).get(pk=row.pk)


@pytest.fixture
def patient_url(worker_environment: dict[str, str]) -> str:
    """A worker with this DATABASE_URL waits for a lock until the test has dealt with it."""
    return f"{worker_environment['DATABASE_URL']}?options={quote('-c lock_timeout=60s')}"


def waits_for_row(cluster: Cluster) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        found: int = cursor.fetchone()[0]
    return found > 0 and bool(redis_client().exists(wakeup.lock_name(cluster.pk)))


@contextmanager
def in_mid_cycle(worker: Worker, cluster: Cluster) -> Iterator[psutil.Process]:
    """The worker's process that runs a cycle, which goes on after the block."""
    with locked("clusters_cluster", cluster.pk):
        wait_for(lambda: waits_for_row(cluster), meanwhile=lambda: None)
        [child] = psutil.Process(worker.pid).children()
        yield child


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def all_is_well(row: Deployment, cluster: Cluster) -> bool:
    assert status_of(row) == Status.RUNNING
    assert row.events.filter(type=EventType.STARTED).count() == 1
    assert SchedulingCycle.objects.filter(cluster=cluster).count() == 1
    assert not wakeup.is_flag_set(cluster.pk)
    assert audit.breaches(queues_too=True) == []
    return redis_client().zcard(OPEN) == 0


def test_a_cycle_whose_process_is_killed_runs_again_soon(
    cluster: Cluster, submit: Submit, start_worker: StartWorker, patient_url: str
) -> None:
    worker = start_worker(concurrency=1, DATABASE_URL=patient_url)
    row = submit("LOW", gpu=1)
    with in_mid_cycle(worker, cluster) as child:
        child.kill()
    wait_for(lambda: status_of(row) == Status.RUNNING)
    wait_for(lambda: all_is_well(row, cluster))
    assert worker.poll() is None


def test_a_cycle_whose_worker_is_killed_is_another_workers(
    cluster: Cluster, submit: Submit, start_worker: StartWorker, patient_url: str
) -> None:
    worker = start_worker(concurrency=1, DATABASE_URL=patient_url)
    row = submit("LOW", gpu=1)
    with in_mid_cycle(worker, cluster):
        os.killpg(worker.pid, signal.SIGKILL)
    start_worker(concurrency=1)
    wait_for(lambda: status_of(row) == Status.RUNNING)
    wait_for(lambda: all_is_well(row, cluster))


def test_a_worker_that_is_asked_to_end_in_mid_cycle_ends_soon_and_the_cycle_is_another_workers(
    cluster: Cluster, submit: Submit, start_worker: StartWorker, patient_url: str
) -> None:
    worker = start_worker(concurrency=1, DATABASE_URL=patient_url)
    row = submit("LOW", gpu=1)
    with in_mid_cycle(worker, cluster) as child:
        worker.terminate()
        assert worker.wait(END_WITHIN_S + LATE_S) == 0
        assert has_ended(child)
    start_worker(concurrency=1)
    wait_for(lambda: status_of(row) == Status.RUNNING)
    wait_for(lambda: all_is_well(row, cluster))


def test_a_worker_whose_child_is_frozen_ends_soon_once_it_is_asked_to(
    cluster: Cluster, submit: Submit, start_worker: StartWorker, patient_url: str
) -> None:
    worker = start_worker(concurrency=1, DATABASE_URL=patient_url)
    submit("LOW", gpu=1)
    with in_mid_cycle(worker, cluster) as child:
        child.suspend()
        worker.terminate()
        assert worker.wait(END_WITHIN_S + LATE_S) == 0
        assert has_ended(child)


@pytest.mark.parametrize(("queues", "pool"), [("scheduler", "prefork"), ("runtimes", "threads")])
@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_a_worker_ends_soon_once_it_is_asked_to_while_redis_is_away(
    start_worker: StartWorker, tmp_path: Path, queues: str, pool: str, how: str
) -> None:
    own = OwnRedis(tmp_path / "redis")
    own.start()
    with ExitStack() as after:
        after.callback(own.stop)
        worker = start_worker(queues=queues, pool=pool, REDIS_URL=own.url)
        if how == "frozen":
            after.enter_context(own.frozen())
        else:
            own.stop()
        time.sleep(2)  # it is about to connect again
        worker.terminate()
        assert worker.wait(END_WITHIN_S + LATE_S) == 0


def test_a_cycle_whose_process_is_frozen_is_another_processes_and_does_no_harm_when_it_thaws(
    cluster: Cluster, submit: Submit, start_worker: StartWorker, patient_url: str
) -> None:
    worker = start_worker(concurrency=1, DATABASE_URL=patient_url)
    row = submit("LOW", gpu=1)
    with in_mid_cycle(worker, cluster) as child:
        child.suspend()  # and then its session is given the row's lock, of which it knows nothing
    try:
        start_worker(concurrency=1)
        wait_for(lambda: status_of(row) == Status.RUNNING)
    finally:
        child.resume()
    later = submit("LOW", gpu=1)
    wait_for(lambda: status_of(later) == Status.RUNNING)
    assert row.events.filter(type=EventType.STARTED).count() == 1
    wait_for(lambda: audit.breaches(queues_too=True) == [] and redis_client().zcard(OPEN) == 0)
    assert worker.poll() is None


def test_a_message_that_a_frozen_worker_has_swallowed_is_sent_again(
    cluster: Cluster, submit: Submit, start_worker: StartWorker
) -> None:
    frozen = start_worker(concurrency=1)
    start_worker(concurrency=1)
    os.killpg(frozen.pid, signal.SIGSTOP)
    try:
        for _ in range(4):  # Redis gives the first or the second of them to the frozen one
            row = submit("LOW", gpu=1)
            wait_for(lambda: status_of(row) == Status.RUNNING)  # noqa: B023 - used at once
    finally:
        os.killpg(frozen.pid, signal.SIGCONT)
    wait_for(lambda: audit.breaches(queues_too=True) == [] and redis_client().zcard(OPEN) == 0)


def test_what_fails_is_tried_again_after_growing_pauses_and_runs_once_it_can(
    cluster: Cluster, submit: Submit, start_worker: StartWorker
) -> None:
    """Meanwhile the only process serves another cluster, too."""
    start_worker(concurrency=1)
    other = Cluster.objects.create(
        organization=cluster.organization,
        name="other",
        total_cpu_milli=64_000,
        total_ram_mib=512 * 1024,
        total_gpu=8,
    )
    with locked("clusters_cluster", cluster.pk):
        row = submit("LOW", gpu=1)
        wait_for(lambda: failures_of(cluster) >= 3)
        elsewhere = submit("LOW", gpu=1, into=other)
        wait_for(lambda: status_of(elsewhere) == Status.RUNNING)
        assert status_of(row) == Status.QUEUED
        assert wakeup.is_flag_set(cluster.pk)
    wait_for(lambda: status_of(row) == Status.RUNNING)
    wait_for(lambda: failures_of(cluster) == 0)


def failures_of(cluster: Cluster) -> int:
    return int(redis_client().hget(f"{OPEN}:failures", str(cluster.pk)) or 0)


def test_a_cycle_that_runs_is_not_asked_for_again(cluster: Cluster, submit: Submit) -> None:
    wakeup.request_cycle(cluster.pk, Trigger.SUBMITTED)
    redis_client().delete("scheduler")

    def cycle(_trigger: Trigger, _failures: int) -> None:
        redis_client().zadd(OPEN, {str(cluster.pk): 0})  # as if it had run for long
        ask_again()
        assert redis_client().llen("scheduler") == 0
        assert not wakeup.is_flag_set(cluster.pk)

    assert wakeup.run(cluster.pk, cycle) == Trigger.SUBMITTED
    assert redis_client().zcard(OPEN) == 0
