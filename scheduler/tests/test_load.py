"""What a cycle reads is less than everything, and plans the same as everything would."""

from copy import copy
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from clusters.models import Cluster
from deployments.models import Deployment, Status
from scheduler.engine import make_plan
from scheduler.engine.snapshot import Workload
from scheduler.queries import overlooked_clusters, queue_of
from scheduler.store import load, load_snapshot, read_snapshot
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db

submits = st.tuples(
    st.sampled_from(["LOW", "LOW", "HIGH"]),
    st.integers(0, 5),
    st.integers(1, 20),
    st.sampled_from([None, None, 60, 7200]),
    st.integers(0, 2),  # hours that it has waited
)


@given(
    first=st.lists(submits, max_size=6),
    then=st.lists(submits, min_size=1, max_size=8),
    queueing=st.sampled_from(["best_effort", "strict", "easy_backfill"]),
)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_plan_is_that_of_the_whole_cluster(
    cluster: Cluster, submit: Submit, first: list[Any], then: list[Any], queueing: str
) -> None:
    with transaction.atomic():
        Cluster.objects.update(queueing=queueing)
        for round_ in (first, then):
            for priority, gpu, cpu, limit_s, hours in round_:
                row = submit(priority, gpu=gpu, cpu=cpu, max_runtime_s=limit_s)
                waited = row.created_at - timedelta(hours=hours)
                Deployment.objects.filter(pk=row.pk).update(queued_at=waited)
            if round_ is first:
                run_cycle(cluster)
        cycle, whole = make_plan(load_snapshot(cluster.pk)), make_plan(read_snapshot(cluster.pk))
        assert [s.workload_id for s in cycle.starts] == [s.workload_id for s in whole.starts]
        assert {e.workload_id for e in cycle.evictions} == {e.workload_id for e in whole.evictions}
        transaction.set_rollback(True)


def test_who_waits_is_found_without_reading_who_has_ended(cluster: Cluster, submit: Submit) -> None:
    """The history grows for ever; what runs after each cycle and every ten seconds must not."""
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
        assert "deployment_waiting" in plan or "deployment_ready" in plan
    assert overlooked_clusters() == [cluster.pk]


def test_who_becomes_ready_while_it_is_read_brings_nobody_in_twice(
    cluster: Cluster, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older equal turns up between the reading of the heads and of those behind them."""
    older, head, member = (submit("LOW", gpu=1) for _ in range(3))
    Deployment.objects.filter(pk=older.pk).update(pending_dependencies=1)
    real = load._queue_heads

    def heads(cluster_id: UUID) -> list[Workload]:
        found = real(cluster_id)
        Deployment.objects.filter(pk=older.pk).update(pending_dependencies=0)
        return found

    monkeypatch.setattr(load, "_queue_heads", heads)
    found = [workload.id for workload in load_snapshot(cluster.pk).queued]
    assert found == [str(head.pk), str(member.pk)]
