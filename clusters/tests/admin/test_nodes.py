"""The operators' pages of nodes."""

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from clusters.models import Node, NodeState
from clusters.nodes.failed_starts import Failure
from clusters.services import nodes
from clusters.services.clusters import lock_cluster
from clusters.services.failed_starts import record
from clusters.tests.allocation import allocate, make_cluster, make_node, row
from organizations.tests.people import PASSWORD

LIST = "/admin/clusters/node/"


@pytest.fixture
def operator(client, db):
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    return client


@pytest.fixture
def node(cluster, woken):
    node = make_node(cluster, labels={"zone": "b", "x": "<b>"})
    woken.clear()
    return node


def page(node):
    return reverse("admin:clusters_node_change", args=[node.pk])


def act(operator, action, *chosen, **more):
    body = {"action": action, "index": "0", "_selected_action": [each.pk for each in chosen]}
    return operator.post(LIST, body | more, follow=True)


def messages_of(answer):
    return [str(message) for message in answer.context["messages"]]


@pytest.mark.parametrize("size", [1, 25])
def test_the_list_costs_the_same_for_few_and_many(
    operator, org, node, size, django_assert_num_queries
):
    for number in range(size - 1):
        make_node(make_cluster(org, name=f"pool-{number}"))
    # session, operator, count, rows with their clusters
    with django_assert_num_queries(4):
        answer = operator.get(LIST)
    assert len(answer.context["cl"].result_list) == size


def test_list_and_page_show_state_labels_and_use(operator, cluster, node):
    allocate(node, 1000, 2048, 1)
    nodes.cordon(node)
    for path in (LIST, page(node)):
        text = operator.get(path).content.decode()
        assert "CORDONED" in text
        assert "1 / 2 GPUs, 50 %" in text
        assert "1 / 4 cores, 25 %" in text
        assert "2 / 8 GiB, 25 %" in text
        assert "Analytical Engines / west" in text
        assert "zone" in text
        assert "<b>" not in text


def test_the_list_filters_by_cluster_and_state(operator, org, node):
    other = make_node(make_cluster(org, name="east"), name="else", state=NodeState.DRAINING)
    found = operator.get(LIST, {"cluster__id__exact": other.cluster_id}).content.decode()
    assert page(other) in found
    assert page(node) not in found
    found = operator.get(LIST, {"state__exact": "DRAINING"}).content.decode()
    assert page(other) in found
    assert page(node) not in found


def test_the_page_shows_the_change_that_waits_for_an_empty_node(operator, node):
    allocate(node)
    nodes.change_node(node, {"gpu": 0}, drain=True)
    assert "It has 4 cores, 8 GiB." in operator.get(page(node)).content.decode()
    nodes.delete_node(node, drain=True)
    assert "It is deleted." in operator.get(page(node)).content.decode()


def test_nodes_are_not_added_changed_or_deleted_in_the_admin(operator, node):
    before = row(node)
    assert operator.get(f"{LIST}add/").status_code == 403
    assert operator.post(page(node), {"name": "other", "gpu": "9"}).status_code == 403
    assert operator.post(reverse("admin:clusters_node_delete", args=[node.pk])).status_code == 403
    act(operator, "delete_selected", node, post="yes")
    assert row(node) == before
    assert 'name="_save"' not in operator.get(page(node)).content.decode()


def test_cordon_and_uncordon_report_what_they_did(operator, cluster, node, woken):
    closed = make_node(cluster, name="node-2", state=NodeState.CORDONED)
    woken.clear()
    answer = act(operator, "cordon", node, closed)
    assert messages_of(answer) == [
        "Cordoned 1 node.",
        "Left as they were: node-2 is CORDONED already",
    ]
    assert woken == [cluster.pk]
    assert messages_of(act(operator, "uncordon", node, closed)) == ["Opened 2 nodes."]
    assert set(Node.objects.values_list("state", flat=True)) == {NodeState.READY}


def test_a_node_that_the_platform_has_cordoned_says_why_and_is_opened(operator, cluster, node):
    with transaction.atomic():
        lock_cluster(cluster.pk)
        for name in "abc":
            failure = Failure(name, name, "REFUSED", "no driver", timezone.now())
            record(cluster.pk, [], [(str(node.pk), failure)], timezone.now())
    text = operator.get(page(node)).content.decode()
    assert "Starts failed here one after another (REFUSED: no driver)" in text
    assert "CORDONED" in text
    assert 'value="uncordon"' in operator.get(LIST).content.decode()
    assert messages_of(act(operator, "uncordon", node)) == ["Opened 1 node."]
    node.refresh_from_db()
    assert node.effective_state == "READY"
    assert node.failed_starts is None
    assert "Starts failed here" not in operator.get(page(node)).content.decode()


def test_drain_asks_first_where_anything_runs(operator, node, woken):
    allocate(node)
    woken.clear()
    text = act(operator, "drain", node).content.decode()
    assert "Drain 1 node?" in text
    assert "node-1: what has 1 core, 512 MiB, 1 GPU allocated will go back into the queue" in text
    assert row(node)["state"] == NodeState.READY
    assert woken == []
    answer = act(operator, "drain", node, confirmed="yes", _from_page="1")
    assert messages_of(answer) == ["Draining 1 node."]
    assert answer.redirect_chain[-1][0] == page(node)
    assert row(node)["state"] == NodeState.DRAINING
    assert row(node)["drain"]["by"] == "root"
    assert woken == [node.cluster_id]


def test_an_empty_node_is_drained_without_a_confirmation(operator, node):
    assert messages_of(act(operator, "drain", node)) == ["Draining 1 node."]
    assert row(node)["state"] == NodeState.DRAINED


def test_a_drain_that_waits_asks_nothing_and_can_be_made_one_that_does_not(operator, node):
    allocate(node)
    assert messages_of(act(operator, "drain_when_finished", node)) == ["Draining 1 node."]
    assert (row(node)["state"], row(node)["drain_mode"]) == ("DRAINING", "when_finished")
    assert "It is being drained by root." in operator.get(page(node)).content.decode()
    act(operator, "drain", node, confirmed="yes")
    assert (row(node)["state"], row(node)["drain_mode"]) == ("DRAINING", "now")


@pytest.mark.parametrize("state", ["READY", "CORDONED", "DRAINING", "DRAINED", "NOT_READY"])
def test_the_page_offers_only_actions_that_change_the_node(operator, node, state):
    Node.objects.update(state=state)
    text = operator.get(page(node)).content.decode()
    drains = {"drain", "drain_when_finished"}
    own = {"READY": {"uncordon"}, "CORDONED": {"cordon"}, "DRAINING": drains, "DRAINED": drains}
    every = {"cordon", "uncordon"} | drains
    offered = {name for name in every if f'value="{name}"' in text}
    assert offered == every - own.get(state, set())


def test_a_user_with_the_view_permission_changes_nothing(client, node, vera):
    vera.is_staff = True
    vera.save()
    vera.user_permissions.add(Permission.objects.get(codename="view_node"))
    client.force_login(vera)
    assert 'value="drain"' not in client.get(page(node)).content.decode()
    act(client, "drain", node)
    assert row(node)["state"] == NodeState.READY
