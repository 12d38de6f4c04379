"""Deleting a cluster with a long history: gone for users at once, and in the tables in batches."""

import json
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from celery import current_app
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError
from uuid_utils.compat import uuid7

from clusters import tasks
from clusters.models import Cluster, Registry
from clusters.services import deletion
from clusters.services.deletion import Left, delete_cluster, delete_rows, take_turn
from clusters.tests.allocation import make_cluster, make_node
from deployments import redis_queues
from deployments.models import Deployment, DeploymentEvent, DeploymentLog, Status
from deployments.tests.clock import finish_due
from deployments.tests.interleaving import after_statement
from deployments.tests.workloads import body, make
from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client
from organizations.events.models import OrganizationEvent
from organizations.tests.people import all_at_once
from scheduler import cycle
from scheduler.models import SchedulingCycle, Trigger
from scheduler.queries import overlooked_clusters

pytestmark = pytest.mark.django_db(transaction=True)

ENDED = 1200


def path(cluster: Cluster, rest: str = "") -> str:
    return f"/api/clusters/{cluster.pk}{rest}"


def fill(cluster: Cluster, owner: Any, count: int = ENDED) -> None:
    """A history of so many ended deployments with two events each."""
    one = make(cluster, owner, Status.COMPLETED)
    columns = {
        field.attname: getattr(one, field.attname)
        for field in Deployment._meta.concrete_fields
        if field.name != "id"
    }
    rows = [Deployment(id=uuid7(), **columns) for _ in range(count - 1)]
    Deployment.objects.bulk_create(rows, batch_size=1000)
    DeploymentEvent.objects.bulk_create(
        (DeploymentEvent(deployment=row, type="SUBMITTED") for row in [*rows, one] * 2),
        batch_size=1000,
    )


def record_cycles(cluster: Cluster, count: int) -> None:
    counts = {f"{name}_count": 0 for name in ("evaluated", "started", "evicted", "waiting")}
    spent = {"load_ms": 1, "plan_ms": 1, "apply_ms": 1}
    SchedulingCycle.objects.bulk_create(
        SchedulingCycle(
            cluster=cluster, trigger="SUBMITTED", snapshot=b"x", plan=b"x", **counts, **spent
        )
        for _ in range(count)
    )


def requested() -> list[str]:
    """The messages in the broker that ask for a turn."""
    messages: Any = redis_client().lrange("runtimes", 0, -1)
    return [message for message in messages if deletion.TASK in message]


def finish(cluster: Cluster) -> int:
    """Take turns until all is gone; returns how many it took."""
    for turn in range(1, 100):
        take_turn(cluster.pk)
        if not Cluster.with_deleted.filter(pk=cluster.pk).exists():
            return turn
    raise AssertionError("it does not end")


@pytest.fixture
def old(cluster: Cluster, ada: Any) -> Cluster:
    """A cluster with a long history."""
    fill(cluster, ada)
    record_cycles(cluster, 150)
    return cluster


@pytest.mark.parametrize("query", ["", "?force=true"])
def test_it_is_gone_for_users_at_once_and_in_the_tables_soon(api, ada, old, query):
    deployment, recorded = Deployment.objects.all()[0], SchedulingCycle.objects.all()[0]
    answer = api(ada).delete(path(old, query))
    assert answer.status_code == 202
    assert (answer.json()["id"], answer.json()["state"]) == (str(old.pk), "DELETING")
    assert api(ada).get("/api/clusters").json() == api(ada).get("/api/deployments").json() == []
    for gone in (
        path(old), path(old, "/status"), path(old, "/deployments"), path(old, "/cycles"),
        f"/api/deployments/{deployment.pk}", f"/api/deployments/{deployment.pk}/events",
        f"/api/cycles/{recorded.pk}",
    ):  # fmt: skip
        assert api(ada).get(gone).status_code == 404, gone
    assert Deployment.objects.exists()
    assert len(requested()) == 1
    finish(old)
    assert not Deployment.objects.exists()
    assert not DeploymentEvent.objects.exists()
    deleted = OrganizationEvent.objects.filter(type="CLUSTER_DELETED", target_id=str(old.pk))
    assert deleted.count() == 1
    assert not SchedulingCycle.objects.exists()


