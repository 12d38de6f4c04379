"""Deployments that end by the clock (deadlines.py, due.py)."""

import json
import threading
import time
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.db.models import F
from django.utils import timezone
from redis.connection import UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments import tasks
from deployments.lifecycle import deadlines, due
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.runtimes import simulated
from deployments.runtimes.simulated import Fate
from deployments.signals import deployment_stopped
from deployments.tests import clock
from deployments.tests.workloads import allocated, make, timeline
from mlops_platform.coordination import redis
from mlops_platform.coordination.redis import redis_client
from mlops_platform.coordination.wakeup import MOST_WARNINGS
from mlops_platform.tests.equipment.row_locks import all_locked, locked
from organizations.tests.people import all_at_once

START = datetime(2026, 3, 1, tzinfo=UTC)
HOURS = timedelta(hours=2)


@pytest.mark.parametrize(
    ("simulated_s", "max_s", "after_s", "fate"),
    [
        (None, None, None, None),
        (10, None, 10, Fate.COMPLETED),
        (None, 10, 10, Fate.MAX_RUNTIME_EXCEEDED),
        (10, 20, 10, Fate.COMPLETED),
        (20, 10, 10, Fate.MAX_RUNTIME_EXCEEDED),
        (10, 10, 10, Fate.COMPLETED),
        (0.25, None, 0.25, Fate.COMPLETED),
        (31_535_999.999, None, 31_535_999.999, Fate.COMPLETED),
        (10.001, 10, 10, Fate.MAX_RUNTIME_EXCEEDED),
        (9.999, 10, 9.999, Fate.COMPLETED),
    ],
)
def test_the_earlier_end_decides(simulated_s, max_s, after_s, fate):
    ending = simulated.due(START, simulated_s, max_s)
    if fate is None:
        assert ending is None
    else:
        assert ending == (START + timedelta(seconds=after_s), fate)


def running(cluster, owner, *, ran_s, **columns):
    """A deployment that started `ran_s` seconds ago, due as its columns say."""
    started = timezone.now() - timedelta(seconds=ran_s)
    ending = simulated.due(
        started, columns.get("simulated_runtime_s"), columns.get("max_runtime_s")
    )
    return make(
        cluster,
        owner,
        Status.RUNNING,
        started_at=started,
        due_at=ending.at if ending else None,
        **columns,
    )


def was_due(row: Deployment) -> datetime:
    """By its columns."""
    assert row.started_at is not None
    ending = simulated.due(row.started_at, row.simulated_for_s, row.max_runtime_s)
    assert ending is not None
    return ending.at


@pytest.mark.parametrize("away_s", [0.001, 5, 3600])
def test_an_end_is_when_it_was_due_however_late_it_is_noticed(dev, cluster, away_s):
    """As after an outage: one completes, two exceed their limits, one depends on each."""
    limits = [{"simulated_runtime_s": 5}, {"max_runtime_s": 8}, {"max_runtime_s": 6}]
    rows = [running(cluster, dev, ran_s=8 + away_s, **each) for each in limits]
    dependent = make(cluster, dev, pending_dependencies=1)
    dependent.depends_on.add(rows[1])
    Deployment.objects.filter(pk=dependent.pk).update(queued_at=F("queued_at") - HOURS)
    late = make(cluster, dev, pending_dependencies=1)  # submitted during the outage
    late.depends_on.add(rows[1])
    noticed = timezone.now()
    assert clock.finish_due(noticed) == 3
    for row in rows:
        row.refresh_from_db()
        assert row.finished_at == was_due(row)
        assert [event.at for event in row.events.all()] == [row.finished_at]
    for row, failed_at in ((dependent, rows[1].finished_at), (late, late.queued_at)):
        row.refresh_from_db()
        assert (row.status, row.finished_at) == (Status.FAILED, failed_at)
        assert [event.at for event in row.events.all()] == [failed_at]
    cluster.refresh_from_db()
    assert cluster.changed_at == noticed


