"""fair_share from the tables to the tables: keys, snapshots, doors."""

from typing import Any

import pytest
from django.urls import reverse

from accounts.models import User
from clusters.models import Cluster
from clusters.services.clusters import change_cluster
from deployments.models import Deployment, Status
from deployments.scheduling_key import key_of
from deployments.services.drafting.update import change_deployment
from deployments.services.submit import create_deployment
from deployments.tests.workloads import body, make
from scheduler import audit, replay
from scheduler.engine.resources import Resources
from scheduler.models import SchedulingCycle
from scheduler.store import read_and_decide
from scheduler.tests.conftest import run_cycle

pytestmark = pytest.mark.django_db


@pytest.fixture
def cluster(cluster: Cluster) -> Cluster:
    return change_cluster(cluster, {"ordering": "fair_share"})


def submit(user: User, cluster: Cluster, priority: str = "LOW", **more: Any) -> Deployment:
    spec = {"image": "busybox", "cpu_milli": 1000, "ram_mib": 1024, "gpu": 2, **more}
    return create_deployment(user, cluster.pk, spec, priority=priority).deployment


def running(*rows: Deployment) -> list[bool]:
    return [Deployment.objects.get(pk=row.pk).status == Status.RUNNING for row in rows]


def test_an_owner_that_came_later_gets_as_much(cluster: Cluster, dev: User, ada: User) -> None:
    first = [submit(dev, cluster) for _ in range(5)]
    later = [submit(ada, cluster) for _ in range(5)]
    run_cycle(cluster)
    assert running(*first) == running(*later) == [True, True, False, False, False]
    assert audit.breaches(queues_too=True) == []


def test_what_is_allocated_already_counts(cluster: Cluster, dev: User, ada: User) -> None:
    """Of any class, and until it has ended; not what has made way already."""
    make(cluster, dev, Status.RUNNING, priority="HIGH", gpu=2)
    make(cluster, dev, Status.STOPPING, gpu=1)
    make(cluster, dev, Status.STOPPED, gpu=8)
    mine, theirs = submit(dev, cluster, gpu=3), submit(ada, cluster, gpu=3)
    assert read_and_decide(cluster.pk).snapshot.allocated_by_owner == (
        (str(dev.pk), Resources(2000, 1024, 3)),
    )
    run_cycle(cluster)
    assert running(mine, theirs) == [False, True]


def test_an_eviction_gives_the_owners_share_back(cluster: Cluster, dev: User, ada: User) -> None:
    change_cluster(cluster, {"total_gpu": 4})
    victim = submit(dev, cluster, gpu=4)
    run_cycle(cluster)
    urgent = submit(ada, cluster, "HIGH", gpu=2)
    his, hers = submit(dev, cluster, gpu=2), submit(ada, cluster, gpu=2)
    run_cycle(cluster)
    assert running(victim, urgent, his, hers) == [False, True, True, False]
    victim.refresh_from_db()
    assert victim.scheduling_key == key_of(victim)


def test_a_plan_is_replayed_bit_for_bit(cluster: Cluster, dev: User, ada: User) -> None:
    for user in (dev, dev, ada, dev):
        submit(user, cluster)
    run_cycle(cluster)
    (cycle,) = SchedulingCycle.objects.all()
    assert replay.replay(cycle).verdict == replay.Verdict.SAME


def test_keys_follow_the_policy(cluster: Cluster, dev: User) -> None:
    """Of those that wait and those that run, which may come back; not of those that have ended."""
    named = [make(cluster, dev), make(cluster, dev, Status.RUNNING, node_selector={"a": "b"})]
    ended = make(cluster, dev, Status.COMPLETED)
    for row in (*named, ended):
        assert row.scheduling_key.endswith(f"/u{dev.pk.hex}")
    change_cluster(cluster, {"ordering": "fifo"})
    cluster.refresh_from_db()
    for row in named:
        now = Deployment.objects.get(pk=row.pk)
        assert now.scheduling_key == key_of(now, cluster)
        assert "/u" not in now.scheduling_key
    assert Deployment.objects.get(pk=ended.pk).scheduling_key == ended.scheduling_key
    change_cluster(cluster, {"ordering": "fair_share"})
    assert [Deployment.objects.get(pk=row.pk).scheduling_key for row in named] == [
        row.scheduling_key for row in named
    ]