def test_nothing_is_submitted_to_it_and_nothing_changed_in_it(api, ada, dev, old):
    stopped = make(old, dev, Status.QUEUED)
    api(ada).delete(path(old, "?force=true"))
    client, deployment = api(ada), f"/api/deployments/{stopped.pk}"
    for call, *given in (
        (client.post, "/api/deployments", body(old)),
        (client.post, "/api/deployments/quote", body(old)),
        (client.post, "/api/deployments/bulk", {"deployments": [body(old)]}),
        (client.post, f"{deployment}/stop"),
        (client.patch, deployment, {"name": "x"}),
        (client.patch, path(old), {"name": "x"}),
        (client.post, path(old, "/nodes"), {"name": "n", "cpu": 1, "ram": 1, "gpu": 0}),
        (client.put, path(old, "/quotas/default"), {"max_gpu": 1}),
        (client.delete, path(old)),
        (client.delete, path(old, "?force=true")),
    ):
        assert call(*given).status_code == 404, given
    assert len(requested()) == 1
    finish(old)


def test_its_name_is_free_at_once(api, ada, org, old):
    api(ada).delete(path(old))
    given = {"organization_id": str(org.pk), "name": old.name}
    totals = {"total_cpu": 1, "total_ram": 1, "total_gpu": 0}
    assert api(ada).post("/api/clusters", {**given, **totals}).status_code == 201
    assert api(ada).post("/api/clusters", {**given, **totals}).status_code == 409
    finish(old)
    assert [each["name"] for each in api(ada).get("/api/clusters").json()] == [old.name]


def test_the_scheduler_and_the_clock_leave_it_alone(api, ada, dev, old):
    queued, running = make(old, dev), make(old, dev, Status.RUNNING)
    Deployment.objects.filter(pk=running.pk).update(due_at=running.created_at)
    api(ada).delete(path(old, "?force=true"))
    assert cycle.run(old.pk, Trigger.SWEEP) is None
    assert overlooked_clusters() == []
    finish_due(queued.created_at)
    assert set(Deployment.objects.filter(pk__in=[queued.pk, running.pk]).values_list("status")) == {
        ("QUEUED",), ("RUNNING",)
    }  # fmt: skip
    finish(old)


def test_other_clusters_keep_all_they_have(api, ada, org, old):
    other = make_cluster(org, name="other")
    make_node(other)
    fill(other, ada, 3)
    record_cycles(other, 2)
    api(ada).delete(path(old))
    finish(old)
    assert Deployment.objects.count() == 3
    assert DeploymentEvent.objects.count() == 6
    assert SchedulingCycle.objects.count() == 2
    assert list(Cluster.with_deleted.values_list("name", flat=True)) == ["other"]


def test_the_request_does_little_however_long_the_history(api, ada, old):
    fill(old, ada, 3000)
    with CaptureQueriesContext(connection) as queries:
        assert api(ada).delete(path(old)).status_code == 202
    assert len(queries) < 40
    assert Deployment.objects.count() > 3000


