"""GET, PATCH /api/orgs/{id}/rules, and what the rules make of submits, priorities and stops"""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.tests.allocation import make_cluster
from deployments.house_rules import HouseRules
from deployments.models import Deployment, Status, Sweep
from deployments.tests.workloads import body, make
from organizations.models import OrganizationEvent, Role
from organizations.tests.people import all_at_once, client_for, make_member
from scheduler.tests.conftest import run_cycle

SUBMIT = "/api/deployments"
DEFAULTS = {
    "stop": "all",
    "confirm_evictions": False,
    "restricted": [],
    "max_preempting_cpu": None,
    "max_preempting_ram": None,
    "max_preempting_gpu": None,
}


def url(org):
    return f"/api/orgs/{org.pk}/rules"


def rule(org, ada, **changes):
    answer = client_for(ada).patch(url(org), changes)
    assert answer.status_code == 200, answer.json()
    return answer.json()


def said(answer):
    return answer.status_code, answer.json().get("code")


@pytest.fixture
def west(org):
    return make_cluster(org)  # 4 GPUs


@pytest.fixture
def mia(org):
    return make_member(org, "mia", Role.DEVELOPER)


def test_members_read_them_and_an_admin_changes_them(api, ada, dev, vera, org, sam):
    assert api(vera).get(url(org)).json() == DEFAULTS
    assert rule(org, ada, stop="own") == {**DEFAULTS, "stop": "own"}
    assert rule(org, ada, max_preempting_gpu=2)["stop"] == "own"
    restricted = [{"priority": "high", "role": "ADMIN", "members": ["DEV"]}]
    shown = rule(org, ada, restricted=restricted)["restricted"]
    assert shown == [{"priority": "HIGH", "role": "ADMIN", "members": ["dev"]}]
    event = OrganizationEvent.objects.latest("pk")
    assert (event.type, event.actor_name) == ("ORGANIZATION_CHANGED", "ada")
    assert event.before == {"restricted": []}
    assert rule(org, ada, restricted=None)["restricted"] == []
    before = HouseRules.objects.values().get()
    for person, status in ((dev, 403), (vera, 403), (sam, 404)):
        assert api(person).patch(url(org), {"stop": "all"}).status_code == status
    assert api(sam).get(url(org)).status_code == 404
    assert HouseRules.objects.values().get() == before


@pytest.mark.parametrize(
    "restriction",
    [
        {"priority": "LOW", "role": "ADMIN"},
        {"priority": "URGENT", "role": "ADMIN"},
        {"priority": "HIGH", "role": "ADMIN", "members": ["sam"]},
        {"priority": "HIGH", "role": "ADMIN", "members": ["nobody"]},
    ],
)
def test_a_restriction_of_what_is_not_there_is_refused(api, ada, org, sam, restriction):
    answer = api(ada).patch(url(org), {"restricted": [restriction]})
    assert answer.status_code == 400
    assert not HouseRules.objects.exists()


# --- Stops ---------------------------------------------------------------------------------------


def test_where_members_stop_their_own_another_is_refused_and_nothing_changes(
    api, ada, dev, mia, org, west
):
    rule(org, ada, stop="own")
    row = make(west, dev)
    for call in (
        lambda: api(mia).post(f"{SUBMIT}/{row.pk}/stop", {}),
        lambda: api(mia).delete(f"{SUBMIT}/{row.pk}"),
        lambda: api(mia).post(f"{SUBMIT}/{row.pk}", {"cluster_id": str(west.pk)}),
    ):
        assert said(call()) == (403, "not_owner")
    many = api(mia).post(f"{SUBMIT}/actions", {"action": "stop", "ids": [str(row.pk)]}).json()
    assert (many["done"], many["refusals"][0]["code"]) == (0, "not_owner")
    row.refresh_from_db()
    assert row.status == Status.QUEUED
    assert api(dev).post(f"{SUBMIT}/{row.pk}/stop", {}).status_code == 200
    other = make(west, dev)
    assert api(ada).post(f"{SUBMIT}/{other.pk}/stop", {}).status_code == 200


