"""POST /api/deployments/actions"""

from uuid import uuid4

import pytest

from clusters.tests.allocation import make_cluster
from deployments.env import unsealed
from deployments.models import Deployment, DeploymentEvent, Status
from deployments.services import stop
from deployments.services.drafting import update
from deployments.tests.workloads import make, timeline
from mlops_platform.environment.database import RowLocked
from organizations.models import Membership, Role

PATH = "/api/deployments/actions"


def act(client, action, status=200, headers=None, **given):
    answer = client.post(PATH, {"action": action, **given}, headers=headers or {})
    assert answer.status_code == status, answer.content
    return answer.json()


def states():
    return dict(Deployment.objects.values_list("name", "status"))


@pytest.fixture
def sweep(cluster, dev, ada):
    """Of two owners; the last is none of the sweep."""
    labels = {"sweep": "lr"}
    return [
        make(cluster, dev, name="q1", labels=labels),
        make(cluster, ada, name="q2", labels=labels),
        make(cluster, dev, Status.RUNNING, name="r", labels=labels),
        make(cluster, dev, Status.COMPLETED, name="c", labels=labels),
        make(cluster, dev, Status.FAILED, name="f", labels=labels, env={"SEED": "7"}),
        make(cluster, dev, name="other"),
    ]


SWEEP = {"label": "sweep=lr"}


def test_a_dry_run_says_what_it_would_do_and_does_nothing(api, dev, sweep, stop_signals):
    before = list(Deployment.objects.order_by("pk").values())
    answer = act(api(dev), "stop", filter=SWEEP, dry_run=True)
    assert answer == {
        "action": "stop",
        "dry_run": True,
        "chosen": 5,
        "done": 3,
        "by_status": {"QUEUED": 2, "RUNNING": 1},
        "unchanged": 2,
        "refused": 0,
        "first": [{"id": str(row.pk), "name": row.name} for row in reversed(sweep[:3])],
        "refusals": [],
        "submitted": [],
        "submitted_names": [],
    }
    act(api(dev), "priority", filter=SWEEP, priority="HIGH", dry_run=True)
    act(api(dev), "rerun", filter=SWEEP, dry_run=True)
    assert list(Deployment.objects.order_by("pk").values()) == before
    assert not DeploymentEvent.objects.exists()
    assert stop_signals == []


def test_a_stop_ends_what_goes_on_as_single_ones_do(api, dev, cluster, sweep, stop_signals):
    answer = act(api(dev), "stop", filter=SWEEP)
    assert (answer["done"], answer["unchanged"], answer["dry_run"]) == (3, 2, False)
    assert states() == {
        **dict.fromkeys(("q1", "q2", "r"), "STOPPED"),
        "c": "COMPLETED",
        "f": "FAILED",
        "other": "QUEUED",
    }
    assert timeline(sweep[2]) == [("STOPPED", "dev")]
    [(at, ids, trigger)] = stop_signals
    assert (at, ids, trigger) == (cluster.pk, {row.pk for row in sweep[:3]}, "STOPPED")
    assert act(api(dev), "stop", filter=SWEEP)["done"] == 0


def test_a_priority_is_given_to_what_goes_on_and_one_cycle_asked_for(
    api, ada, cluster, sweep, stop_signals
):
    answer = act(api(ada), "priority", priority="high", ids=[str(row.pk) for row in sweep[1:5]])
    assert (answer["done"], answer["refused"]) == (2, 2)
    assert {each["code"] for each in answer["refusals"]} == {"ended"}
    keys = dict(Deployment.objects.values_list("name", "scheduling_key"))
    assert [name for name, key in keys.items() if key.startswith("HIGH/")] == ["q2", "r"]
    assert timeline(sweep[2]) == [("CHANGED", "ada")]
    details = DeploymentEvent.objects.get(deployment=sweep[2]).details
    assert details == {"priority": {"from": "LOW", "to": "HIGH"}}
    assert [each[2] for each in stop_signals] == ["CHANGED"]
    assert act(api(ada), "priority", priority="HIGH", ids=[str(sweep[1].pk)])["unchanged"] == 1


