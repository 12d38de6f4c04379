"""The replicas of a gang begin together, learn of each other, and end together."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from clusters.models import Node, Sandbox
from deployments.models import Deployment, DeploymentEvent
from deployments.reconciler.assessment import GATHER_WITHIN_S, Outcome, assess
from deployments.reconciler.loop import reconcile
from deployments.reconciler.observation import Replica
from deployments.runtimes.base import Key, LaunchSpec, Phase, ReplicaStatus
from deployments.tests.reconciler.testbed import Testbed, reason
from deployments.tests.workloads import allocated

pytestmark = pytest.mark.django_db


def notices(row: Deployment) -> list[Mapping[str, Any]]:
    entries = DeploymentEvent.objects.filter(deployment=row, type="NOTICE").order_by("id")
    return [entry.details for entry in entries]


def environments(testbed: Testbed, *nodes: Node) -> dict[int, dict[str, str]]:
    """What each replica was started with."""
    return {
        each.replica: spec.env_of(each.replica)
        for node in nodes
        for spec in testbed.runtime_of(node).launch_specs
        for each in spec.placement
    }


def test_a_gang_on_one_engine_learns_its_ranks_and_where_rank_0_is(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit(replicas=2)
    testbed.settle()
    env = environments(testbed, a)
    assert [env[number]["RANK"] for number in (0, 1)] == ["0", "1"]
    addresses = {env[number]["MASTER_ADDR"] for number in (0, 1)}
    assert addresses == {f"replica-0.mlops-{row.pk}-1"}
    assert notices(row) == []


def test_each_attempt_has_names_of_its_own(testbed: Testbed, a: Node):
    testbed.reconcile()
    row = testbed.submit("exit:1", replicas=2, max_retries=1)
    testbed.settle()
    testbed.end_retry_pauses()
    testbed.settle()
    groups = {spec.peers.group for spec in testbed.runtime_of(a).launch_specs if spec.peers}
    assert groups == {f"mlops-{row.pk}-1", f"mlops-{row.pk}-2"}


def test_a_deployment_of_one_replica_is_no_gang(testbed: Testbed, a: Node):
    testbed.reconcile()
    testbed.submit()
    testbed.settle()
    assert [spec.peers for spec in testbed.runtime_of(a).launch_specs] == [None]


def test_engines_that_share_no_network_are_said_and_no_address_is_promised(
    testbed: Testbed, a: Node, b: Node
):
    testbed.reconcile()
    row = testbed.submit(replicas=4)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    [notice] = notices(row)
    assert notice["code"] == "PEERS_UNREACHABLE"
    assert "2 Docker engines" in notice["said"]
    env = environments(testbed, a, b)
    assert sorted(env) == [0, 1, 2, 3]
    assert [env[number]["RANK"] for number in range(4)] == ["0", "1", "2", "3"]
    assert not any("MASTER_ADDR" in each for each in env.values())
    assert reason(row) == {}


def test_an_operators_network_connects_engines(testbed: Testbed, a: Node, b: Node):
    Sandbox.objects.create(cluster=testbed.cluster, network="overlay")
    testbed.reconcile()
    row = testbed.submit(replicas=4)
    testbed.settle()
    assert notices(row) == []
    assert all("MASTER_ADDR" in each for each in environments(testbed, a, b).values())


def test_a_sandbox_without_a_network_is_said(testbed: Testbed, a: Node):
    Sandbox.objects.create(cluster=testbed.cluster, network="none")
    testbed.reconcile()
    row, single = testbed.submit(replicas=2, gpu=0), testbed.submit(gpu=0)
    testbed.settle()
    assert [each["code"] for each in notices(row)] == ["PEERS_UNREACHABLE"]
    assert notices(single) == []
    assert testbed.status(row) == "RUNNING"


def test_no_program_of_a_gang_runs_before_all_engines_have_its_containers(
    testbed: Testbed, a: Node, b: Node
):
    """One engine lacks the image: the other one waits, and starts nothing."""
    testbed.reconcile()
    testbed.runtime_of(b).missing_images.add("sleep")
    pulled: list[str] = []

    def pull(own: Callable[..., None], image: str, *arguments: Any, **options: Any) -> None:
        pulled.append(image)
        phases = {each.phase for each in testbed.runtime_of(a).observe()}
        assert phases == {Phase.PENDING}
        own(image, *arguments, **options)

    testbed.intercept(b, "pull", pull)
    row = testbed.submit(replicas=4)
    testbed.cycle()
    testbed.reconcile()
    assert pulled == ["sleep"]
    testbed.settle()
    assert testbed.status(row) == "RUNNING"


def test_a_gang_on_one_engine_takes_one_call(testbed: Testbed, a: Node):
    calls: list[LaunchSpec] = []

    def prepare(own: Callable[[LaunchSpec], None], spec: LaunchSpec) -> None:
        calls.append(spec)
        own(spec)

    testbed.intercept(a, "prepare", prepare)
    testbed.reconcile()
    row = testbed.submit(replicas=2)
    testbed.settle()
    assert testbed.status(row) == "RUNNING"
    assert calls == []


def replica(number: int, status: ReplicaStatus | None) -> Replica:
    return Replica(number, None, status=status, answered=True, node_lost=False, node_returned=False)


def waiting(number: int, since: datetime) -> Replica:
    key = Key("x", 1, number)
    return replica(number, ReplicaStatus(key, Phase.PENDING, begun=False, created_at=since))


def pulling(number: int) -> Replica:
    return replica(number, ReplicaStatus(Key("x", 1, number), Phase.PENDING))


def test_replicas_that_wait_go_on_waiting_while_another_is_made():
    now = timezone.now()
    row = Deployment(status="STARTING", replicas=2, admitted_at=now)
    assert assess(row, [waiting(0, now), pulling(1)], now).outcome == Outcome.UNCHANGED
    assert assess(row, [waiting(0, now), waiting(1, now)], now).outcome == Outcome.START
    assert assess(row, [waiting(0, now), replica(1, None)], now).outcome == Outcome.START


@pytest.mark.parametrize("other", [pulling(1), replica(1, None)])
def test_a_replica_that_does_not_come_ends_the_wait_of_the_others(other):
    now = timezone.now()
    since = now - timedelta(seconds=GATHER_WITHIN_S + 1)
    row = Deployment(status="STARTING", replicas=2, admitted_at=since)
    assessed = assess(row, [waiting(0, since), other], now)
    assert (assessed.outcome, assessed.code) == (Outcome.REQUEUE, "GANG_INCOMPLETE")
    assert assessed.alive
    assert assessed.details == {"missing": [1], "count": 1, "within_s": GATHER_WITHIN_S}


def test_a_gang_whose_replicas_are_all_there_is_started_however_late():
    now = timezone.now()
    since = now - timedelta(seconds=GATHER_WITHIN_S + 1)
    row = Deployment(status="STARTING", replicas=2, admitted_at=since)
    assessed = assess(row, [waiting(0, since), waiting(1, since)], now)
    assert assessed.outcome == Outcome.START


def test_an_incomplete_gang_waits_again_counts_no_failure_and_says_who_was_missing(
    testbed: Testbed, a: Node, b: Node
):
    def reconcile_without_pulls() -> None:  # the image takes for ever
        reconcile(testbed.cluster.pk, ["*"], lambda *_: None)

    testbed.reconcile()
    testbed.runtime_of(b).missing_images.add("sleep")
    row = testbed.submit(replicas=4)
    testbed.cycle()
    reconcile_without_pulls()
    assert testbed.status(row) == "STARTING"
    long_ago = timezone.now() - timedelta(seconds=GATHER_WITHIN_S + 1)
    testbed.runtime_of(a).backdate(long_ago)
    reconcile_without_pulls()
    reconcile_without_pulls()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.retry_count) == ("QUEUED", 0)
    assert reason(row)["code"] == "GANG_INCOMPLETE"
    assert "did not come within 1800 s" in reason(row)["message"]
    [entry] = DeploymentEvent.objects.filter(deployment=row, type="STOPPING")
    assert entry.details["code"] == "GANG_INCOMPLETE"
    assert len(entry.details["missing"]) == 2
    assert testbed.replicas() == set()
    assert allocated(testbed.cluster) == (0, 0, 0)


def test_one_failed_replica_ends_all_and_a_retry_starts_all_again(
    testbed: Testbed, a: Node, b: Node
):
    testbed.reconcile()
    row = testbed.submit(replicas=4, max_retries=1)
    testbed.settle()
    testbed.runtime_of(a).finish(testbed.key(row, 0), 0)  # one that has done its part
    testbed.runtime_of(b).finish(testbed.key(row, 3), 9)
    testbed.reconcile()
    testbed.reconcile()
    assert (testbed.status(row), testbed.replicas()) == ("QUEUED", set())
    testbed.end_retry_pauses()
    testbed.settle()
    fresh = testbed.fresh(row)
    assert (fresh.status, fresh.attempt, fresh.retry_count) == ("RUNNING", 2, 1)
    running = [each.key.replica for node in (a, b) for each in testbed.runtime_of(node).observe()]
    assert sorted(running) == [0, 1, 2, 3]
