"""GET, POST /api/clusters/{id}/windows and GET, PATCH, DELETE …/windows/{window_id}"""

from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.models import Endpoint, MaintenanceWindow, Node, NodeState, WindowState
from clusters.services import node_status, nodes, windows
from clusters.services.deletion import delete_cluster
from clusters.services.node_status import Found
from clusters.services.windows import MOST_WINDOWS
from clusters.tests.allocation import allocate, make_cluster, make_node, row
from organizations.events.models import OrganizationEvent
from organizations.tests.people import all_at_once

HOUR = timedelta(hours=1)
BODY = {"begins_at": 3600, "ends_at": 7200, "reason": "new disks"}


def path(cluster, window=None):
    return f"/api/clusters/{cluster.pk}/windows" + (f"/{window.pk}" if window else "")


@pytest.fixture
def two(cluster):
    return [
        make_node(cluster, name="node-1", labels={"zone": "a"}),
        make_node(cluster, name="node-2", labels={"zone": "b"}),
    ]


def planned(cluster, begins=HOUR, ends=2 * HOUR, **body):
    given = {"begins_at": begins, "ends_at": ends, "mode": "cordon", "reason": "new disks", **body}
    return windows.plan_window(cluster, given, by="ada").window


def at(window, *, begins, ends):
    """Moves the window in time, as though it had been planned so long ago."""
    now = timezone.now()
    window.refresh_from_db()
    window.begins_at, window.ends_at = now + begins, now + ends
    window.next_at = window.begins_at if window.state == "PLANNED" else window.ends_at
    window.save()
    windows.turn(window.cluster_id)
    window.refresh_from_db()


def opened(cluster, **body):
    window = planned(cluster, **body)
    at(window, begins=-HOUR, ends=HOUR)
    assert window.state == WindowState.OPEN
    return window


def states(cluster):
    return dict(Node.objects.filter(cluster=cluster).values_list("name", "state"))


def test_an_admin_plans_one_and_members_see_it(api, ada, dev, vera, cluster, two, woken):
    woken.clear()
    answer = api(ada).post(path(cluster), {**BODY, "node_selector": {"zone": "b"}})
    assert answer.status_code == 201
    shown = answer.json()
    window = MaintenanceWindow.objects.get()
    assert window.ends_at - window.begins_at == HOUR
    assert (shown["state"], shown["mode"], shown["by"]) == ("PLANNED", "when_finished", "ada")
    assert (shown["nodes"], shown["cluster"]) == (["node-2"], "west")
    assert (shown.pop("dry_run"), shown.pop("effect")) == (False, None)
    for member in (ada, dev, vera):
        assert api(member).get(path(cluster)).json() == [shown]
        assert api(member).get(path(cluster, window)).json() == shown
    assert woken == [cluster.pk]
    assert states(cluster) == {"node-1": "READY", "node-2": "READY"}


@pytest.mark.parametrize(("person", "status"), [("dev", 403), ("vera", 403), ("sam", 404)])
def test_others_may_not(api, cluster, two, person, status, request, woken):
    window = planned(cluster)
    before = row(window)
    woken.clear()
    client = api(request.getfixturevalue(person))
    assert client.post(path(cluster), BODY).status_code == status
    assert client.patch(path(cluster, window), {"reason": "more"}).status_code == status
    assert client.delete(path(cluster, window)).status_code == status
    if person == "sam":
        assert client.get(path(cluster)).status_code == 404
        assert client.get(path(cluster, window)).status_code == 404
    assert row(window) == before
    assert MaintenanceWindow.objects.count() == 1
    assert woken == []