def test_a_deployment_that_is_done_completes_and_frees_its_allocation(dev, cluster, stop_signals):
    now = timezone.now()
    done = running(cluster, dev, ran_s=61, simulated_runtime_s=60, max_runtime_s=90, replicas=2)
    later = running(cluster, dev, ran_s=30, simulated_runtime_s=60)
    endless = running(cluster, dev, ran_s=10_000)
    assert clock.finish_due(now) == 1
    done.refresh_from_db()
    assert (done.status, done.exit_code, done.reason_code) == (Status.COMPLETED, 0, "")
    assert (done.finished_at, done.placement, done.due_at) == (was_due(done), [], None)
    assert timeline(done) == [("COMPLETED", None)]
    assert allocated(cluster) == (2000, 1024, 2)
    assert cluster.changed_at == now
    assert stop_signals == [(cluster.pk, {done.pk}, "FINISHED")]
    for other in (later, endless):
        other.refresh_from_db()
        assert other.status == Status.RUNNING


def test_a_deployment_that_runs_too_long_fails(dev, cluster):
    late = running(cluster, dev, ran_s=61, max_runtime_s=60)
    later = running(cluster, dev, ran_s=61, max_runtime_s=30, simulated_runtime_s=50)
    assert clock.finish_due(timezone.now()) == 2
    for row, limit in ((late, 60), (later, 30)):
        row.refresh_from_db()
        assert (row.status, row.exit_code) == (Status.FAILED, None)
        assert row.reason_code == "MAX_RUNTIME_EXCEEDED"
        assert row.reason_details == {"max_runtime_s": limit}
        assert timeline(row) == [("FAILED", None)]
    assert allocated(cluster) == (0, 0, 0)


@pytest.mark.parametrize("status", [status for status in Status if status != Status.RUNNING])
def test_only_a_running_deployment_ends_by_the_clock(dev, cluster, stop_signals, status):
    row = make(cluster, dev, status, due_at=timezone.now() - timedelta(hours=1))
    assert clock.finish_due(timezone.now()) == 0
    row.refresh_from_db()
    assert row.status == status
    assert stop_signals == []


def test_every_cluster_has_its_turn_in_batches(dev, org, cluster, stop_signals):
    east = make_cluster(org, name="east")
    for each in (cluster, east):
        for _ in range(3):
            running(each, dev, ran_s=61, simulated_runtime_s=60)
    assert clock.finish_due(timezone.now(), batch=2) == 6
    assert allocated(cluster) == allocated(east) == (0, 0, 0)
    assert sorted((pk, len(ids)) for pk, ids, _ in stop_signals) == sorted(
        [(cluster.pk, 2), (cluster.pk, 1), (east.pk, 2), (east.pk, 1)]
    )


def woken() -> list[str]:
    """The clusters for which a task waits, in the order of their messages."""
    messages = reversed(redis_client().lrange("scheduler", 0, -1))
    return [json.loads(b64decode(json.loads(each)["body"]))[0][0] for each in messages]


def test_each_cluster_in_which_something_is_due_gets_a_task_of_its_own(dev, org, cluster):
    east, north = make_cluster(org, name="east"), make_cluster(org, name="north")
    for _ in range(3):
        running(cluster, dev, ran_s=61, simulated_runtime_s=60)
    running(east, dev, ran_s=59, simulated_runtime_s=60)
    make(north, dev, retry_at=timezone.now())
    due.wake_all()
    due.wake_all()  # what has been asked for is not asked for again
    assert sorted(woken()) == sorted([str(cluster.pk), str(north.pk)])


def test_an_error_in_one_cluster_does_not_stop_the_others(dev, org, cluster):
    east = make_cluster(org, name="east")
    for each in (cluster, east):
        running(each, dev, ran_s=61, simulated_runtime_s=60)

    def fail(cluster_id, **_):
        if cluster_id == cluster.pk:
            raise RuntimeError

    deployment_stopped.connect(fail)
    try:
        due.wake_all()
        with pytest.raises(RuntimeError):
            tasks.end_due(str(cluster.pk))
        tasks.end_due(str(east.pk))
    finally:
        deployment_stopped.disconnect(fail)
    assert allocated(east) == (0, 0, 0)
    assert allocated(cluster) == (1000, 512, 1)
    redis_client().delete("scheduler")
    redis_client().zadd("wakeups:deployments.tasks.end_due", {str(cluster.pk): 0})  # its pause ends
    due.ask_again()
    assert woken() == [str(cluster.pk)]