def test_a_sweep_of_another_is_not_stopped_either(api, ada, dev, mia, org, west):
    rule(org, ada, stop="own")
    sweep = Sweep.objects.create(cluster=west, owner=dev, name="lr", parameters=[{}], size=1)
    row = make(west, dev, sweep=sweep, sweep_index=0)
    assert said(api(mia).post(f"/api/sweeps/{sweep.pk}/stop", {})) == (403, "not_owner")
    row.refresh_from_db()
    assert row.status == Status.QUEUED
    assert api(dev).post(f"/api/sweeps/{sweep.pk}/stop", {}).json()["stopped"] == 1


def test_without_rules_members_stop_each_others(api, dev, mia, west):
    row = make(west, dev)
    assert api(mia).post(f"{SUBMIT}/{row.pk}/stop", {}).status_code == 200


# --- Classes -------------------------------------------------------------------------------------


def test_a_class_for_others_is_refused_by_each_way_to_it(api, ada, dev, mia, org, west):
    rule(org, ada, restricted=[{"priority": "HIGH", "role": "ADMIN", "members": ["mia"]}])
    high, row = body(west, priority="HIGH"), make(west, dev)
    before = Deployment.objects.count()
    template = {**high, "name": "lr-{lr}"}
    for answer in (
        api(dev).post(SUBMIT, high),
        api(dev).post(f"{SUBMIT}/bulk", {"deployments": [body(west), high]}),
        api(dev).post(f"{SUBMIT}/quote", high),
        api(dev).post("/api/sweeps", {"parameters": [{"lr": 1}], "template": template}),
        api(dev).post(f"{SUBMIT}/{row.pk}/rerun", {"priority": "HIGH"}),
        api(dev).patch(f"{SUBMIT}/{row.pk}", {"priority": "HIGH"}),
    ):
        assert said(answer) == (403, "priority_restricted")
    action = {"action": "priority", "priority": "HIGH", "ids": [str(row.pk)]}
    many = api(dev).post(f"{SUBMIT}/actions", action).json()
    assert (many["done"], many["refusals"][0]["code"]) == (0, "priority_restricted")
    assert Deployment.objects.count() == before
    row.refresh_from_db()
    assert row.priority_class.name == "LOW"
    for person in (mia, ada):
        assert api(person).post(SUBMIT, high).status_code == 201
    assert api(dev).post(SUBMIT, body(west)).status_code == 201


# --- Limits --------------------------------------------------------------------------------------


def test_a_member_has_no_more_that_may_preempt_than_allowed(api, ada, dev, mia, org, west):
    rule(org, ada, max_preempting_gpu=2)
    high = body(west, priority="HIGH", required_gpu=1)
    assert api(dev).post(SUBMIT, high).status_code == 201
    assert api(dev).post(SUBMIT, {**high, "replicas": 2}).json()["code"] == "preempting_limit"
    second = api(dev).post(SUBMIT, high).json()["id"]
    bulk = api(dev).post(f"{SUBMIT}/bulk", {"deployments": [body(west), high]})
    assert said(bulk) == (409, "preempting_limit")
    assert api(dev).patch(f"{SUBMIT}/{second}", {"required_gpu": 2}).status_code == 409
    low = make(west, dev)
    assert api(dev).patch(f"{SUBMIT}/{low.pk}", {"priority": "HIGH"}).status_code == 409
    action = {"action": "priority", "priority": "HIGH", "ids": [str(low.pk)]}
    assert api(dev).post(f"{SUBMIT}/actions", action).json()["done"] == 0
    assert Deployment.objects.filter(priority_class__name="HIGH").count() == 2
    assert api(mia).post(SUBMIT, {**high, "required_gpu": 2}).status_code == 201
    assert api(dev).post(SUBMIT, body(west, required_gpu=4)).status_code == 201
    api(dev).post(f"{SUBMIT}/{second}/stop", {})
    assert api(dev).post(SUBMIT, high).status_code == 201


def test_submits_at_once_keep_the_limit(transactional_db, ada, dev, org, west):
    rule(org, ada, max_preempting_gpu=2)
    high = body(west, priority="HIGH", required_gpu=1)
    answers = all_at_once(*[lambda: client_for(dev).post(SUBMIT, high)] * 4)
    assert sorted(each.status_code for each in answers) == [201, 201, 409, 409]


