"""History goes on naming deployments and users that are gone."""

import pytest

from accounts.models import User
from deployments.models import Deployment, DeploymentEvent, OnPreempt, Status
from deployments.tests.workloads import body, make
from organizations.models import Role
from organizations.tests.people import make_member
from scheduler import cycle
from scheduler.models import Trigger

pytestmark = pytest.mark.django_db(transaction=True)


def events(client, row, kind):
    lines = client.get(f"/api/deployments/{row.pk}/events").json()
    return [line["details"] for line in lines if line["type"] == kind]


def forget(row):
    """As retention does once it has ended."""
    DeploymentEvent.objects.filter(deployment=row).delete()
    Deployment.objects.filter(pk=row.pk).delete()


@pytest.mark.parametrize("then", [OnPreempt.REQUEUE, OnPreempt.FAIL])
def test_a_victim_says_for_which_deployment_it_made_room(api, ada, dev, cluster, then):
    cluster.total_gpu = 1
    cluster.save()
    low = make(cluster, dev, Status.RUNNING, on_preempt=then)
    high = make(cluster, ada, priority="HIGH", name="eval-7")
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    [started] = events(api(dev), high, "STARTED")
    forget(high)
    called = {"by": str(high.pk), "by_name": "eval-7", "by_owner": "ada"}
    for kind in ("PREEMPTED", "FAILED")[: 1 if then == OnPreempt.REQUEUE else 2]:
        [details] = events(api(dev), low, kind)
        assert called.items() <= details.items()
    reason = api(dev).get(f"/api/deployments/{low.pk}").json()["reason"]
    assert called.items() <= reason["details"].items()
    assert "eval-7 of ada" in reason["message"]
    assert (started["victims"], started["victim_names"]) == ([str(low.pk)], ["train of dev"])


def test_a_preemptor_names_its_victims_once_they_are_gone(api, ada, dev, cluster):
    cluster.total_gpu = 2
    cluster.save()
    lows = [make(cluster, dev, Status.RUNNING, name=name) for name in ("lr-1", "lr-2")]
    high = make(cluster, ada, priority="HIGH", gpu=2)
    cycle.run(cluster.pk, Trigger.SUBMITTED)
    for row in lows:
        forget(row)
    [started] = events(api(dev), high, "STARTED")
    names = dict(zip(started["victims"], started["victim_names"], strict=True))
    assert names == {str(row.pk): f"{row.name} of dev" for row in lows}


def test_a_dependent_says_which_dependency_failed(api, ada, dev, cluster):
    needed = make(cluster, ada, name="prepare")
    given = body(cluster, depends_on=[str(needed.pk)])
    dependent = Deployment.objects.get(pk=api(dev).post("/api/deployments", given).json()["id"])
    api(ada).post(f"/api/deployments/{needed.pk}/stop")
    dependent.depends_on.clear()
    forget(needed)
    [details] = events(api(dev), dependent, "FAILED")
    reason = api(dev).get(f"/api/deployments/{dependent.pk}").json()["reason"]
    for each in (details, reason["details"]):
        assert (each["by_name"], each["by_owner"]) == ("prepare", "ada")
    assert "prepare of ada" in reason["message"]


def test_an_entry_keeps_the_name_of_a_deleted_user(api, dev, org, cluster):
    grace = make_member(org, "grace", Role.ADMIN)
    row = make(cluster, dev)
    api(grace).patch(f"/api/deployments/{row.pk}", {"priority": "HIGH"})
    User.objects.filter(username="grace").delete()
    api(dev).post(f"/api/deployments/{row.pk}/stop")
    lines = api(dev).get(f"/api/deployments/{row.pk}/events").json()
    assert [(line["actor"], line["actor_id"]) for line in lines] == [
        ("grace", None),
        ("dev", str(dev.pk)),
    ]
    feed = api(dev).get(f"/api/orgs/{org.pk}/events").json()
    assert [line["actor"] for line in feed] == ["grace", "dev"]
