"""What was preempted as often as `max_preemptions` allows is told apart from its equals: under
`easy_backfill` no head of the queue can count on its eviction."""

from dataclasses import replace
from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster
from clusters.services.clusters import change_cluster
from deployments.models import Deployment, Status
from deployments.scheduling_key import key_of, request_in
from deployments.services.drafting.update import change_deployment
from deployments.services.submit import create_deployment
from deployments.tests.workloads import make
from scheduler import replay
from scheduler.engine.codec import canonical, decode_snapshot, encode_snapshot
from scheduler.models import SchedulingCycle
from scheduler.store import read_and_decide
from scheduler.tests.conftest import run_cycle
from scheduler.tests.engine.build import job, pool

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["fifo", "fair_share"])
def cluster(cluster: Cluster, request: pytest.FixtureRequest) -> Cluster:
    """Under fair_share keys end with the owner."""
    changes = {"ordering": request.param, "total_gpu": 4, "max_preemptions": 2}
    return change_cluster(cluster, changes)


def submit(user: User, cluster: Cluster, priority: str = "LOW", **more: Any) -> Deployment:
    spec = {"image": "busybox", "cpu_milli": 1000, "ram_mib": 1024, "gpu": 4, **more}
    return create_deployment(user, cluster.pk, spec, priority=priority).deployment


def key(row: Deployment) -> str:
    """In the table; it is the one that the row would get anew."""
    row = Deployment.objects.get(pk=row.pk)
    assert row.scheduling_key == key_of(row)
    return row.scheduling_key


def preempt(user: User, cluster: Cluster) -> None:
    """By a HIGH deployment that is stopped at once."""
    run_cycle(cluster)
    urgent = submit(user, cluster, "HIGH")
    run_cycle(cluster)
    assert Deployment.objects.get(pk=urgent.pk).status == Status.RUNNING
    Deployment.objects.filter(pk=urgent.pk).delete()
    Cluster.objects.filter(pk=cluster.pk).update(
        allocated_gpu=0, allocated_cpu_milli=0, allocated_ram_mib=0
    )


def test_the_key_says_after_the_last_preemption_that_it_stays(cluster: Cluster, dev: User) -> None:
    low = submit(dev, cluster)
    first = key(low)
    preempt(dev, cluster)
    assert key(low) == first
    preempt(dev, cluster)
    assert key(low) != first
    assert "/p" in key(low)
    assert request_in(key(low)) == request_in(first)
    fresh = submit(dev, cluster)
    assert key(fresh) == first
    queued = {each.id: each for each in read_and_decide(cluster.pk).snapshot.queued}
    assert {id_: each.preemptions for id_, each in queued.items()} == {
        str(low.pk): 2,
        str(fresh.pk): 0,
    }
    assert len({each.scheduling_key for each in queued.values()}) == 2
    (last,) = SchedulingCycle.objects.order_by("-pk")[:1]
    assert replay.replay(last).verdict == replay.Verdict.SAME


def test_the_key_follows_the_policy(cluster: Cluster, dev: User) -> None:
    """Also of what runs, since it may come back; not of what has ended."""
    often, once, ended = (
        make(cluster, dev, status, preemption_count=count)
        for status, count in [(Status.RUNNING, 3), (Status.QUEUED, 1), (Status.COMPLETED, 3)]
    )
    assert ["/p" in each.scheduling_key for each in (often, once, ended)] == [True, False, True]
    before = ended.scheduling_key
    change_cluster(cluster, {"max_preemptions": 4})
    assert "/p" not in key(often)
    change_cluster(cluster, {"max_preemptions": 1})
    assert all("/p" in key(each) for each in (often, once))
    change_cluster(cluster, {"ordering": "gpu_weighted"})
    assert all(key(each).endswith("/p") for each in (often, once))
    assert Deployment.objects.get(pk=ended.pk).scheduling_key == before


def test_another_request_keeps_it(cluster: Cluster, dev: User) -> None:
    row = make(cluster, dev, preemption_count=2)
    change_deployment(dev, row, {"gpu": 1})
    assert "/p" in key(row)


def test_a_ledger_from_before_reads_the_same() -> None:
    """The number is left out where it is 0, as it was before there was one."""
    never = pool(queued=[job(1, preemptions=0)])
    often = replace(never, queued=(replace(never.queued[0], preemptions=2),))
    assert all(decode_snapshot(encode_snapshot(each)) == each for each in (never, often))
    ends = (b'1,[],null,"",false,2]', b"1,[],null]")
    before = canonical(encode_snapshot(often)).replace(*ends)
    assert before == canonical(encode_snapshot(never))
