"""The share of the cluster that preemption leaves to LOW: in cycles and answers."""

from collections.abc import Callable

import pytest

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, Status
from mlops_platform.tests.equipment.workers import StartTimer
from scheduler import replay
from scheduler.models import SchedulingCycle
from scheduler.tests.api.test_explain import explained
from scheduler.tests.api.test_quote import body, quoted
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.tests.timer.test_process import wait_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def cluster(cluster: Cluster) -> Cluster:
    Cluster.objects.update(low_share_percent=50)
    cluster.refresh_from_db()
    return cluster


def status(row: Deployment) -> str:
    return Deployment.objects.values_list("status", flat=True).get(pk=row.pk)


def test_one_is_evicted_and_the_other_spared_for_its_share(
    cluster: Cluster, submit: Submit, dev: User
) -> None:
    lows = [submit("LOW", gpu=4) for _ in range(2)]
    run_cycle(cluster)
    answer = quoted(dev, body(cluster, priority="HIGH", required_gpu=8))
    assert answer["outcome"] == "WAITS"
    high = submit("HIGH", gpu=4)
    assert len(run_cycle(cluster).plan.evictions) == 1
    assert status(high) == Status.RUNNING
    recorded = SchedulingCycle.objects.order_by("started_at").last()
    assert recorded is not None
    assert replay.replay(recorded).verdict is replay.Verdict.SAME
    waits = submit("HIGH", gpu=4)
    assert run_cycle(cluster).plan.evictions == ()
    spared = explained(dev, waits)["preemption"]["spared"]
    [of_share] = [each for each in spared if each["cause"] == "LOW_SHARE"]
    [left] = [row for row in lows if status(row) == Status.RUNNING]
    assert [each["deployment_id"] for each in of_share["deployments"]] == [str(left.pk)]
    assert (of_share["count"], of_share["until"]) == (1, None)


@pytest.mark.concurrency
@pytest.mark.django_db(transaction=True)
def test_with_real_workers_low_keeps_its_share_however_many_high_come(
    cluster: Cluster,
    submit: Submit,
    start_timer: StartTimer,
    start_worker: Callable[..., object],
) -> None:
    start_worker(concurrency=1)
    start_timer()
    lows = [submit("LOW", gpu=2) for _ in range(4)]
    wait_for(lambda: {status(row) for row in lows} == {Status.RUNNING})
    highs = [submit("HIGH", gpu=2) for _ in range(4)]
    wait_for(lambda: [status(row) for row in highs].count(Status.RUNNING) == 2)
    ended = submit("HIGH", gpu=0)
    wait_for(lambda: status(ended) == Status.RUNNING)  # a later cycle has looked at all
    assert [status(row) for row in highs].count(Status.RUNNING) == 2
    assert [status(row) for row in lows].count(Status.RUNNING) == 2
