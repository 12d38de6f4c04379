"""POST /api/clusters/{id}/nodes/{node_id}/cordon, /uncordon and /drain"""

import pytest

from clusters.models import NodeState
from clusters.tests.allocation import make_cluster, make_node, row, totals

CALLS = {"cordon": "CORDONED", "uncordon": "READY", "drain": "DRAINED"}
DRAIN = ("drain", "drain_mode", "drain_since", "drain_deadline")


@pytest.fixture
def node(cluster, woken):
    node = make_node(cluster)
    woken.clear()
    return node


def path(node, call):
    return f"/api/clusters/{node.cluster_id}/nodes/{node.pk}/{call}"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("state", NodeState.values)
def test_it_has_the_state_whatever_it_was_before(api, ada, cluster, node, woken, call, state):
    node.state = state
    node.save()
    before, changed_at, size = row(node), row(cluster)["changed_at"], totals(cluster)
    response = api(ada).post(path(node, call), {})
    assert response.status_code == 200
    assert response.json()["state"] == CALLS[call]
    after = row(node)
    assert {**after, **{name: before[name] for name in DRAIN}} == {**before, "state": CALLS[call]}
    assert (after["drain_since"] is None) == (call != "drain" or state == "DRAINED")
    assert totals(cluster) == size
    changed = state != CALLS[call]
    assert (cluster.changed_at > changed_at) == changed
    assert woken == [cluster.pk] * changed


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_may_not(api, node, woken, call, person, status, request):
    node.state = NodeState.NOT_READY
    node.save()
    before = row(node)
    assert api(request.getfixturevalue(person)).post(path(node, call), {}).status_code == status
    assert row(node) == before
    assert woken == []


@pytest.mark.parametrize("call", CALLS)
def test_it_is_found_in_its_own_cluster_only(api, ada, org, node, anyone, call):
    other = make_cluster(org, name="east")
    address = f"/api/clusters/{other.pk}/nodes/{node.pk}/{call}"
    assert api(ada).post(address, {}).status_code == 404
    assert anyone.post(path(node, call), {}).status_code == 401
    assert row(node)["state"] == "READY"


@pytest.mark.parametrize("call", CALLS)
def test_a_body_is_not_asked_for(api, ada, node, call):
    assert api(ada).post(path(node, call)).status_code == 200
    response = api(ada).post(path(node, call), {"force": True})
    assert response.status_code == 400
    assert list(response.json()["fields"]) == ["force"]


def test_it_takes_few_queries(api, ada, node, django_assert_num_queries):
    # the caller, the cluster, the role, the node; a savepoint, the lock, the node again, the time,
    # what still ends there, the write, the flag, the release
    with django_assert_num_queries(13):  # one writes the event
        api(ada).post(path(node, "drain"), {})
