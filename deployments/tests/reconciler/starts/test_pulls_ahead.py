"""Images of waiting deployments are pulled where these will likely start."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster, Node, NodeState, Prepull, State
from deployments import hooks, pull_counts
from deployments.models import Deployment, DeploymentEvent, EventType, Status
from deployments.reasons.codes import IMAGE_PULLED_AHEAD
from deployments.reconciler.starts import image_pulls, likely_images
from deployments.reconciler.starts.image_pulls import PullSlots
from deployments.runtimes.base import Capacity
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.testbed import Testbed, endpoint_of
from mlops_platform.coordination.redis import redis_client
from scheduler import store
from scheduler.answers import likely
from scheduler.engine import Decision
from scheduler.store import read_and_decide

pytestmark = pytest.mark.django_db(transaction=True)

TRAIN = "train:1"
GENEROUS_S = 10.0


@pytest.fixture
def full(testbed: Testbed, monkeypatch: pytest.MonkeyPatch) -> list[Node]:
    """Machines a and b, full of jobs: the one on b ends first. Neither has the image. Each pass
    plans where the next will start."""
    monkeypatch.setattr("scheduler.answers.likely.REST", 0)
    nodes = [testbed.add_node(name) for name in ("a", "b")]
    Cluster.objects.filter(pk=testbed.cluster.pk).update(prepull=Prepull.LIKELY)
    testbed.reconcile()
    for node in nodes:
        list_images(testbed, node)
    for limit_s in (9000, 600):
        testbed.submit(gpu=2, max_runtime_s=limit_s)
    testbed.settle()
    by_name = {node.name: node for node in nodes}
    limits = {
        testbed.node_of(row).name: row.max_runtime_s
        for row in Deployment.objects.filter(status=Status.RUNNING)
    }
    return [by_name[name] for name in sorted(limits, key=lambda each: -(limits[each] or 0))]


def list_images(testbed: Testbed, node: Node, *images: str) -> None:
    runtime = testbed.runtime_of(node)
    runtime.nodes = [Capacity(node.name, 16000, 65536, None, images=images)]
    runtime.missing_images.add(TRAIN)
    testbed.reconcile()


def wait_in_line(testbed: Testbed, image: str = TRAIN) -> Deployment:
    row = testbed.submit(image, gpu=2)
    testbed.cycle()
    assert testbed.fresh(row).status == Status.QUEUED
    return row


def lacks(testbed: Testbed, node: Node, image: str = TRAIN) -> bool:
    return image in testbed.runtime_of(node).missing_images


def notices(row: Deployment) -> list[dict[str, Any]]:
    found = DeploymentEvent.objects.filter(deployment=row, type=EventType.NOTICE)
    return [each.details for each in found.order_by("pk")]


def test_the_image_of_the_first_in_line_is_pulled_where_it_will_likely_start(
    testbed: Testbed, full: list[Node]
):
    other, likely = full
    row = wait_in_line(testbed)
    testbed.reconcile()
    assert (lacks(testbed, other), lacks(testbed, likely)) == (True, False)
    assert notices(row) == [{"code": IMAGE_PULLED_AHEAD, "node": likely.name}]
    assert testbed.fresh(row).status == Status.QUEUED
    assert Deployment.objects.filter(status=Status.RUNNING).count() == 2
    [pulls] = pull_counts.collect()
    counted = {tuple(each.labels.values()): each.value for each in pulls.samples}
    assert counted["pulled", "yes"] >= 1

    ending = Deployment.objects.get(status=Status.RUNNING, max_runtime_s=600)
    stop_deployment(testbed.people["dev"], ending)
    testbed.settle()
    assert testbed.node_of(testbed.fresh(row)) == likely
    assert testbed.fresh(row).status == Status.RUNNING


def test_nothing_is_asked_and_nothing_pulled_without_the_policy(
    testbed: Testbed, full: list[Node], monkeypatch: pytest.MonkeyPatch
):
    Cluster.objects.filter(pk=testbed.cluster.pk).update(prepull=Prepull.OFF)
    wait_in_line(testbed)
    monkeypatch.setattr(hooks, "likely_nodes", lambda *_: pytest.fail("asked"))
    testbed.reconcile()
    assert all(lacks(testbed, node) for node in full)


def test_starts_wait_for_no_answer_about_pulls_ahead_and_go_on_where_it_fails(
    testbed: Testbed, full: list[Node], monkeypatch: pytest.MonkeyPatch
):
    row = wait_in_line(testbed, "other:1")
    for each in Deployment.objects.filter(status=Status.RUNNING):
        stop_deployment(testbed.people["dev"], each)
    testbed.reconcile()
    testbed.cycle()
    assert testbed.fresh(row).status == Status.STARTING
    seen = []

    def fail(*_: object) -> Any:
        seen.append({key for key, _ in testbed.replicas()})
        raise RuntimeError("of the planner")

    monkeypatch.setattr(hooks, "likely_nodes", fail)
    testbed.reconcile()
    assert [str(row.pk) in each for each in seen] == [True]
    assert testbed.fresh(row).status == Status.RUNNING


@pytest.mark.parametrize("why", ["it has the image", "cordoned", "away", "paused", "just pulled"])
def test_nothing_is_pulled_where_that_is_of_no_use(testbed: Testbed, full: list[Node], why: str):
    _, likely = full
    wait_in_line(testbed)
    match why:
        case "it has the image":
            testbed.runtime_of(likely).nodes = [
                Capacity(likely.name, 16000, 65536, None, images=["docker.io/library/train:1"])
            ]
        case "cordoned":
            Node.objects.filter(pk=likely.pk).update(state=NodeState.CORDONED)
        case "away":
            testbed.disconnect(likely)
        case "paused":
            Cluster.objects.filter(pk=testbed.cluster.pk).update(state=State.PAUSED)
        case "just pulled":
            key = image_pulls._pulled_key(endpoint_of(likely), TRAIN)
            redis_client().set(key, (timezone.now() - timedelta(minutes=1)).isoformat())
    testbed.reconcile()
    assert lacks(testbed, likely)


@pytest.mark.parametrize("failure", ["unpullable", "delayed"])
def test_a_pull_ahead_that_fails_fails_no_deployment_and_is_left(
    testbed: Testbed, full: list[Node], failure: str
):
    _, likely = full
    runtime = testbed.runtime_of(likely)
    if failure == "unpullable":
        runtime.unpullable_images.add(TRAIN)
    else:
        runtime.delayed_images[TRAIN] = "429 Too Many Requests"
    row = wait_in_line(testbed)
    testbed.reconcile()
    assert testbed.fresh(row).status == Status.QUEUED
    assert notices(row) == []
    runtime.unpullable_images.clear()
    runtime.delayed_images.clear()
    testbed.reconcile()
    assert lacks(testbed, likely)  # it is left for a while

    ending = Deployment.objects.get(status=Status.RUNNING, max_runtime_s=600)
    stop_deployment(testbed.people["dev"], ending)
    testbed.settle()  # and the start pulls at once
    assert testbed.fresh(row).status == Status.RUNNING


def test_a_pull_ahead_ends_when_it_is_likely_no_more(
    testbed: Testbed, full: list[Node], monkeypatch: pytest.MonkeyPatch
):
    _, likely = full
    monkeypatch.setattr(image_pulls, "READ_WANTED_EVERY_S", 0.0)
    ended, began = threading.Event(), threading.Event()

    def hangs(_: object, image: str, wanted: Callable[[], bool]) -> None:
        began.set()
        until = time.monotonic() + GENEROUS_S
        while wanted() and time.monotonic() < until:
            time.sleep(0.02)
        ended.set()

    testbed.intercept(likely, "pull", hangs)
    endpoint_id, row = endpoint_of(likely), wait_in_line(testbed)
    assert likely_images.want(endpoint_id, TRAIN, [str(row.pk)])
    image_pulls.start(endpoint_id, TRAIN)
    assert began.wait(GENEROUS_S)
    assert not ended.wait(0.2)
    likely_images.leave(endpoint_id, TRAIN)
    assert ended.wait(GENEROUS_S)
    assert not image_pulls.was_pulled_since(endpoint_id, TRAIN, row.created_at)
    assert notices(row) == []


def test_pulls_ahead_have_shares_of_their_own_and_make_way():
    slots, organization, endpoint = PullSlots(), uuid4(), uuid4()

    def ahead(of: UUID, at: UUID) -> image_pulls.Pulling | None:
        return slots.enter(of, at, ahead=True)

    first = ahead(organization, endpoint)
    assert first is not None
    assert ahead(organization, endpoint) is None  # one at an endpoint
    assert ahead(organization, uuid4()) is not None
    assert ahead(organization, uuid4()) is None  # two of an organization
    start = slots.enter(organization, endpoint)
    assert start is not None
    assert first.makes_way  # a start comes first
    slots.leave(first)
    assert ahead(uuid4(), endpoint) is None  # a start pulls there
    assert [ahead(uuid4(), uuid4()) is not None for _ in range(8)] == [True] * 7 + [False]


def test_a_start_gets_a_thread_that_a_pull_ahead_has():
    slots = PullSlots()
    ahead = slots.enter(uuid4(), uuid4(), ahead=True)
    starts = [slots.enter(uuid4(), uuid4()) for _ in range(image_pulls.MOST_AT_ONCE - 1)]
    assert all(starts)
    assert slots.enter(uuid4(), uuid4()) is None
    assert ahead is not None
    assert ahead.makes_way
    assert not any(each.makes_way for each in starts if each)


def test_only_a_docker_cluster_takes_the_policy(
    api: Any, ada: User, testbed: Testbed, cluster: Cluster
):
    def answer(of: Cluster) -> Any:
        body = {"policy": {"prepull": "likely"}}
        return api(ada).patch(f"/api/clusters/{of.pk}", body)

    assert answer(testbed.cluster).json()["policy"]["prepull"] == "likely"
    for runtime in ("simulated", "kubernetes"):
        Cluster.objects.filter(pk=cluster.pk).update(runtime=runtime)
        refused = answer(cluster)
        assert refused.status_code == 400
        assert "Only in a docker cluster" in str(refused.json())
        cluster.refresh_from_db()
        assert cluster.prepull == Prepull.OFF


def test_a_plan_of_where_starts_are_likely_is_followed_by_a_rest_in_which_none_is_made(
    testbed: Testbed, full: list[Node], monkeypatch: pytest.MonkeyPatch
):
    row = wait_in_line(testbed)
    rests = likely.RESTS.format(row.cluster_id)
    redis_client().delete(rests)
    monkeypatch.setattr(likely, "REST", 1_000_000)
    plans: list[UUID] = []

    def counted(cluster_id: UUID) -> Decision:
        plans.append(cluster_id)
        return read_and_decide(cluster_id)

    monkeypatch.setattr(store, "read_and_decide", counted)
    expected = [(row.pk, [full[1].pk])]
    assert likely.nodes_of(row.cluster_id, 4) == expected
    assert 0 < redis_client().pttl(rests) <= likely.MOST_REST_MS
    assert (likely.nodes_of(row.cluster_id, 4), len(plans)) == ([], 1)
    redis_client().delete(rests)
    assert likely.nodes_of(row.cluster_id, 4) == expected
    assert len(plans) == 2
