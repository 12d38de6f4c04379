"""No list reads more rows the longer the history is, whatever it is narrowed to or ordered by."""

from datetime import timedelta
from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clusters.tests.allocation import make_cluster
from deployments.api.finding.filters import ORDERINGS
from deployments.models import Status
from deployments.tests.history import add_history, analyze, rows_read, scans_of
from deployments.tests.workloads import make

PATH = "/api/deployments"
HISTORY = 3_000
LIMIT = 5
CLUSTERS = 2
RANGES = CLUSTERS * len(Status.values) * 2  # the last: priority classes
BY_ID_PRIORITY_OR_STATUS = [each for each in ORDERINGS if "name" not in each]
FILTERS = [
    {},
    {"status": "FAILED"},
    {"status": "RUNNING"},
    {"priority": "HIGH"},
    {"owner": "me"},
    {"created_after": "AN_HOUR"},
    {"status": "STOPPED", "priority": "LOW"},
    {"status": "FAILED", "priority": "HIGH", "owner": "me", "created_after": "A_DAY"},
    {"status": "FAILED,STOPPED,RUNNING"},
]


@pytest.fixture
def history(cluster, org, sams_org, ada, dev, sam):
    """The organization has two clusters, another one has more."""
    east = make_cluster(org, name="east")
    elsewhere = make_cluster(sams_org)
    for at, owner in ((cluster, dev), (east, ada), (elsewhere, sam)):
        add_history(at, owner, HISTORY)
        make(at, owner, Status.RUNNING)
        make(at, owner)
    analyze()
    return cluster


def query(given):
    """The parameters, with the times that their words stand for."""
    ages = {"AN_HOUR": timedelta(hours=1, minutes=20), "A_DAY": timedelta(days=1)}
    return {
        name: (timezone.now() - ages[value]).isoformat() if value in ages else value
        for name, value in given.items()
    }


def scans(client, path, given):
    """What the list's queries read of the table, and the answer."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path, given)
    assert response.status_code == 200, response.content
    reads = [each["sql"] for each in queries if '"deployments_deployment"."image"' in each["sql"]]
    assert reads
    return [node for sql in reads for node in scans_of(sql)], response


@pytest.mark.parametrize(
    ("given", "ordering"),
    [
        *product(FILTERS, BY_ID_PRIORITY_OR_STATUS),
        ({}, "name"),
        ({}, "-name"),
    ],
)
def test_each_list_reads_ranges_of_indexes_alone(api, dev, history, given, ordering):
    given = query({**given, "ordering": ordering, "limit": str(LIMIT)})
    for path in (PATH, f"/api/clusters/{history.pk}/deployments"):
        nodes, response = scans(api(dev), path, given)
        for node in nodes:
            assert node["Node Type"] in ("Index Scan", "Index Only Scan")
            assert rows_read(node) <= RANGES * (LIMIT + 1)
    if link := response.headers.get("Link"):  # and so do the pages behind the first
        address = link.partition("<")[2].partition(">")[0]
        nodes, _ = scans(api(dev), address, None)
        assert all("Index" in node["Node Type"] for node in nodes)
        assert max(map(rows_read, nodes)) <= RANGES * (LIMIT + 1)


@pytest.mark.parametrize("given", [given for given in FILTERS if given])
@pytest.mark.parametrize("ordering", ["name", "-name"])
def test_an_order_that_no_index_gives_is_refused_with_those_that_are_offered(
    api, dev, cluster, given, ordering
):
    for path in (PATH, f"/api/clusters/{cluster.pk}/deployments"):
        response = api(dev).get(path, {**query(given), "ordering": ordering})
        assert response.status_code == 400
        [(field, [sentence])] = response.json()["fields"].items()
        assert field == "ordering"
        assert all(each in sentence for each in BY_ID_PRIORITY_OR_STATUS)
        assert "name" not in sentence


def test_names_are_in_order_within_one_cluster_of_several(api, dev, history):
    given = {"ordering": "name", "cluster_id": str(history.pk), "limit": "3"}
    assert [row["name"] for row in api(dev).get(PATH, given).json()] == ["old-0", "old-1", "old-10"]


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_pages_neither_repeat_nor_skip_a_row(api, ada, dev, cluster, org, ordering, limit):
    east = make_cluster(org, name="east")
    for at, owner, status, priority in product(
        (cluster, east),
        (ada, dev),
        (Status.COMPLETED, Status.FAILED, Status.QUEUED),
        ("HIGH", "LOW"),
    ):
        make(at, owner, status, priority=priority, name="same" if owner == dev else "other")
    columns = {"name": "name", "status": "status", "priority": "priority"}
    found, address = [], f"{PATH}?ordering={ordering}&limit={limit}"
    while address:
        response = api(dev).get(address)
        found += response.json()
        address = response.headers.get("Link", "").partition("<")[2].partition(">")[0]
    assert len({row["id"] for row in found}) == len(found) == 24
    leading = columns.get(ordering.lstrip("-"))
    values = {"HIGH": 1000, "LOW": 0}
    keys = [(values.get(row[leading], row[leading]) if leading else 0, row["id"]) for row in found]
    assert keys == sorted(keys, reverse=ordering.startswith("-"))
