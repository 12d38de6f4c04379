"""Waiting deployments are read by their indexes, and each of them once."""

from copy import copy
from typing import Any

import pytest
from django.db import connection
from uuid_utils.compat import uuid7

from clusters.models import Cluster
from deployments.models import Deployment, Status
from scheduler.engine.snapshot import Workload
from scheduler.queries import overlooked_clusters, queue_of
from scheduler.store import read_and_decide
from scheduler.store.queue.reader import QueueReader
from scheduler.tests.conftest import Submit

pytestmark = pytest.mark.django_db


def test_waiting_deployments_are_found_without_reading_ended_ones(
    cluster: Cluster, submit: Submit
) -> None:
    """The history grows for ever; what runs after each cycle and every ten seconds must not."""
    indexes = ("waiting", "ready", "line", "not_completed")  # of indexes, the last one by status
    row = submit("LOW", gpu=9)
    ended = Deployment.objects.get(pk=row.pk)
    ended.status, ended.finished_at = Status.COMPLETED, ended.created_at
    history = []
    for _ in range(5000):
        ended.pk = uuid7()
        history.append(copy(ended))
    Deployment.objects.bulk_create(history)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE deployments_deployment")
    for query in (queue_of(cluster), Deployment.objects.filter(status=Status.QUEUED)):
        plan = query.explain()
        assert "Seq Scan on deployments_deployment" not in plan
        assert any(f"deployment_{name}" in plan for name in indexes), plan
    assert overlooked_clusters() == [cluster.pk]


def test_a_deployment_that_becomes_ready_meanwhile_is_not_read_twice(
    cluster: Cluster, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older equal becomes ready between the reading of the heads and of those behind them."""
    older, head, member = (submit("LOW", gpu=1) for _ in range(3))
    Deployment.objects.filter(pk=older.pk).update(pending_dependencies=1)
    real = QueueReader.heads

    def heads(queue: QueueReader, *args: Any) -> tuple[list[Workload], bool]:
        found = real(queue, *args)
        Deployment.objects.filter(pk=older.pk).update(pending_dependencies=0)
        return found

    monkeypatch.setattr(QueueReader, "heads", heads)
    found = [workload.id for workload in read_and_decide(cluster.pk).snapshot.queued]
    assert found == [str(head.pk), str(member.pk)]
