"""The page of a cluster: nodes, owners, and the queue in its order."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from clusters.models import Node, NodeState
from clusters.tests.allocation import make_cluster, make_node
from deployments.models import Status
from deployments.tests.workloads import make
from mlops_platform.console.pages import cluster as page_module
from mlops_platform.console.pages.cluster import cluster_page

pytestmark = pytest.mark.django_db


@pytest.fixture
def west(org):
    return make_cluster(org, name="gpu-west", total_gpu=0)


def running_on(node, owner, **columns):
    placement = [{"node_id": str(node.pk), "node": node.name, "replicas": 1}]
    row = make(node.cluster, owner, Status.RUNNING, **columns)
    row.placement = placement
    row.save(update_fields=["placement"])
    return row


def test_each_gpu_is_whose_it_is(west, ada, dev):
    node = make_node(west, name="a", gpu=8)
    running_on(node, ada, name="mine", gpu=3)
    running_on(node, dev, name="theirs", gpu=2)
    seen = cluster_page(ada, str(west.pk), "")
    [line] = seen.nodes
    assert [(cell.tone, cell.start, cell.gpus) for cell in line.cells] == [
        ("mine", 0, 3),
        ("hue0", 3, 2),
        ("free", 5, 3),
    ]
    assert line.cells[1].said.startswith(f"theirs of {dev.username} (LOW), since 20")
    assert [(each.owner, each.tone, each.gpu) for each in seen.owners] == [
        (ada.username, "mine", 3),
        (dev.username, "hue0", 2),
    ]


def test_what_is_free_of_a_closed_node_is_closed_and_says_why(west, ada):
    make_node(west, name="a", gpu=2)
    Node.objects.update(state=NodeState.CORDONED)
    [line] = cluster_page(ada, str(west.pk), "").nodes
    assert [(cell.tone, cell.gpus) for cell in line.cells] == [("closed", 2)]
    assert (line.is_closed, line.reason) == (True, "It is cordoned here.")


def test_the_queue_is_in_its_order_and_says_by_which_rule(west, ada, dev):
    make_node(west, name="a", gpu=8)
    for name, owner, priority, gpus in (
        ("small", dev, "LOW", 1),
        ("large", ada, "LOW", 4),
        ("urgent", dev, "HIGH", 1),
    ):
        make(west, owner, name=name, priority=priority, gpu=gpus)
    seen = cluster_page(ada, str(west.pk), "")
    assert [row.name for row in seen.waiting] == ["urgent", "large", "small"]
    assert [row.is_mine for row in seen.waiting] == [False, True, False]
    assert seen.rule == (
        "In the order of the priority class, then the larger share of the cluster that is asked "
        "for, GPUs above all, then the earlier submit."
    )


def test_nodes_come_in_pages_by_name(west, ada, monkeypatch):
    monkeypatch.setattr(page_module, "NODES_PER_PAGE", 2)
    for name in "cabd":
        make_node(west, name=name)
    first = cluster_page(ada, str(west.pk), "")
    assert [node.name for node in first.nodes] == ["a", "b"]
    assert (first.later_nodes, first.earlier_nodes) == ("?after=b", "")
    second = cluster_page(ada, str(west.pk), "b")
    assert [node.name for node in second.nodes] == ["c", "d"]
    assert (second.first_node, second.last_node, second.total_nodes) == (3, 4, 4)
    assert (second.later_nodes, second.earlier_nodes) == ("", "?")


def test_its_queries_do_not_grow_with_what_runs_and_waits(
    west, ada, dev, django_assert_max_num_queries
):
    nodes = [make_node(west, name=f"n{at}", gpu=4) for at in range(3)]
    for node in nodes:
        running_on(node, dev, gpu=1)
        make(west, ada, gpu=1)
    client = Client(headers={"accept": "text/html"})
    client.force_login(ada, "django.contrib.auth.backends.ModelBackend")
    with django_assert_max_num_queries(12):
        answer = client.get(reverse("console:cluster", args=[west.pk]))
    assert answer.status_code == 200
    text = answer.content.decode()
    assert len(re.findall(r'<rect class="hue0" x="\d+" y="1"', text)) == 3
    assert "(you)" in text
