"""`node_selector`: given on submit, shown, changed while it waits; and the names of nodes."""

import pytest

from clusters.models import Node
from clusters.services.nodes import change_node
from clusters.tests.allocation import make_node
from deployments.models import Deployment, Status
from deployments.tests.workloads import timeline

SPEC = {"image": "train:1.2", "required_cpu": 1, "required_ram": 512, "required_gpu": 1}
SELECTOR = {"zone": "b", "nvidia.com/gpu.product": ""}


@pytest.fixture
def node(cluster):
    return make_node(cluster, labels=SELECTOR)


def submit(client, cluster, **fields):
    return client.post("/api/deployments", {"cluster_id": str(cluster.pk), **SPEC, **fields})


@pytest.fixture
def waiting(api, dev, cluster, node):
    answer = submit(api(dev), cluster, node_selector=SELECTOR).json()
    return Deployment.objects.get(pk=answer["id"])


def path(deployment):
    return f"/api/deployments/{deployment.pk}"


def test_it_is_kept_and_shown(api, dev, cluster, node):
    answer = submit(api(dev), cluster, node_selector=SELECTOR)
    assert answer.status_code == 201
    assert answer.json()["node_selector"] == SELECTOR
    kept = Deployment.objects.get()
    assert kept.node_selector == SELECTOR
    assert "/n" in kept.scheduling_key
    assert api(dev).get(path(kept)).json()["node_selector"] == SELECTOR


def test_a_label_that_no_node_carries_yet_may_come(api, dev, cluster, node):
    assert submit(api(dev), cluster, node_selector={"zone": "z"}).status_code == 201


def test_in_a_pool_it_is_refused(api, dev, cluster):
    answer = submit(api(dev), cluster, node_selector=SELECTOR)
    assert answer.status_code == 400
    assert answer.json()["fields"] == {
        "node_selector": ["The cluster has no nodes: it is one pool."]
    }
    assert not Deployment.objects.exists()
    assert submit(api(dev), cluster, node_selector={}).status_code == 201


def test_it_costs_one_query(api, dev, cluster, node, django_assert_num_queries):
    # the caller, the cluster, the role, its nodes, the classes; a savepoint, the time, two writes,
    # the limits of the queue, its end; whether a node is large enough
    submit(api(dev), cluster)  # counts the queue
    with django_assert_num_queries(12):
        submit(api(dev), cluster, node_selector=SELECTOR)


def test_it_changes_while_it_waits_and_the_scheduling_key_follows(api, dev, waiting):
    key = waiting.scheduling_key
    answer = api(dev).patch(path(waiting), {"node_selector": {"zone": "c"}})
    assert answer.status_code == 200
    assert answer.json()["node_selector"] == {"zone": "c"}
    waiting.refresh_from_db()
    assert waiting.scheduling_key != key
    assert timeline(waiting)[-1] == ("CHANGED", "dev")
    shown = api(dev).get(f"{path(waiting)}/events").json()[-1]["details"]
    assert shown == {"node_selector": {"from": SELECTOR, "to": {"zone": "c"}}}
    assert api(dev).patch(path(waiting), {"node_selector": {}}).status_code == 200
    waiting.refresh_from_db()
    assert "/n" not in waiting.scheduling_key


def test_not_while_it_runs(api, dev, waiting):
    Deployment.objects.update(status=Status.RUNNING)
    answer = api(dev).patch(path(waiting), {"node_selector": {}})
    assert answer.status_code == 409
    assert answer.json()["code"] == "not_queued"
    waiting.refresh_from_db()
    assert waiting.node_selector == SELECTOR


def test_nor_to_any_label_where_the_nodes_are_gone(api, dev, waiting):
    Node.objects.all().delete()
    answer = api(dev).patch(path(waiting), {"node_selector": {"zone": "c"}})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["node_selector"]
    waiting.refresh_from_db()
    assert waiting.node_selector == SELECTOR
    assert api(dev).patch(path(waiting), {"node_selector": {}}).status_code == 200


@pytest.mark.parametrize("selector", [{"a b": "c"}, {"a": 1}, [], None, {"a": "x" * 64}])
def test_it_has_the_syntax_of_labels(api, dev, waiting, selector):
    answer = api(dev).patch(path(waiting), {"node_selector": selector})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == ["node_selector"]
    waiting.refresh_from_db()
    assert waiting.node_selector == SELECTOR


def test_labels_may_be_called_as_resources_are(api, dev, cluster, node):
    selector = {"gpu": "a100", "resource": "cpu_milli", "ram_mib": "9"}
    waits = submit(api(dev), cluster, node_selector=selector).json()
    changed = api(dev).patch(f"/api/deployments/{waits['id']}", {"node_selector": {}})
    assert changed.status_code == 200
    shown = api(dev).get(f"/api/deployments/{waits['id']}/events").json()[-1]["details"]
    assert shown["node_selector"]["from"] == selector


def test_a_node_that_is_renamed_is_shown_by_its_new_name(api, dev, cluster, node, waiting):
    second = make_node(cluster, name="node-2")
    places = [
        {"node_id": str(each.pk), "node": each.name, "replicas": count}
        for each, count in ((second, 2), (node, 1))
    ]
    Deployment.objects.update(status=Status.RUNNING, placement=places)
    change_node(node, {"name": "other"})
    places[1]["node"] = "other"
    assert api(dev).get(path(waiting)).json()["placement"] == places