# --- Confirmations -------------------------------------------------------------------------------


@pytest.fixture
def full(ada, org, west, mia):
    """A cluster that mia's work fills, in an organization where evictions are confirmed."""
    rule(org, ada, confirm_evictions=True)
    client_for(mia).post(SUBMIT, body(west, required_gpu=4, name="eval-7"))
    run_cycle(west)
    return west


def test_a_submit_that_evicts_needs_a_quote_or_a_confirmation(api, dev, full):
    high = body(full, priority="HIGH")
    refused = api(dev).post(SUBMIT, high)
    assert said(refused) == (409, "needs_confirmation")
    assert "It would evict eval-7 of mia." in refused.json()["detail"]
    assert not Deployment.objects.filter(owner=dev).exists()
    [token] = refused.json()["fields"]["quote"]
    assert api(dev).post(SUBMIT, {**high, "quote": token}).json()["status"] == "RUNNING"


def test_a_confirmed_one_evicts_and_those_who_are_evicted_see_by_whom(api, dev, mia, full):
    key = {"HTTP_IDEMPOTENCY_KEY": "k1"}
    high = body(full, priority="HIGH", name="urgent", confirm=True)
    submitted = api(dev).post(SUBMIT, high, **key)
    assert submitted.status_code == 201
    run_cycle(full)
    unconfirmed = {**high, "confirm": False}
    assert api(dev).post(SUBMIT, unconfirmed, **key).json()["id"] == submitted.json()["id"]
    victim = Deployment.objects.get(name="eval-7")
    events = api(mia).get(f"{SUBMIT}/{victim.pk}/events").json()
    said = [each["details"] for each in events if each["type"] == "PREEMPTED"]
    named = {"by_name": "urgent", "by_owner": "dev", "priority": "HIGH"}
    assert [named.items() <= each.items() for each in said] == [True]


def test_what_evicts_nothing_needs_none(api, dev, full, org):
    assert api(dev).post(SUBMIT, body(full)).status_code == 201
    empty = make_cluster(org, name="east")
    assert api(dev).post(SUBMIT, body(empty, priority="HIGH")).status_code == 201


def test_another_priority_needs_one_too(api, dev, full):
    row = make(full, dev)
    change: dict[str, object] = {"priority": "HIGH"}
    refused = api(dev).patch(f"{SUBMIT}/{row.pk}", change)
    assert said(refused) == (409, "needs_confirmation")
    assert "eval-7 of mia" in refused.json()["detail"]
    action: dict[str, object] = {"action": "priority", **change, "ids": [str(row.pk)]}
    assert said(api(dev).post(f"{SUBMIT}/actions", action)) == (409, "needs_confirmation")
    row.refresh_from_db()
    assert row.priority_class.name == "LOW"
    assert api(dev).post(f"{SUBMIT}/actions", {**action, "confirm": True}).json()["done"] == 1
    other = make(full, dev)
    confirmed = {**change, "confirm": True}
    assert api(dev).patch(f"{SUBMIT}/{other.pk}", confirmed).status_code == 200


def test_many_at_once_are_confirmed_one_by_one(api, dev, full):
    high: dict[str, object] = body(full, priority="HIGH")
    assert said(api(dev).post(f"{SUBMIT}/bulk", {"deployments": [high]})) == (
        409,
        "needs_confirmation",
    )
    confirmed = {**high, "confirm": True}
    bulk = {"deployments": [confirmed, body(full)]}
    assert api(dev).post(f"{SUBMIT}/bulk", bulk).status_code == 201
    template = {**high, "name": "lr-{lr}"}
    sweep: dict[str, object] = {"parameters": [{"lr": 1}], "template": template}
    assert said(api(dev).post("/api/sweeps", sweep)) == (409, "needs_confirmation")
    sweep["template"] = {**template, "confirm": True}
    assert api(dev).post("/api/sweeps", sweep).status_code == 201


def test_of_low_submits_no_rule_is_read(api, dev, full):
    with CaptureQueriesContext(connection) as found:
        assert api(dev).post(SUBMIT, body(full)).status_code == 201
    assert not [each for each in found if "houserules" in each["sql"]]