def test_a_rerun_submits_each_again_with_what_the_platform_alone_has(api, dev, cluster, sweep):
    answer = act(api(dev), "rerun", filter={**SWEEP, "status": ["FAILED", "COMPLETED"]})
    assert (answer["done"], answer["by_status"]) == (2, {"COMPLETED": 1, "FAILED": 1})
    rows = [Deployment.objects.get(pk=pk) for pk in answer["submitted"]]
    assert [row.rerun_of_id for row in rows] == [sweep[4].pk, sweep[3].pk]
    assert [(row.status, row.name, row.owner) for row in rows] == [
        ("QUEUED", "f", dev),
        ("QUEUED", "c", dev),
    ]
    assert unsealed(rows[0].env) == {"SEED": "7"}
    assert timeline(rows[0]) == [("SUBMITTED", "dev")]


def test_a_key_makes_a_rerun_once_also_where_the_filter_finds_others_by_now(
    api, dev, cluster, sweep
):
    headers, given = {"Idempotency-Key": "k"}, {"filter": {**SWEEP, "status": "FAILED,QUEUED"}}
    first = act(api(dev), "rerun", headers=headers, **given)
    make(cluster, dev, Status.FAILED, name="late", labels={"sweep": "lr"})
    again = api(dev).post(PATH, {"action": "rerun", **given}, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["submitted"] == first["submitted"]
    assert len(first["submitted"]) == 3
    other = {"filter": SWEEP}
    assert act(api(dev), "rerun", 409, headers, **other)["code"] == "idempotency_key_reused"
    assert Deployment.objects.exclude(rerun_of_id=None).count() == 3


def test_what_one_refuses_keeps_no_other_from_being_done(api, dev, ada, cluster, sweep):
    broken = make(cluster, dev, Status.FAILED, name="sealed", labels={"sweep": "lr"})
    Deployment.objects.filter(pk=broken.pk).update(env=["A", "gAAAA"])
    gone = make(cluster, dev, Status.FAILED, name="mounts", volumes=[{"name": "v", "path": "/v"}])
    ids = [str(row.pk) for row in (broken, gone, sweep[4])] + [str(uuid4()), "nonsense"]
    answer = act(api(ada), "rerun", ids=ids)
    assert (answer["chosen"], answer["done"], answer["refused"]) == (5, 1, 4)
    codes = {each["name"]: each["code"] for each in answer["refusals"]}
    assert codes == {None: "not_found", "sealed": "env_sealed", "mounts": "invalid"}
    assert all(each["detail"] for each in answer["refusals"])


@pytest.mark.parametrize("action", ["stop", "priority", "rerun"])
def test_each_is_refused_what_the_single_call_refuses(
    api, vera, sam, sams_org, cluster, sweep, action
):
    given = {"priority": "HIGH"} if action == "priority" else {}
    ids = [str(row.pk) for row in sweep]
    before = list(Deployment.objects.order_by("pk").values())
    for person, code in ((vera, "permission_denied"), (sam, "not_found")):
        answer = act(api(person), action, ids=ids, **given)
        assert (answer["done"], answer["refused"]) == (0, 6)
        assert {each["code"] for each in answer["refusals"]} == {code}
        assert all((each["name"] is None) == (code == "not_found") for each in answer["refusals"])
    assert act(api(sam), action, filter=SWEEP, **given)["chosen"] == 0
    assert list(Deployment.objects.order_by("pk").values()) == before


def test_who_develops_in_one_organization_and_looks_on_in_another_changes_the_one_alone(
    api, dev, sam, sams_org, sweep
):
    elsewhere = make_cluster(sams_org)
    make(elsewhere, sam, name="theirs", labels={"sweep": "lr"})
    Membership.objects.create(organization=sams_org, user=dev, role=Role.VIEWER)
    answer = act(api(dev), "stop", filter=SWEEP)
    assert (answer["done"], answer["refused"]) == (3, 1)
    assert answer["refusals"][0]["name"] == "theirs"
    assert states()["theirs"] == "QUEUED"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"action": "stop"}, "ids"),
        ({"action": "stop", "ids": []}, "ids"),
        ({"action": "stop", "ids": ["x"], "filter": {"name": "x"}}, "ids"),
        ({"action": "stop", "filter": {}}, "filter"),
        ({"action": "stop", "filter": {"nonsense": "x"}}, "filter nonsense"),
        ({"action": "stop", "filter": {"ordering": "name"}}, "filter ordering"),
        ({"action": "stop", "filter": {"limit": "1"}}, "filter limit"),
        ({"action": "stop", "filter": {"status": "ASLEEP"}}, "filter status"),
        ({"action": "stop", "filter": {"status": 1}}, "filter status"),
        ({"action": "stop", "filter": {"status": []}}, "filter status"),
        ({"action": "stop", "filter": {"name": ["a", "b"]}}, "filter name"),
        ({"action": "stop", "ids": ["x"], "priority": "HIGH"}, "priority"),
        ({"action": "priority", "ids": ["x"]}, "priority"),
        ({"action": "priority", "ids": ["x"], "priority": "medium"}, "priority"),
        ({"action": "delete", "ids": ["x"]}, "action"),
        ({"action": "stop", "ids": ["x"] * 1001}, "ids"),
        ({"action": "stop", "ids": ["x"], "dry_run": "yes"}, "dry_run"),
        ({"action": "stop", "ids": ["x"], "force": True}, "force"),
    ],
)
def test_what_is_faulty_is_named(api, dev, given, field):
    answer = api(dev).post(PATH, given)
    assert answer.status_code == 400
    outer, _, inner = field.partition(" ")
    assert list(answer.json()["fields"]) == [outer]
    if inner:
        assert list(answer.json()["fields"]["filter"]) == [inner]