def test_rows_go_in_small_transactions(old, monkeypatch):
    """No statement deletes more rows than a batch, and other tasks get their turns."""
    monkeypatch.setattr(deletion, "OF_A_TURN", 1000)
    delete_cluster(old)
    sizes = []

    def measure(run: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        result = run(sql, params, many, context)
        if sql.startswith("DELETE"):
            sizes.append(context["cursor"].rowcount)
        return result

    with connection.execute_wrapper(measure):
        assert finish(old) > 2
    assert max(sizes) <= deletion.BATCH


@pytest.mark.parametrize(
    "statement",
    [
        'DELETE FROM "deployments_deploymentevent"',
        'DELETE FROM "deployments_deployment"',
        'DELETE FROM "scheduler_schedulingcycle"',
        'DELETE FROM "clusters_cluster"',
    ],
)
def test_a_deletion_that_breaks_off_anywhere_is_taken_up_again(old, statement):
    class BrokenOffError(Exception):
        pass

    def break_off() -> None:
        raise BrokenOffError

    delete_cluster(old)
    redis_client().delete("runtimes")
    with pytest.raises(BrokenOffError), after_statement(statement, break_off):
        finish(old)
    assert Cluster.with_deleted.filter(pk=old.pk).exists()
    tasks.resume_deletions()
    assert requested()
    finish(old)
    assert not Deployment.objects.exists()


@pytest.mark.e2e
def test_a_worker_that_is_killed_is_replaced(old, ada, start_worker):
    """A real worker, killed while it deletes; its lock ends by itself."""
    fill(old, ada, 12_000)
    worker = start_worker(1, "runtimes", "threads")
    before = Deployment.objects.count()
    delete_cluster(old)
    _wait(lambda: Deployment.objects.count() < before - 2 * deletion.AT_ONCE)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    left = Deployment.objects.count()
    assert left
    redis_client().delete("runtimes")
    redis_client().delete(f"deletion:{old.pk}")  # as when it has ended
    start_worker(1, "runtimes", "threads")
    tasks.resume_deletions()
    _wait(lambda: not Cluster.with_deleted.exists())
    assert not Deployment.objects.exists()


def _wait(until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_while_another_worker_is_at_it_a_turn_does_nothing(old):
    delete_cluster(old)
    before = Deployment.objects.count()
    with try_lock(f"deletion:{old.pk}") as locked:
        assert locked
        take_turn(old.pk)
    assert Deployment.objects.count() == before
    finish(old)


def test_what_another_transaction_has_locked_waits_for_the_sweep(old, ada):
    """A turn that can delete nothing does not ask for another at once, again and again."""
    locked = Deployment.objects.filter(cluster=old).order_by("pk")[0]
    delete_cluster(old)
    requested()
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT FROM deployments_deployment WHERE id = %s FOR UPDATE", [str(locked.pk)]
            )
        while Deployment.objects.exclude(pk=locked.pk).exists():
            redis_client().delete("runtimes")
            take_turn(old.pk)
        redis_client().delete("runtimes")
        take_turn(old.pk)
        assert requested() == []
        assert Deployment.objects.get() == locked
    finally:
        other.rollback()
        other.close()
    deletion.resume_all()
    assert len(requested()) == 1
    take_turn(old.pk)
    assert not Cluster.with_deleted.filter(pk=old.pk).exists()


def test_two_at_once_delete_each_row_once(old):
    delete_cluster(old)
    answers = all_at_once(*[partial(delete_rows, old.pk, 100_000)] * 4)
    assert Left.NONE in answers  # the others left rows to the one that had locked them
    assert delete_rows(old.pk, 100_000) is Left.NONE
    assert not Cluster.with_deleted.exists()


def test_two_deletions_at_once_are_one(api, ada, old):
    answers = all_at_once(*[partial(api(ada).delete, path(old))] * 4)
    assert sorted(each.status_code for each in answers) == [202, 404, 404, 404]
    finish(old)


def test_submits_that_come_between_are_refused_or_gone_with_it(api, ada, dev, old):
    """Without force no submit that was answered 201 is lost: the deletion has found it in use."""
    submits = [partial(api(dev).post, "/api/deployments", body(old)) for _ in range(6)]
    *submitted, deleted = all_at_once(*submits, partial(api(ada).delete, path(old)))
    statuses = {each.status_code for each in submitted}
    if deleted.status_code == 202:
        assert statuses == {404}
        finish(old)
        assert not Deployment.objects.exists()
    else:
        assert deleted.status_code == 409
        assert statuses == {201}


@pytest.mark.parametrize("bulk", [False, True])
def test_a_submit_that_has_read_the_cluster_before_its_deletion_is_refused(
    api, ada, dev, old, bulk
):
    deleted = []

    def delete() -> None:
        deleted.extend(all_at_once(partial(api(ada).delete, path(old))))

    given = body(old)
    address, sent = "/api/deployments", given
    if bulk:
        address, sent = "/api/deployments/bulk", {"deployments": [given]}
    with after_statement('FROM "deployments_priorityclass"', delete):
        answer = api(dev).post(address, sent)
    assert [each.status_code for each in deleted] == [202]
    assert answer.status_code == 404
    finish(old)


def test_while_redis_is_away_it_is_deleted_and_the_sweep_asks_later(api, ada, old, monkeypatch):
    def fail(*_: Any, **__: Any) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(current_app, "send_task", fail)
    assert api(ada).delete(path(old)).status_code == 202
    monkeypatch.undo()
    assert requested() == []
    tasks.resume_deletions()
    assert len(requested()) == 1
    finish(old)


def test_requests_that_no_worker_takes_do_not_pile_up(api, ada, old):
    """The sweep asks anew every 15 seconds, so a request is worth nothing after a while."""
    api(ada).delete(path(old))
    [message] = requested()
    expires = datetime.fromisoformat(json.loads(message)["headers"]["expires"])
    assert expires - timezone.now() < timedelta(seconds=deletion.STALE_S)
    finish(old)


def test_its_logs_queues_and_registries_go_too(api, ada, old):
    queued = make(old, ada)
    ended = Deployment.objects.exclude(pk=queued.pk).first()
    DeploymentLog.objects.bulk_create(
        DeploymentLog(deployment=ended, attempt=number, replica=0, output=b"x")
        for number in range(50)
    )
    Registry.objects.create(cluster=old, host="r.example.org", username="u", secret="x")
    redis_client().zadd(redis_queues.queue_key(old.pk, "LOW"), {str(queued.pk): 1})
    api(ada).delete(path(old, "?force=true"))
    finish(old)
    assert not DeploymentLog.objects.exists()
    assert not Registry.objects.exists()
    assert not redis_client().exists(redis_queues.queue_key(old.pk, "LOW"))
