"""What is known of the images on the nodes, and what it is good for."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from clusters import node_images
from clusters.models import Node, NodeImages
from clusters.services.nodes import delete_node
from deployments.models import Deployment, DeploymentEvent, EventType
from deployments.queries.placements import node_ids
from deployments.reconciler.node_reports import write
from deployments.reconciler.observation import Observation
from deployments.runtimes.base import Capacity
from deployments.tests.reconciler.testbed import Testbed
from scheduler import audit
from scheduler.engine.codec import decode_plan
from scheduler.models import SchedulingCycle
from scheduler.replay import Replayed, Verdict, replay

pytestmark = pytest.mark.django_db

TRAIN = "docker.io/library/train:1"


@pytest.fixture
def nodes(testbed: Testbed) -> list[Node]:
    """Three equal machines, by their ids; none has an image yet."""
    nodes = [testbed.add_node(name) for name in ("a", "b", "c")]
    testbed.reconcile()
    return nodes


def show(testbed: Testbed, node: Node, *images: str) -> None:
    """The node's engine lists these images from now on."""
    shown = Capacity(node.name, 16000, 65536, None, images=images)
    testbed.runtime_of(node).nodes = [shown]
    testbed.reconcile()


def names_on(node: Node) -> list[str] | None:
    return node_images.names_on([node.pk]).get(node.pk)


def started_on(testbed: Testbed, **given: Any) -> Deployment:
    row = testbed.submit(**given)
    testbed.cycle()
    row.refresh_from_db()
    return row


def test_what_an_engine_lists_is_kept_until_it_lists_something_else(
    testbed: Testbed, nodes: list[Node]
):
    assert names_on(nodes[0]) is None
    show(testbed, nodes[0], TRAIN, "docker.io/library/other:2")
    assert names_on(nodes[0]) == [TRAIN, "docker.io/library/other:2"]
    testbed.runtime_of(nodes[0]).nodes = [Capacity("a", 16000, 65536, None)]  # lists none this time
    testbed.reconcile()
    assert names_on(nodes[0]) == [TRAIN, "docker.io/library/other:2"]
    show(testbed, nodes[0])
    assert names_on(nodes[0]) == []


def test_a_list_that_is_as_before_costs_one_query_and_no_write(testbed: Testbed, nodes: list[Node]):
    for node in nodes:
        show(testbed, node, TRAIN)
    before = set(NodeImages.objects.values_list("node_id", "changed_at"))
    observation = Observation(testbed.cluster)
    observation.observe(None, capacity=True)
    with CaptureQueriesContext(connection) as queries:
        write(observation)
    about_images = [each["sql"] for each in queries if "nodeimages" in each["sql"]]
    assert len(about_images) == 1
    assert about_images[0].startswith("SELECT")
    assert "names" not in about_images[0]
    assert set(NodeImages.objects.values_list("node_id", "changed_at")) == before


def test_a_node_that_is_deleted_takes_its_list_along(testbed: Testbed, nodes: list[Node]):
    show(testbed, nodes[0], TRAIN)
    observation = Observation(testbed.cluster)
    observation.observe(None, capacity=True)
    delete_node(nodes[0])
    write(observation)
    assert not NodeImages.objects.exists()


@pytest.mark.parametrize("image", ["train:1", "docker.io/train:1", "index.docker.io/train:1"])
def test_of_equal_nodes_a_deployment_gets_one_that_has_its_image_and_says_so(
    testbed: Testbed, nodes: list[Node], image: str
):
    show(testbed, nodes[2], TRAIN)
    row = started_on(testbed, image=image)
    assert list(node_ids(row)) == [str(nodes[2].pk)]
    event = DeploymentEvent.objects.get(deployment=row, type=EventType.STARTED)
    assert event.details["by_image"] is True
    assert audit.breaches() == []


def test_its_cycle_is_replayed_to_the_same_plan(testbed: Testbed, nodes: list[Node]):
    show(testbed, nodes[2], TRAIN)
    started_on(testbed, image="train:1")
    cycle = SchedulingCycle.objects.filter(cluster_id=testbed.cluster.pk).latest("pk")
    assert [start.by_image for start in decode_plan(bytes(cycle.plan)).starts] == [True]
    assert replay(cycle) == Replayed(cycle.pk, Verdict.SAME, [])


def test_a_fuller_node_without_the_image_comes_first_all_the_same(
    testbed: Testbed, nodes: list[Node]
):
    started_on(testbed, image="other")  # on a, so that less is left there
    show(testbed, nodes[2], TRAIN)
    row = started_on(testbed, image="train:1")
    assert list(node_ids(row)) == [str(nodes[0].pk)]
    event = DeploymentEvent.objects.get(deployment=row, type=EventType.STARTED)
    assert "by_image" not in event.details


def test_members_see_them_on_the_node(api: Any, vera: User, testbed: Testbed, nodes: list[Node]):
    show(testbed, nodes[1], TRAIN)
    path = f"/api/clusters/{testbed.cluster.pk}/nodes"
    assert api(vera).get(f"{path}/{nodes[1].pk}").json()["images"] == [TRAIN]
    assert api(vera).get(f"{path}/{nodes[0].pk}").json()["images"] is None
    assert all("images" not in each for each in api(vera).get(path).json())
