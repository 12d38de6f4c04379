"""Quotas from the tables to the tables: keys, snapshots, cycles and reasons."""

from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster
from clusters.services.quotas import delete_quota, put_quota
from deployments.models import Deployment, Status, WaitReason
from deployments.reasons.reader import reasons_for
from deployments.scheduling_key import key_of
from deployments.services.drafting.update import change_deployment
from deployments.services.submit import create_deployment
from deployments.tests.workloads import body, make
from organizations.tests.people import client_for
from scheduler import audit, replay
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import DEFAULT_QUOTA
from scheduler.models import SchedulingCycle
from scheduler.store import read_and_decide
from scheduler.store.queue.relevant import LIMITS
from scheduler.tests.conftest import run_cycle

pytestmark = pytest.mark.django_db


def submit(user: User, cluster: Cluster, priority: str = "LOW", **more: Any) -> Deployment:
    spec = {"image": "busybox", "cpu_milli": 1000, "ram_mib": 1024, "gpu": 1, **more}
    return create_deployment(user, cluster.pk, spec, priority=priority).deployment


def statuses(*rows: Deployment) -> list[str]:
    return [Deployment.objects.get(pk=row.pk).status for row in rows]


def test_the_snapshot_has_quotas_and_what_is_allocated(
    cluster: Cluster, dev: User, ada: User
) -> None:
    """Of those alone that have capacity; in cores and MiB as in GPUs."""
    put_quota(cluster, None, {"max_gpu": 2})
    put_quota(cluster, ada.pk, {"max_cpu_milli": 1500, "max_ram_mib": 4096})
    make(cluster, dev, Status.RUNNING, gpu=2, replicas=2)
    make(cluster, dev, Status.STOPPED, gpu=3)
    submit(ada, cluster)
    snapshot = read_and_decide(cluster.pk).snapshot
    assert snapshot.allocated_by_owner == ((str(dev.pk), Resources(2000, 1024, 4)),)
    assert snapshot.quotas == (
        (DEFAULT_QUOTA, Resources(ENDLESS, ENDLESS, 2)),
        (str(ada.pk), Resources(1500, 4096, ENDLESS)),
    )
    assert [each.owner for each in snapshot.queued] == [str(ada.pk)]


def test_keys_tell_the_owner_while_there_are_quotas(cluster: Cluster, dev: User, ada: User) -> None:
    """Of what waited before as of what comes after; and no longer once the last is gone."""
    before = submit(dev, cluster)
    put_quota(cluster, None, {"max_gpu": 2})
    after = submit(ada, cluster)
    for row in (before, after):
        row.refresh_from_db()
        assert row.scheduling_key.endswith(f"/u{row.owner_id.hex}")
    put_quota(cluster, ada.pk, {})
    delete_quota(cluster, None)
    before.refresh_from_db()
    assert before.scheduling_key.endswith(f"/u{dev.pk.hex}")  # one quota is left
    delete_quota(cluster, ada.pk)
    for row in (before, after):
        row.refresh_from_db()
        assert "/u" not in row.scheduling_key
        assert row.scheduling_key == key_of(row)


def test_no_owner_exceeds_the_quota_and_the_rest_is_for_all(
    cluster: Cluster, dev: User, ada: User
) -> None:
    put_quota(cluster, None, {"max_gpu": 2})
    first = [submit(dev, cluster) for _ in range(4)]
    later = submit(ada, cluster)
    run_cycle(cluster)
    assert statuses(*first, later) == ["RUNNING", "RUNNING", "QUEUED", "QUEUED", "RUNNING"]
    assert audit.breaches(queues_too=True) == []
    client_for(dev).post(f"/api/deployments/{first[0].pk}/stop")
    run_cycle(cluster)
    assert statuses(*first) == ["STOPPED", "RUNNING", "RUNNING", "QUEUED"]
    assert audit.breaches(queues_too=True) == []


def test_the_reason_for_a_wait_has_the_numbers(cluster: Cluster, dev: User) -> None:
    """No cycle reads them, as too little is left of the quota: the reason is found on demand."""
    put_quota(cluster, dev.pk, {"max_gpu": 3, "max_cpu_milli": 1500})
    submit(dev, cluster, cpu_milli=500)
    run_cycle(cluster)
    waiting, huge = submit(dev, cluster, cpu_milli=1250), submit(dev, cluster, gpu=4)
    for _ in range(LIMITS.short):  # a shorter queue is read whole
        submit(dev, cluster, gpu=4)
    run_cycle(cluster)
    assert not WaitReason.objects.exists()
    shown = reasons_for([waiting, huge])
    assert shown[waiting.pk] == {
        "code": "QUOTA_EXCEEDED",
        "message": "Asks for 1.25 CPU cores: its owner has 0.5 allocated, and the quota is 1.5.",
        "details": {"quota": 1.5, "resource": "cpu", "allocated": 0.5, "requested": 1.25},
    }
    assert (shown[huge.pk] or {})["message"] == "Asks for 4 GPUs, and its owner's quota is 3."


def test_an_urgent_deployment_over_the_quota_evicts_none(
    cluster: Cluster, dev: User, ada: User
) -> None:
    low = submit(ada, cluster, gpu=8)
    run_cycle(cluster)
    put_quota(cluster, dev.pk, {"max_gpu": 1})
    high = submit(dev, cluster, "HIGH", gpu=2)
    run_cycle(cluster)
    assert statuses(low, high) == ["RUNNING", "QUEUED"]
    put_quota(cluster, dev.pk, {"max_gpu": 2})
    run_cycle(cluster)
    assert statuses(low, high) == ["QUEUED", "RUNNING"]