def test_one_that_was_submitted_under_the_policy_of_before_is_found(
    cluster: Cluster, dev: User, ada: User
) -> None:
    """It had read the cluster before the change, and committed after it."""
    late = submit(dev, cluster)
    Deployment.objects.filter(pk=late.pk).update(scheduling_key="LOW/1000/1024/2x1")
    (workload,) = read_and_decide(cluster.pk).snapshot.queued
    assert workload.scheduling_key == late.scheduling_key
    assert workload.owner == str(dev.pk)


def test_a_changed_request_keeps_the_owner_in_its_key(cluster: Cluster, dev: User) -> None:
    row = change_deployment(dev, submit(dev, cluster), {"gpu": 1})
    assert row.scheduling_key == f"LOW/1000/1024/1x1/u{dev.pk.hex}"
    renamed = change_deployment(dev, row, {"name": "other"})
    assert renamed.scheduling_key == row.scheduling_key


def test_other_clusters_snapshots_name_no_owners(cluster: Cluster, dev: User) -> None:
    change_cluster(cluster, {"ordering": "gpu_weighted"})
    submit(dev, cluster)
    snapshot = read_and_decide(cluster.pk).snapshot
    assert snapshot.allocated_by_owner == ()
    assert [each.owner for each in snapshot.queued] == [""]


def test_the_queue_is_shown_by_submit_time(
    api: Any, cluster: Cluster, dev: User, ada: User
) -> None:
    make(cluster, dev, Status.RUNNING, gpu=8)
    rows = [submit(dev, cluster), submit(ada, cluster, gpu=4), submit(dev, cluster)]
    run_cycle(cluster)
    shown = api(dev).get(f"/api/clusters/{cluster.pk}/queue").json()
    assert [each["id"] for each in shown] == [str(row.pk) for row in rows]
    assert [each["position"] for each in shown] == [1, 2, 3]


def test_a_quote_is_kept(api: Any, cluster: Cluster, dev: User) -> None:
    client, wanted = api(dev), body(cluster)
    quote = client.post("/api/deployments/quote", wanted).json()
    assert quote["outcome"] == "STARTS_NOW"
    made = client.post("/api/deployments", {**wanted, "quote": quote["token"]})
    assert (made.status_code, made.json()["status"]) == (201, "RUNNING")


def test_a_wait_for_the_fair_share_is_explained(
    api: Any, cluster: Cluster, dev: User, ada: User
) -> None:
    """Also by whose end would help, which gives its owner's share back."""
    reserved_for = make(cluster, ada, Status.RUNNING, gpu=8)
    row = submit(dev, cluster)
    run_cycle(cluster)
    given = api(dev).get(f"/api/deployments/{row.pk}/explain").json()
    assert given["reason"]["code"] == "INSUFFICIENT_CAPACITY"
    assert given["starts_now_with"]["after"]["any_one_of"] == [str(reserved_for.pk)]


def test_an_operator_chooses_it(admin_client: Any, cluster: Cluster) -> None:
    page = admin_client.get(reverse("admin:clusters_cluster_change", args=[cluster.pk]))
    assert b'<option value="fair_share" selected>' in page.content


def test_operators_read_the_owner_of_a_waiting_request(
    admin_client: Any, cluster: Cluster, dev: User
) -> None:
    make(cluster, dev, Status.RUNNING, gpu=6)
    for _ in range(2):
        submit(dev, cluster)
    run_cycle(cluster)
    (cycle,) = SchedulingCycle.objects.all()
    page = admin_client.get(reverse("admin:scheduler_schedulingcycle_change", args=[cycle.pk]))
    assert f"LOW, 1 core, 1 GiB, 2 GPUs, of user {dev.pk}" in page.content.decode()
