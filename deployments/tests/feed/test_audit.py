"""The feed as an audit: who has done what to what, and for how long that is known."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from accounts.keys.services import create_key
from accounts.models import User
from clusters.services import clusters
from clusters.tests.allocation import make_node
from deployments.feed import window
from deployments.services.submit import create_deployment
from mlops_platform.api.scopes import KeyScope
from mlops_platform.database.clock import database_now
from organizations.events import retention
from organizations.events.recording import adopt_restored
from organizations.models import OrganizationEvent, Role
from organizations.services import change_role
from organizations.tests.people import PASSWORD, make_member

pytestmark = pytest.mark.django_db(transaction=True)


def read(client: Any, org: Any, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(f"/api/orgs/{org.pk}/events{query}")
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()
    return found


def test_an_event_says_who_has_changed_what_from_what_to_what(api, ada, dev, org):
    answer = api(ada).patch(
        f"/api/orgs/{org.pk}/members/{dev.pk}", {"role": "ADMIN"}, headers={"X-Request-ID": "r-1"}
    )
    assert answer.status_code == 200
    event = read(api(ada), org, "?target=dev&type=MEMBER_CHANGED")[-1]
    assert event["target"] == {"type": "member", "id": str(dev.pk), "name": "dev"}
    assert (event["before"], event["after"]) == ({"role": "DEVELOPER"}, {"role": "ADMIN"})
    assert (event["actor"], event["actor_kind"], event["request_id"]) == ("ada", "user", "r-1")


def test_an_actor_may_be_a_key_an_operator_or_the_platform(api, client, ada, org, cluster):
    key = create_key(ada, "nightly", KeyScope.MANAGE)
    bearer = {"Authorization": f"Bearer {key.token}"}
    path = f"/api/clusters/{cluster.pk}"
    client.patch(path, {"name": "a"}, content_type="application/json", headers=bearer)
    client.force_login(User.objects.create_superuser("root", password=PASSWORD))
    chosen = {"action": "pause", "_selected_action": [str(cluster.pk)]}
    client.post("/admin/clusters/cluster/", chosen)
    clusters.change_cluster(cluster, {"name": "b"})
    found = read(api(ada), org, "?type=CLUSTER_CHANGED")
    assert [(each["actor_kind"], each["actor"], each["api_key"]) for each in found] == [
        ("key", "ada", "nightly"),
        ("operator", "root", None),
        ("platform", None, None),
    ]


def test_names_stay_when_accounts_and_things_are_gone(api, ada, org, cluster):
    grace = make_member(org, "grace", Role.ADMIN)
    node = make_node(cluster, name="gpu-1")
    path = f"/api/clusters/{cluster.pk}/nodes/{node.pk}"
    assert api(grace).patch(path, {"labels": {"zone": "b"}}).status_code == 200
    key = str(grace.pk)
    grace.delete()
    node.delete()
    [event] = read(api(ada), org, "?target=gpu-1&type=NODE_CHANGED")
    assert (event["actor"], event["actor_id"]) == ("grace", key)
    assert (event["before"], event["after"]) == ({"labels": {}}, {"labels": {"zone": "b"}})


def test_without_deployments_the_feed_goes_back_for_longer(api, ada, dev, org, cluster, settings):
    settings.EVENTS_RETENTION_DAYS, settings.AUDIT_RETENTION_DAYS = 2, 10
    create_deployment(dev, cluster.pk, {"image": "x", "cpu_milli": 1, "ram_mib": 1, "gpu": 0})
    at = window.seen_now().at
    OrganizationEvent.objects.update(at=at - timedelta(days=9))
    assert {each["type"] for each in read(api(ada), org)} == {"SUBMITTED"}
    assert len(read(api(ada), org, "?target_type=organization")) == 1
    assert read(api(ada), org, "?type=ORGANIZATION_CREATED")
    OrganizationEvent.objects.update(at=at - timedelta(days=11))
    assert read(api(ada), org, "?target_type=organization") == []


def test_the_retention_deletes_what_is_old_and_nothing_else(ada, dev, org):
    change_role(ada, org.pk, dev.pk, Role.VIEWER)
    ids = list(OrganizationEvent.objects.order_by("pk").values_list("pk", flat=True))
    assert len(ids) > 1
    now = database_now()
    OrganizationEvent.objects.filter(pk=ids[0]).update(at=now - timedelta(days=3))
    assert sum(retention.forget(now - timedelta(days=2))) == 1
    assert list(OrganizationEvent.objects.order_by("pk").values_list("pk", flat=True)) == ids[1:]


def test_events_of_a_restored_database_come_before_all_new_ones(api, ada, dev, org):
    change_role(ada, org.pk, dev.pk, Role.ADMIN)
    OrganizationEvent.objects.update(transaction_id=2**40)
    adopt_restored(connection.alias, apps)
    change_role(ada, org.pk, dev.pk, Role.VIEWER)
    found = read(api(ada), org, "?target_type=member")
    assert [each["after"] for each in found] == [{"role": "ADMIN"}, {"role": "VIEWER"}]