@pytest.mark.parametrize("waiting", [0, 20])  # a queue that is read whole, and a longer one
def test_with_the_policy_it_evicts_its_owners_own(
    cluster: Cluster, dev: User, ada: User, waiting: int
) -> None:
    client_for(ada).patch(
        f"/api/clusters/{cluster.pk}", {"policy": {"preemption_within_quota": "lower_priority"}}
    )
    put_quota(cluster, dev.pk, {"max_gpu": 1})
    own, other = submit(dev, cluster), submit(ada, cluster)
    run_cycle(cluster)
    for _ in range(waiting):
        submit(dev, cluster)
    urgent = submit(dev, cluster, "HIGH")
    cycle = run_cycle(cluster)
    assert cycle is not None
    assert statuses(own, other, urgent) == ["QUEUED", "RUNNING", "RUNNING"]
    own.refresh_from_db()
    assert own.reason_code == "PREEMPTED"
    assert "Made room for" in str(reasons_for([own])[own.pk])
    assert "in its owner's quota" in str(reasons_for([own])[own.pk])
    assert audit.breaches(queues_too=True) == []
    recorded = SchedulingCycle.objects.order_by("-pk")[0]
    assert replay.replay(recorded).verdict is replay.Verdict.SAME


def test_a_smaller_request_starts(cluster: Cluster, dev: User) -> None:
    put_quota(cluster, None, {"max_gpu": 1})
    row = submit(dev, cluster, gpu=2)
    run_cycle(cluster)
    change_deployment(dev, row, {"gpu": 1})
    run_cycle(cluster)
    assert statuses(row) == ["RUNNING"]


def test_an_explanation_names_the_owners_others_and_what_would_start(
    cluster: Cluster, dev: User, ada: User
) -> None:
    put_quota(cluster, dev.pk, {"max_gpu": 3})
    mine, theirs = submit(dev, cluster, gpu=2), submit(ada, cluster, gpu=4)
    run_cycle(cluster)
    waiting = submit(dev, cluster, gpu=2)
    run_cycle(cluster)
    found = client_for(dev).get(f"/api/deployments/{waiting.pk}/explain").json()
    assert found["reason"]["code"] == "QUOTA_EXCEEDED"
    assert [each["deployment_id"] for each in found["allocated_to"]] == [str(mine.pk)]
    helps = found["starts_now_with"]
    assert helps["less"] == [{"field": "required_gpu", "at_most": 1}]
    assert helps["priority"] is None
    assert helps["after"]["any_one_of"] == [str(mine.pk)]
    assert statuses(theirs) == ["RUNNING"]


def test_another_clusters_quota_counts_there(
    cluster: Cluster, other_cluster: Cluster, dev: User
) -> None:
    """It is recommended only where it would start."""
    waiting = submit(dev, cluster, gpu=9)
    run_cycle(cluster)
    path = f"/api/deployments/{waiting.pk}/explain"

    def elsewhere() -> list[str]:
        helps = client_for(dev).get(path).json()["starts_now_with"]
        return [each["cluster_id"] for each in helps["another_cluster"]]

    assert elsewhere() == [str(other_cluster.pk)]
    put_quota(other_cluster, None, {"max_gpu": 8})
    assert elsewhere() == []
    put_quota(other_cluster, dev.pk, {"max_gpu": 9})
    assert elsewhere() == [str(other_cluster.pk)]


@pytest.fixture
def other_cluster(cluster: Cluster) -> Cluster:
    return Cluster.objects.create(
        organization=cluster.organization,
        name="east",
        total_cpu_milli=64_000,
        total_ram_mib=512 * 1024,
        total_gpu=16,
    )


def test_a_quote_knows_the_quota_and_does_not_outlive_it(cluster: Cluster, dev: User) -> None:
    put_quota(cluster, dev.pk, {"max_gpu": 1})
    given = body(cluster, required_gpu=2)
    quote = client_for(dev).post("/api/deployments/quote", given).json()
    assert (quote["outcome"], quote["reason"]["code"]) == ("WAITS", "QUOTA_EXCEEDED")
    small = body(cluster, required_gpu=1)
    quote = client_for(dev).post("/api/deployments/quote", small).json()
    assert quote["outcome"] == "STARTS_NOW"
    put_quota(cluster, dev.pk, {"max_gpu": 0})
    refused = client_for(dev).post("/api/deployments", {**small, "quote": quote["token"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "quote_stale")
    assert not Deployment.objects.exists()
    quote = client_for(dev).post("/api/deployments/quote", body(cluster, required_gpu=0)).json()
    given = {**body(cluster, required_gpu=0), "quote": quote["token"]}
    assert client_for(dev).post("/api/deployments", given).json()["status"] == "RUNNING"


def test_what_is_decided_under_quotas_replays_bit_for_bit(
    cluster: Cluster, dev: User, ada: User
) -> None:
    put_quota(cluster, None, {"max_gpu": 2})
    for user in (dev, ada):
        for _ in range(3):
            submit(user, cluster)
    run_cycle(cluster)
    row = SchedulingCycle.objects.get()
    assert row.started_count == 4
    assert replay.replay(row).verdict is replay.Verdict.SAME
