"""The page of an organization's changes."""

import re

import pytest
from django.http import QueryDict
from django.urls import reverse

from mlops_platform.console.pages.organization import audit
from mlops_platform.console.pages.organization.audit import audit_page
from mlops_platform.console.tests.test_submit import browser, text_of
from mlops_platform.tests.equipment.world import World
from organizations.events.models import OrganizationEvent

pytestmark = pytest.mark.django_db


def asked(**given):
    query = QueryDict(mutable=True)
    query.update(given)
    return query


def test_a_change_says_who_changed_what_from_what_to_what(api, cluster, ada, org, monkeypatch):
    OrganizationEvent.objects.all().delete()
    api(ada).patch(f"/api/clusters/{cluster.pk}", {"state": "PAUSED"})
    api(ada).patch(f"/api/clusters/{cluster.pk}", {"state": "ACTIVE"})
    seen = audit_page(ada, str(org.pk), asked())
    assert [each.type for each in seen.lines] == ["CLUSTER_CHANGED"] * 2
    line = seen.lines[1]
    assert (line.actor, line.target_type, line.target) == ("ada", "cluster", cluster.name)
    assert "state: ACTIVE → PAUSED" in line.said
    monkeypatch.setattr(audit, "PER_PAGE", 1)
    first = audit_page(ada, str(org.pk), asked(type="CLUSTER_CHANGED", target=cluster.name))
    before = re.search(r"before=([\d.]+)", first.older)
    assert before is not None
    rest = audit_page(ada, str(org.pk), asked(before=before[1]))
    assert [*first.lines, *rest.lines] == seen.lines
    assert audit_page(ada, str(org.pk), asked(actor="grace")).lines == []


def test_members_read_nothing_of_members_keys_and_invitations(world: World) -> None:
    path = reverse("console:audit", args=[world.ids["organization_id"]])
    seen = {person: text_of(browser(world, person).get(path)) for person in ("developer", "admin")}
    assert '<th scope="row">KEY_CREATED</th>' in seen["admin"]
    for kind in ("MEMBER_", "KEY_", "INVIT", "SECRET_"):
        assert f'<th scope="row">{kind}' not in seen["developer"]
    assert '<th scope="row">QUOTA_CREATED</th>' in seen["developer"]
