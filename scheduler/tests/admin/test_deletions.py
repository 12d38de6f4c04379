"""Deletions by operators: the page that asks counts what goes, and the deletion is a task."""

from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from clusters.models import Cluster
from clusters.services import deletion as deletion_of_clusters
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status
from deployments.tests.workloads import make
from mlops_platform.admin import deletion
from organizations.models import Membership, Organization
from organizations.tests.people import client_for, make_user
from scheduler.tests.races.test_cluster_deletion import ENDED, fill, finish


def page(instance: Any) -> str:
    meta = instance._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_delete", args=[instance.pk])


def operator_user() -> User:
    return User.objects.get(username="root")


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


def test_a_user_with_deployments_stays(operator, cluster, ada):
    fill(cluster, ada, 300)
    answer = operator.get(page(ada))
    assert "300 deployments" in answer.content.decode()
    assert len(answer.content) < 20_000
    operator.post(page(ada), {"post": "yes"})
    assert type(ada)._default_manager.filter(pk=ada.pk).exists()


def test_an_organization_goes_with_its_clusters_whose_history_tasks_delete(
    operator, org, cluster, ada, sams_org
):
    fill(cluster, ada)
    other = make_cluster(org, name="other")
    assert "Clusters: 2" in operator.get(page(org)).content.decode()
    with CaptureQueriesContext(connection) as queries:
        answer = operator.post(page(org), {"post": "yes"}, follow=True)
    assert "was deleted successfully" in answer.content.decode()
    assert not any('DELETE FROM "deployments_deployment"' in each["sql"] for each in queries)
    assert not Cluster.objects.filter(organization=org).exists()
    assert not Membership.objects.filter(organization=org).exists()
    assert client_for(ada).get(f"/api/orgs/{org.pk}").status_code == 404
    shown = operator.get(reverse("admin:organizations_organization_changelist")).content.decode()
    assert (str(org.pk) in shown, str(sams_org.pk) in shown) == (False, True)
    for person in (ada, operator_user()):
        listed = client_for(person).get("/api/orgs/all").text
        assert (str(org.pk) in listed, str(sams_org.pk) in listed) == (False, True)
    finish(other)
    assert Organization.objects.filter(pk=org.pk).exists()
    finish(cluster)
    assert not Organization.objects.filter(pk=org.pk).exists()
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("status", [Status.RUNNING, Status.QUEUED])
def test_an_organization_in_use_stays_as_it_is(operator, org, cluster, ada, status):
    unused = make_cluster(org, name="another")
    make(cluster, ada, status)
    answer = operator.post(page(org), {"post": "yes"}, follow=True)
    said = [str(message) for message in answer.context["messages"]]
    assert said == [f"1 deployment waits or runs in {cluster.name}: stop them first."]
    assert set(Cluster.objects.filter(organization=org)) == {cluster, unused}
    assert Membership.objects.filter(organization=org).exists()
    assert Organization.objects.get(pk=org.pk).deleted_at is None


def test_an_organization_whose_last_task_was_lost_goes_with_the_sweep(operator, org, cluster, ada):
    fill(cluster, ada, 10)
    operator.post(page(org), {"post": "yes"})
    with patch("clusters.services.deletion.finish"):  # a worker that is killed before
        finish(cluster)
    assert Organization.objects.filter(pk=org.pk).exists()
    deletion_of_clusters.resume_all()
    assert not Organization.objects.filter(pk=org.pk).exists()


def test_no_cluster_is_made_in_an_organization_that_is_being_deleted(operator, org, cluster, ada):
    fill(cluster, ada, 10)
    operator.post(page(org), {"post": "yes"})
    given = {"name": "late", "total_cpu": 1, "total_ram": 1024, "total_gpu": 1}
    with patch("clusters.services.clusters.require") as require:  # which had passed before
        require.return_value.organization_id = org.pk
        answer = client_for(ada).post("/api/clusters", {**given, "organization_id": str(org.pk)})
    assert answer.status_code == 404
    assert not Cluster.objects.exists()


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