def test_it_is_found_in_its_own_cluster_only(api, ada, org, cluster, two, anyone):
    window, other = planned(cluster), make_cluster(org, name="east")
    assert api(ada).get(path(other, window)).status_code == 404
    assert api(ada).delete(path(other, window)).status_code == 404
    assert anyone.get(path(cluster)).status_code == 401


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"begins_at": "2020-01-01T00:00:00Z"}, "begins_at"),
        ({"begins_at": 7200}, "ends_at"),
        ({"ends_at": "2999-01-01T00:00:00Z"}, "ends_at"),
        ({"mode": "tomorrow"}, "mode"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 201}, "reason"),
        ({"node_names": ["node-3"]}, "node_names"),
        ({"node_selector": {"zone": "c"}}, "node_selector"),
        ({"node_names": ["node-1"], "node_selector": {"zone": "b"}}, "node_selector"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_refusal_names_the_field_and_changes_nothing(api, ada, cluster, two, body, field):
    answer = api(ada).post(path(cluster), {**BODY, **body})
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert not MaintenanceWindow.objects.exists()


def test_a_pool_has_no_nodes_to_close(api, ada, cluster):
    answer = api(ada).post(path(cluster), BODY)
    assert (answer.status_code, list(answer.json()["fields"])) == (400, ["node_names"])


@pytest.mark.parametrize(
    ("begins", "ends", "names", "status"),
    [
        (30, 60, [], 201),  # it ends as the other begins
        (120, 180, [], 201),  # and begins as the other ends
        (30, 61, [], 409),
        (119, 180, [], 409),
        (70, 80, ["node-2"], 409),
        (10, 500, [], 409),
        (70, 80, ["node-1"], 201),  # it is of another node
    ],
)
def test_no_node_is_in_two_windows_at_once(api, ada, cluster, two, begins, ends, names, status):
    now = timezone.now().replace(microsecond=0) + HOUR
    minutes = [(now + timedelta(minutes=each)).isoformat() for each in (60, 120, begins, ends)]
    first = {**BODY, "begins_at": minutes[0], "ends_at": minutes[1], "node_names": ["node-2"]}
    assert api(ada).post(path(cluster), first).status_code == 201
    times = {"begins_at": minutes[2], "ends_at": minutes[3]}
    answer = api(ada).post(path(cluster), {**BODY, **times, "node_names": names})
    assert answer.status_code == status
    if status == 409:
        assert answer.json()["code"] == "window_overlaps"
        assert answer.json()["detail"].startswith("node-2 has a window then: new disks, from ")
    assert MaintenanceWindow.objects.count() == (2 if status == 201 else 1)


def test_a_window_is_moved_into_no_other_one(api, ada, cluster, two):
    planned(cluster, 3 * HOUR, 4 * HOUR)
    window = planned(cluster)
    before = row(window)
    answer = api(ada).patch(path(cluster, window), {"ends_at": 4 * 3600})
    assert (answer.status_code, answer.json()["code"]) == (409, "window_overlaps")
    assert row(window) == before
    answer = api(ada).patch(path(cluster, window), {"ends_at": 3 * 3600 - 60, "reason": "more"})
    assert (answer.status_code, answer.json()["reason"]) == (200, "more")


def test_there_are_so_many_at_most(api, ada, cluster, two, monkeypatch):
    monkeypatch.setattr(windows, "MOST_WINDOWS", 1)
    assert MOST_WINDOWS == 100
    planned(cluster)
    answer = api(ada).post(path(cluster), {**BODY, "begins_at": 9000, "ends_at": 9999})
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_windows")


@pytest.mark.parametrize(
    ("mode", "empty", "in_use"),
    [
        ("cordon", "CORDONED", "CORDONED"),
        ("when_finished", "DRAINED", "DRAINING"),
        ("at_checkpoint", "DRAINED", "DRAINING"),
        ("now", "DRAINED", "DRAINING"),
    ],
)
def test_its_nodes_are_closed_at_the_begin_and_open_at_the_end(
    api, ada, cluster, two, mode, empty, in_use, woken
):
    allocate(two[1])
    woken.clear()
    window = opened(cluster, mode=mode)
    assert states(cluster) == {"node-1": empty, "node-2": in_use}
    assert woken[-1] == cluster.pk
    shown = api(ada).get(f"/api/clusters/{cluster.pk}/nodes").json()[0]
    until = f"{window.ends_at:%Y-%m-%d %H:%M:%S}"
    assert shown["reason"] == f"It is closed until {until} UTC by ada: new disks."
    at(window, begins=-2 * HOUR, ends=-HOUR)
    assert window.state == WindowState.ENDED
    assert states(cluster) == {"node-1": "READY", "node-2": "READY"}
    assert Node.objects.get(name="node-1").drain is None
    cluster.refresh_from_db()
    assert not cluster.has_windows


@pytest.mark.parametrize("mode", ["cordon", "now"])
@pytest.mark.parametrize("first", ["earlier", "later"])
def test_of_two_that_meet_the_later_one_has_the_node_from_the_end_of_the_earlier_one(
    cluster, two, mode, first
):
    if first == "later":
        later = planned(cluster, 4 * HOUR, 5 * HOUR, mode=mode)
    earlier = opened(cluster, mode=mode)
    if first == "earlier":
        later = planned(cluster, 4 * HOUR, 5 * HOUR, mode=mode)
    now = timezone.now()
    rows = MaintenanceWindow.objects
    rows.filter(pk=earlier.pk).update(ends_at=now, next_at=now)
    rows.filter(pk=later.pk).update(begins_at=now, next_at=now)
    windows.turn(cluster.pk)
    closed = NodeState.CORDONED if mode == "cordon" else NodeState.DRAINED
    assert states(cluster) == {"node-1": closed, "node-2": closed}
    at(later, begins=-2 * HOUR, ends=-HOUR)
    assert states(cluster) == {"node-1": "READY", "node-2": "READY"}


def test_a_window_that_no_timer_saw_closes_nothing(cluster, two):
    window = planned(cluster, mode="now")
    at(window, begins=-2 * HOUR, ends=-HOUR)
    assert (window.state, states(cluster)) == ("ENDED", {"node-1": "READY", "node-2": "READY"})


@pytest.mark.parametrize(
    ("act", "after"),
    [
        (nodes.cordon, "CORDONED"),
        (nodes.drain, "DRAINED"),
        (nodes.uncordon, "READY"),
    ],
)
@pytest.mark.parametrize("mode", ["cordon", "now"])
def test_what_a_user_does_to_a_node_meanwhile_stays(cluster, two, act, after, mode):
    window = opened(cluster, mode=mode)
    act(two[0])
    assert states(cluster)["node-1"] == after
    assert (two[0] in window.nodes.all()) == (after != "READY")
    at(window, begins=-2 * HOUR, ends=-HOUR)
    assert states(cluster) == {"node-1": after, "node-2": "READY"}


@pytest.mark.parametrize("state", [NodeState.CORDONED, NodeState.DRAINED])
@pytest.mark.parametrize("mode", ["cordon", "when_finished"])
def test_a_node_that_was_closed_before_is_closed_after(cluster, two, state, mode):
    Node.objects.filter(pk=two[0].pk).update(state=state)
    window = opened(cluster, mode=mode)
    at(window, begins=-2 * HOUR, ends=-HOUR)
    assert states(cluster) == {"node-1": state, "node-2": "READY"}


def test_one_under_way_ends_once_it_is_called_off(api, ada, cluster, two, woken):
    window = opened(cluster, mode="now")
    woken.clear()
    assert api(ada).delete(path(cluster, window)).status_code == 204
    assert states(cluster) == {"node-1": "READY", "node-2": "READY"}
    assert woken == [cluster.pk]
    assert not MaintenanceWindow.objects.exists()


def test_of_one_under_way_the_end_alone_moves(api, ada, cluster, two):
    window = opened(cluster)
    for changes in ({"begins_at": 60}, {"mode": "now"}, {"node_names": ["node-1"]}):
        answer = api(ada).patch(path(cluster, window), changes)
        assert (answer.status_code, answer.json()["code"]) == (409, "window_open")
    assert api(ada).patch(path(cluster, window), {"ends_at": 86400}).status_code == 200
    window.refresh_from_db()
    assert window.next_at == window.ends_at
    drain = Node.objects.get(name="node-1").drain or {}
    assert drain["until"] == window.ends_at.isoformat()
    at(window, begins=-2 * HOUR, ends=-HOUR)
    answer = api(ada).patch(path(cluster, window), {"ends_at": 60})
    assert (answer.status_code, answer.json()["code"]) == (409, "window_over")


def test_nodes_that_come_later_are_in_the_windows_that_mean_them(cluster, two):
    every = opened(cluster)
    of_zone = planned(cluster, 3 * HOUR, 4 * HOUR, node_selector={"zone": "b"})
    make_node(cluster, name="node-3", labels={"zone": "b"})
    make_node(cluster, name="node-4")
    assert states(cluster)["node-3"] == "CORDONED"
    assert [len(each.nodes.all()) for each in (every, of_zone)] == [4, 2]
    nodes.delete_node(Node.objects.get(name="node-3"))
    assert [len(each.nodes.all()) for each in (every, of_zone)] == [3, 1]


def test_a_dry_run_changes_nothing(api, ada, cluster, two, woken):
    woken.clear()
    answer = api(ada).post(path(cluster), {**BODY, "dry_run": True})
    assert answer.status_code == 200
    assert answer.json()["nodes"] == ["node-1", "node-2"]
    assert answer.json()["effect"]["total"]["deployments"] == 0
    assert not MaintenanceWindow.objects.exists()
    assert woken == []
    cluster.refresh_from_db()
    assert not cluster.has_windows


def test_the_feed_has_each_change_of_a_window_and_of_its_nodes(api, ada, cluster, two):
    answer = api(ada).post(path(cluster), {**BODY, "mode": "cordon"})
    window = MaintenanceWindow.objects.get(pk=answer.json()["id"])
    api(ada).patch(path(cluster, window), {"reason": "more disks"})
    at(window, begins=-HOUR, ends=HOUR)
    api(ada).delete(path(cluster, window))
    found = OrganizationEvent.objects.filter(organization_id=cluster.organization_id).order_by("id")
    kept = [
        (each.type, each.target_name, each.actor_name)
        for each in found
        if each.type.startswith("WINDOW") or "CORDONED" in each.type
    ]
    nodes_of = [("node-1",), ("node-2",)]
    assert kept == [
        ("WINDOW_CREATED", "new disks", "ada"),
        ("WINDOW_CHANGED", "more disks", "ada"),
        *(("NODE_CORDONED", *each, None) for each in nodes_of),
        *(("NODE_UNCORDONED", *each, "ada") for each in nodes_of),
        ("WINDOW_DELETED", "more disks", "ada"),
    ]


def test_nodes_that_a_kubernetes_cluster_gets_are_in_them_too(kube):
    endpoint = Endpoint.objects.get(cluster=kube)
    found = [Found(f"n{number}", 4000, 8192, 1, {}, True, False) for number in (1, 2)]
    node_status.found_all(endpoint, found[:1])
    window = planned(kube)
    node_status.found_all(endpoint, found)
    assert sorted(node.name for node in window.nodes.all()) == ["n1", "n2"]
    node_status.found_all(endpoint, found[1:])
    assert [node.name for node in window.nodes.all()] == ["n2"]


def test_they_go_with_their_cluster(cluster, two):
    planned(cluster)
    assert delete_cluster(cluster) is None
    assert not MaintenanceWindow.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_those_that_are_planned_at_the_same_time_one_gets_the_node(api, ada, cluster, two):
    def plan():
        return api(ada).post(path(cluster), BODY)

    answers = [answer.status_code for answer in all_at_once(*[plan] * 4)]
    assert sorted(answers) == [201, 409, 409, 409]
    assert MaintenanceWindow.objects.count() == 1
