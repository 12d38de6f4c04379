"""Names of organizations, and of clusters within one, are unique without regard to letter case."""

from functools import partial
from importlib import import_module

import pytest
from django.db import connection

from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from organizations.models import Organization
from organizations.tests.people import all_at_once

ORGANIZATIONS, CLUSTERS = "/api/orgs/create", "/api/clusters"
SIZE = {"total_cpu": 1, "total_ram": 1, "total_gpu": 0}


@pytest.mark.parametrize("name", ["Analytical Engines", "ANALYTICAL engines"])
def test_the_name_of_an_organization_is_taken(api, sam, org, name):
    before = Organization.objects.count()
    answer = api(sam).post(ORGANIZATIONS, {"name": name})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert Organization.objects.count() == before


def test_the_name_of_a_deleted_organization_is_free(api, sam, org):
    Organization.objects.filter(pk=org.pk).update(deleted_at="2026-03-01T09:00:00Z")
    assert api(sam).post(ORGANIZATIONS, {"name": org.name}).status_code == 201


def test_of_several_at_once_one_gets_the_name(transactional_db, api, ada, sam):
    calls = [partial(api(ada).post, ORGANIZATIONS, {"name": name}) for name in ("Acme", "ACME")]
    answers = all_at_once(*calls, partial(api(sam).post, ORGANIZATIONS, {"name": "acme"}))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 409, 503}


def test_the_name_of_a_cluster_is_taken_in_its_organization(api, ada, sam, org, sams_org):
    west = make_cluster(org, name="west")
    body = {"name": "WEST", "organization_id": str(org.pk), **SIZE}
    answer = api(ada).post(CLUSTERS, body)
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    east = make_cluster(org, name="east")
    answer = api(ada).patch(f"{CLUSTERS}/{east.pk}", {"name": "West"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")
    assert set(Cluster.objects.values_list("name", flat=True)) == {"west", "east"}
    assert api(ada).patch(f"{CLUSTERS}/{west.pk}", {"name": "WEST"}).status_code == 200
    assert api(sam).post(CLUSTERS, {**body, "organization_id": str(sams_org.pk)}).status_code == 201


def test_the_upgrade_renames_the_later_ones_of_equal_names(org, sams_org):
    """On the tables as they were: without the constraints."""
    migration = import_module("clusters.migrations.0026_names_in_any_case")
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX cluster_name_unique_in_any_case")
        long = "x" * 99
        rows = [make_cluster(org, name=name) for name in ("West", "west", "WEST", "WEST (3)", long)]
        rows.append(make_cluster(org, name=long.upper()))
        theirs = make_cluster(sams_org, name="west")
        cursor.execute(migration.NUMBERED)
        cursor.execute(migration.BY_ID)
    names = [Cluster.objects.get(pk=row.pk).name for row in (*rows, theirs)]
    assert names == [
        "West",
        "west (2)",
        f"WEST ({str(rows[2].pk)[-12:]})",
        "WEST (3)",
        long,
        f"{'X' * 80} ({str(rows[5].pk)[-12:]})",
        "west",
    ]


def test_the_upgrade_renames_organizations_as_well(org):
    migration = import_module("organizations.migrations.0006_unique_names")
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX organization_name_unique_in_any_case")
        later = Organization.objects.create(name=org.name.upper())
        cursor.execute(migration.NUMBERED)
        cursor.execute(migration.BY_ID)
    assert Organization.objects.get(pk=later.pk).name == f"{org.name.upper()} (2)"
    assert Organization.objects.get(pk=org.pk).name == org.name