def test_a_message_that_redis_has_lost_has_a_successor(dev, cluster):
    running(cluster, dev, ran_s=61, simulated_runtime_s=60)
    due.wake_all()
    redis_client().delete("scheduler")
    due.wake_all()
    assert woken() == []
    redis_client().zadd("wakeups:deployments.tasks.end_due", {str(cluster.pk): 0})  # as later on
    due.ask_again()
    assert woken() == [str(cluster.pk)]


def state(row: Deployment) -> dict[str, object]:
    """All columns but those that name the row or the moment of its submit."""
    own = {"id", "cluster_id", "created_at", "queued_at", "started_at", "finished_at"}
    row.refresh_from_db()
    columns = {field.attname for field in Deployment._meta.concrete_fields} - own
    return {name: getattr(row, name) for name in columns if "order" not in name}


def test_ends_of_many_clusters_are_as_those_of_one_and_cost_as_many_queries(
    dev, org, cluster, stop_signals, django_assert_num_queries
):
    others = [make_cluster(org, name=f"east-{number}") for number in range(3)]
    kinds = [
        {"simulated_runtime_s": 60, "replicas": 2},
        {"max_runtime_s": 60},
        {"max_runtime_s": 60, "simulated_runtime_s": 90},
    ]
    rows = [[running(each, dev, ran_s=61, **kind) for kind in kinds] for each in (cluster, *others)]
    clock.finish_due(timezone.now() - HOURS)
    assert deadlines.finish_due(cluster.pk, timezone.now()) == 3
    # in a savepoint the clusters and the rows; of those that complete, and of those that fail, the
    # write, the release, the intervals, the dependents and the events
    with django_assert_num_queries(14):
        assert deadlines.finish_simulated() == 9
    assert deadlines.finish_simulated() == 0
    expected = [state(row) for row in rows[0]]
    for of_cluster in rows[1:]:
        assert [state(row) for row in of_cluster] == expected
        assert [timeline(row) for row in of_cluster] == [timeline(row) for row in rows[0]]
    for each in (cluster, *others):
        assert allocated(each) == (0, 0, 0)
    assert {pk for pk, _, _ in stop_signals} == {each.pk for each in (cluster, *others)}


def test_ends_of_many_clusters_update_dependents_in_each(dev, org, cluster):
    for number, limit in enumerate(({"simulated_runtime_s": 5}, {"max_runtime_s": 5})):
        for each in (make_cluster(org, name=f"a{number}"), make_cluster(org, name=f"b{number}")):
            dependent = make(each, dev, pending_dependencies=1)
            dependent.depends_on.add(running(each, dev, ran_s=6, **limit))
    due.do_all()
    dependents = Deployment.objects.filter(depends_on__isnull=False)
    waiting = dependents.filter(status=Status.QUEUED, pending_dependencies=0)
    failed = dependents.filter(status=Status.FAILED, reason_code="DEPENDENCY_FAILED")
    assert (waiting.count(), failed.count()) == (2, 2)


def test_the_ends_that_are_the_most_overdue_come_first_whichever_cluster_has_them(
    dev, org, cluster
):
    newer = make_cluster(org, name="east")
    late = running(newer, dev, ran_s=90, simulated_runtime_s=60)
    later = running(cluster, dev, ran_s=61, simulated_runtime_s=60)
    assert deadlines.finish_simulated(clusters=1) == 1
    assert (late.events.count(), later.events.count()) == (1, 0)


def test_a_locked_cluster_delays_no_end_in_another(transactional_db, dev, org, cluster):
    east = make_cluster(org, name="east")
    rows = [running(each, dev, ran_s=61, simulated_runtime_s=60) for each in (cluster, east)]
    with locked(Cluster._meta.db_table, cluster.pk):
        due.do_all()
        assert [row.events.count() for row in rows] == [0, 1]
    deadline = time.monotonic() + 30  # PostgreSQL gives the lock back a moment later
    while rows[0].events.count() == 0 and time.monotonic() < deadline:
        due.do_all()
    assert [row.events.count() for row in rows] == [1, 1]
    assert redis_client().keys("cluster:*:due") == []  # no worker was asked


