"""What happens by the clock alone happens at its moment, not with the next full pass."""

from datetime import timedelta
from typing import Any

import pytest

from clusters.models import Node
from deployments import wakeup
from deployments.lifecycle import due
from deployments.tests.reconciler.testbed import Testbed
from mlops_platform.coordination.redis import redis_client
from mlops_platform.database.clock import database_now

pytestmark = pytest.mark.django_db(transaction=True)


def moments() -> dict[str, float]:
    """In how many seconds from now, by what is wanted then."""
    found: Any = redis_client().zrange(wakeup.MOMENTS, 0, -1, withscores=True)
    now = redis_client().time()
    return {str(wanted): at / 1000 - now[0] for wanted, at in found}


def of(testbed: Testbed) -> str:
    return f"{testbed.cluster.pk} *"


def test_the_worker_wakes_when_a_node_is_lost(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    redis_client().delete(wakeup.MOMENTS)
    testbed.disconnect(a)
    testbed.reconcile()
    in_s = moments()[of(testbed)]
    assert testbed.cluster.node_lost_after_s - 15 < in_s <= testbed.cluster.node_lost_after_s + 1
    long_ago = database_now() - timedelta(seconds=testbed.cluster.node_lost_after_s)
    Node.objects.filter(pk=a.pk).update(not_ready_since=long_ago)
    redis_client().zadd(wakeup.MOMENTS, {of(testbed): 0})
    due.wake_all()
    testbed.reconcile(*wakeup.take_deployment_ids(testbed.cluster.pk))
    assert testbed.status(row) == "QUEUED"


def test_the_worker_wakes_when_a_probe_has_to_have_passed(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("warming", readiness={"kind": "tcp", "port": 80, "within_s": 40})
    testbed.settle()
    assert testbed.status(row) == "STARTING"
    assert 20 < moments()[of(testbed)] <= 41


def test_nothing_wakes_where_nothing_is_to_come(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit()
    testbed.settle()
    redis_client().delete(wakeup.MOMENTS)
    testbed.reconcile()
    assert testbed.status(row) == "RUNNING"
    assert moments() == {}


def test_redis_that_is_away_keeps_no_moment_and_stops_no_pass(
    testbed: Testbed, settings, tmp_path, caplog
):
    settings.REDIS_URL = f"unix://{tmp_path}/missing.sock"
    wakeup.request_in(testbed.cluster.pk, 1.0)
    assert "redis is away" in caplog.text
