"""Deletions by operators: the page that asks counts what goes, and the deletion is a task."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from clusters.models import Cluster
from deployments.models import Deployment, Status
from deployments.tests.workloads import make
from mlops_platform.admin import deletion
from organizations.models import Membership, Organization
from organizations.tests.people import make_user
from scheduler.tests.races.test_cluster_deletion import ENDED, fill, finish


def page(instance: Any) -> str:
    meta = instance._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_delete", args=[instance.pk])


@pytest.fixture
def operator(client: Any, db: None) -> Any:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


def test_the_page_counts_a_long_history_and_names_none_of_it(operator, cluster, ada):
    fill(cluster, ada)
    with CaptureQueriesContext(connection) as queries:
        answer = operator.get(page(cluster))
    text = answer.content.decode()
    assert answer.status_code == 200
    assert f"Deployments: {ENDED}" in text
    assert len(text) < 20_000
    assert len(queries) < 25


def test_a_cluster_with_a_long_history_is_deleted_by_a_task(operator, cluster, ada):
    fill(cluster, ada)
    answer = operator.post(page(cluster), {"post": "yes"}, follow=True)
    assert "was deleted successfully" in answer.content.decode()
    assert not Cluster.objects.exists()
    assert Deployment.objects.exists()
    finish(cluster)
    assert not Deployment.objects.exists()


def test_a_cluster_in_use_stays(operator, cluster, ada):
    make(cluster, ada, Status.RUNNING)
    answer = operator.post(page(cluster), {"post": "yes"}, follow=True)
    assert "stop it first" in answer.content.decode()
    assert Cluster.objects.exists()


def test_an_organization_with_clusters_and_a_user_with_deployments_stay(
    operator, org, cluster, ada
):
    fill(cluster, ada, 300)
    for instance, kind in ((org, "1 clusters"), (ada, "300 deployments")):
        answer = operator.get(page(instance))
        assert kind in answer.content.decode()
        assert len(answer.content) < 20_000
        operator.post(page(instance), {"post": "yes"})
        assert type(instance)._default_manager.filter(pk=instance.pk).exists()


def test_an_organization_of_many_members_goes_with_them(operator, org):
    users = [make_user(f"member-{number}") for number in range(40)]
    Membership.objects.bulk_create(
        Membership(organization=org, user=user, role="VIEWER") for user in users
    )
    answer = operator.get(page(org))
    assert "41" in answer.content.decode()
    assert "member-39" not in answer.content.decode()
    operator.post(page(org), {"post": "yes"})
    assert not Organization.objects.exists()


def test_what_is_very_much_is_not_counted_to_the_end(operator, org, monkeypatch):
    monkeypatch.setattr(deletion, "MOST_COUNTED", 2)
    assert "2 or more" in operator.get(page(org)).content.decode()  # codes