def test_clusters_of_which_all_that_is_due_is_locked_take_no_turn_of_another(
    transactional_db, dev, org, cluster
):
    many = [make_cluster(org, name=f"c{number}") for number in range(2 * deadlines.CLUSTERS)]
    rows = [running(each, dev, ran_s=90, simulated_runtime_s=60) for each in many]
    last = running(cluster, dev, ran_s=61, simulated_runtime_s=60)
    ids = ", ".join(f"'{row.pk}'" for row in rows)
    statement = f"SELECT 1 FROM deployments_deployment WHERE id IN ({ids}) FOR NO KEY UPDATE"
    with all_locked([statement]):
        due.do_all()
        assert last.events.count() == 1
        assert not any(row.events.exists() for row in rows)
    deadline = time.monotonic() + 30
    while not all(row.events.exists() for row in rows) and time.monotonic() < deadline:
        due.do_all()
    assert [row.events.count() for row in rows] == [1] * len(rows)


def test_a_redis_that_fails_slowly_delays_many_ends_once(
    transactional_db, dev, org, cluster, tmp_path, monkeypatch, caplog, settings
):
    """As where the name of its host is not found any more."""
    for number in range(deadlines.CLUSTERS + 5):
        running(make_cluster(org, name=f"c{number}"), dev, ran_s=61, simulated_runtime_s=60)
    settings.REDIS_URL = f"unix://{tmp_path}/away.sock"  # no other test's client leads there
    settings.REDIS_STALLED_S = 60.0  # however slow the machine is
    attempts = []

    class Failing(UnixDomainSocketConnection):
        def _connect(self):
            attempts.append(threading.get_ident())
            time.sleep(2 * redis.SLOW_S)
            raise RedisConnectionError("Name or service not known")

    monkeypatch.setattr(redis_client().connection_pool, "connection_class", Failing)
    with pytest.raises(RedisError):
        due.do_all()
    assert Deployment.objects.filter(status=Status.COMPLETED).count() == deadlines.CLUSTERS + 5
    # The thread that renews the leases of logs which other tests have left unread calls Redis, too.
    assert attempts.count(threading.get_ident()) == 2
    warnings = [each for each in caplog.records if "not requested" in each.getMessage()]
    assert len(warnings) <= MOST_WARNINGS


def test_a_cluster_whose_ends_fail_is_left_to_a_worker_with_all_others(dev, org, cluster):
    east = make_cluster(org, name="east")
    for each in (cluster, east):
        running(each, dev, ran_s=61, simulated_runtime_s=60)
    Cluster.objects.filter(pk=cluster.pk).update(allocated_gpu=0)  # less than it will free
    due.do_all()
    assert sorted(woken()) == sorted([str(cluster.pk), str(east.pk)])
    tasks.end_due(str(east.pk))
    assert allocated(east) == (0, 0, 0)


def test_a_deleted_cluster_is_left_alone(dev, cluster):
    running(cluster, dev, ran_s=61, simulated_runtime_s=60)
    Cluster.objects.update(deleted_at=timezone.now())
    due.do_all()
    due.wake_all()
    assert woken() == []


def test_a_look_at_what_is_due_costs_one_query(dev, cluster, django_assert_num_queries):
    running(cluster, dev, ran_s=10, simulated_runtime_s=60)
    with django_assert_num_queries(1):
        due.wake_all()


def test_many_deployments_end_in_few_queries(dev, cluster, django_assert_num_queries):
    for _ in range(4):
        running(cluster, dev, ran_s=61, simulated_runtime_s=60)
    # the clusters; in a savepoint the lock, the rows, the write, the release, the intervals,
    # the dependents, the events
    with django_assert_num_queries(10):
        clock.finish_due(timezone.now())


def test_workers_at_the_same_time_end_each_deployment_once(transactional_db, dev, cluster):
    rows = [running(cluster, dev, ran_s=61, simulated_runtime_s=60) for _ in range(4)]
    finished = all_at_once(*[partial(clock.finish_due, timezone.now()) for _ in range(4)])
    assert sum(finished) == 4
    assert allocated(cluster) == (0, 0, 0)
    assert DeploymentEvent.objects.count() == len(rows)
