"""Filters beyond those that a list's order comes from: an index of their own finds few rows, and
many are read in order."""

from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clusters.tests.allocation import make_cluster, make_node
from deployments.models import Deployment, Status
from deployments.queries import lists
from deployments.tests.history import add_history, analyze, rows_read, scans_of, start_empty

PATH = "/api/deployments"
HISTORY, LIMIT, FEW = 1_000, 5, 20
RANGES = 2 * len(Status.values) * 2  # clusters, statuses, priority classes
INDEXED = ("Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Bitmap Index Scan")
ORDERINGS = ("-created_at", "created_at", "-priority", "status")
RARE = [
    {"name": "rare-*"},
    {"name": "r??e-*"},
    {"label": "rare=yes"},
    {"label": "rare"},
    {"node": "node-9"},
    {"reason": "OUT_OF_MEMORY"},
    {"started_after": "A_DAY", "started_before": "AN_HOUR"},
    {"finished_after": "A_DAY", "finished_before": "AN_HOUR"},
    {"label": "rare", "status": "FAILED,COMPLETED", "owner": "me"},
]
COMMON = [
    {"name": "old-*"},
    {"label": "common=yes"},
    {"label": "common"},
    {"node": "node-1"},
    {"reason": "EXITED"},
    {"started_after": "1970-01-01T00:00:00Z"},
    {"finished_before": "2100-01-01T00:00:00Z"},
]


@pytest.fixture
def history(cluster, org, dev, monkeypatch):
    """Two clusters have labels, nodes, reasons and starts; ten rows in the middle of one have
    others."""
    monkeypatch.setattr(lists, "FEW", FEW)
    start_empty()
    for at in (cluster, make_cluster(org, name="east")):
        add_history(at, dev, HISTORY)
    nodes = [make_node(cluster, name=f"node-{number}") for number in (1, 9)]
    old = timezone.now() - timedelta(days=90)
    Deployment.objects.update(
        labels={"common": "yes"},
        reason_code="EXITED",
        ran_on=[nodes[0].pk],
        started_at=old,
        finished_at=old,
    )
    rare = {"labels": {"rare": "yes"}, "reason_code": "OUT_OF_MEMORY", "ran_on": [nodes[1].pk]}
    at = timezone.now() - timedelta(hours=3)
    middle = Deployment.objects.filter(cluster=cluster, name__regex="^old-50[0-9]$")
    assert middle.count() == 10
    middle.update(**rare, started_at=at, finished_at=at, name=Concat(Value("rare-"), F("name")))
    analyze()
    return cluster


def query(given, ordering):
    ages = {"AN_HOUR": timedelta(hours=1), "A_DAY": timedelta(days=1)}
    times = {
        name: (timezone.now() - ages[value]).isoformat()
        for name, value in given.items()
        if value in ages
    }
    return {**given, **times, "ordering": ordering, "limit": str(LIMIT)}


def read(client, path, given):
    """The answer, and what its queries read of the table, each with the settings that it had."""
    with CaptureQueriesContext(connection) as queries:
        answer = client.get(path, given)
    assert answer.status_code == 200, answer.content
    nodes: list[dict[str, Any]] = []
    for sql in (each["sql"] for each in queries):
        if sql.startswith("SET LOCAL"):
            with connection.cursor() as cursor:
                cursor.execute(sql)
        elif "FROM deployments_deployment" in sql:
            nodes += scans_of(sql)
    assert nodes
    return answer, nodes


def test_each_filter_walks_indexes_and_few_rows_are_found_without_reading_others(api, dev, history):
    paths = (PATH, f"/api/clusters/{history.pk}/deployments")
    for given, ordering, path in product(RARE, ORDERINGS, paths):
        answer, nodes = read(api(dev), path, query(given, ordering))
        assert [row["name"][:5] for row in answer.json()] == ["rare-"] * LIMIT, given
        assert 'rel="next"' in answer.headers["Link"]
        for node in nodes:
            assert node["Node Type"] in INDEXED, (given, node)
            assert rows_read(node) <= 2 * FEW, (given, node)
    for given, ordering, path in product(COMMON, ORDERINGS, paths):
        answer, nodes = read(api(dev), path, query(given, ordering))
        assert len(answer.json()) == LIMIT
        for node in nodes:
            assert node["Node Type"] in INDEXED, (given, node)
            assert rows_read(node) <= RANGES * (LIMIT + 1) + FEW, (given, node)


def test_rows_that_lie_apart_behind_many_newer_ones_are_read_by_the_index_of_their_order(
    api, dev, cluster, org, monkeypatch
):
    """The newest that failed are older than ten thousand others, and each page of the table has
    rows of all clusters, as in a table that has grown. At the usual price of a page read apart from
    the last, PostgreSQL goes through the keys of all that is newer."""
    monkeypatch.setattr(lists, "FEW", FEW)
    start_empty()
    clusters, limit = [cluster, *(make_cluster(org, name=name) for name in ("a", "b", "c"))], 20
    for at in clusters:
        add_history(at, dev, 5 * HISTORY)
    Deployment.objects.update(reason_code="EXITED")
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else its rows cannot be moved
        cursor.execute("CLUSTER deployments_deployment USING deployments_deployment_pkey")
    analyze()
    given = {"reason": "EXITED", "status": "FAILED", "limit": str(limit)}
    for path, of in ((PATH, clusters), (f"/api/clusters/{cluster.pk}/deployments", [cluster])):
        answer, nodes = read(api(dev), path, given)
        assert [row["status"] for row in answer.json()] == ["FAILED"] * limit
        for node in nodes:
            assert rows_read(node) <= len(of) * (limit + 1) + FEW + 1, (path, node)