def test_a_filter_that_finds_very_many_is_refused_whole(api, dev, sweep, monkeypatch):
    monkeypatch.setattr("deployments.api.steering.chosen.MOST", 4)
    assert list(act(api(dev), "stop", 400, filter=SWEEP)["fields"]) == ["filter"]
    assert states()["q1"] == "QUEUED"
    monkeypatch.setattr("deployments.api.steering.chosen.MOST", 5)
    assert act(api(dev), "stop", filter=SWEEP)["chosen"] == 5


@pytest.mark.parametrize("action", ["stop", "priority"])
def test_a_cluster_that_is_locked_is_refused_and_the_next_one_goes_on(
    api, dev, org, sweep, monkeypatch, action
):
    """As its rows would be where a cycle has them for longer than lock_timeout."""
    east = make(make_cluster(org, name="east"), dev, name="east", labels={"sweep": "lr"})
    place, name = (stop, "lock_cluster") if action == "stop" else (update, "lock_cluster_or_404")
    free = getattr(place, name)

    def lock(cluster_id):
        if cluster_id != east.cluster_id:
            raise RowLocked("Another session has the row.")
        return free(cluster_id)

    monkeypatch.setattr(place, name, lock)
    given = {"priority": "HIGH"} if action == "priority" else {}
    answer = act(api(dev), action, filter={**SWEEP, "status": "QUEUED,RUNNING"}, **given)
    assert (answer["done"], answer["refused"]) == (1, 3)
    assert {each["code"] for each in answer["refusals"]} == {"busy"}
    assert answer["first"] == [{"id": str(east.pk), "name": "east"}]


@pytest.mark.parametrize("count", [2, 40])
def test_queries_do_not_grow_with_rows(api, dev, cluster, count, django_assert_max_num_queries):
    for _ in range(count):
        make(cluster, dev, labels={"a": "b"})
    for action, given, most in (
        ("priority", {"priority": "HIGH"}, 30),
        ("rerun", {}, 40),
        ("stop", {}, 30),
    ):
        with django_assert_max_num_queries(most):
            assert act(api(dev), action, filter={"label": "a=b", "name": "train"}, **given)


def test_nobody_acts_without_a_token(anyone):
    assert anyone.post(PATH, {"action": "stop", "ids": ["x"]}).status_code == 401
