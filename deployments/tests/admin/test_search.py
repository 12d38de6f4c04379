"""The search of the deployments' page: what it finds, and that it reads no history for it."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from clusters.tests.allocation import make_cluster
from deployments.admin.search import find
from deployments.models import Deployment, Status
from deployments.tests.history import add_history, analyze, rows_read, scans_of
from deployments.tests.workloads import make

HISTORY = 3_000


def found(term):
    return {row.name for row in Deployment.objects.filter(find(term))}


@pytest.fixture
def some(cluster, sams_org, dev, sam):
    abroad = make_cluster(sams_org, name="abroad")
    return [
        make(cluster, dev, name="train-a", image="nginx:1"),
        make(abroad, sam, name="train-b", image="nginx:2"),
        make(abroad, sam, Status.RUNNING, name="serve-c", image="r.example.org/nginx:3"),
        make(cluster, sam, Status.COMPLETED, name="old-train", image="nginx:4"),
    ]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("train", {"train-a", "train-b"}),
        (" train-b ", {"train-b"}),
        ("rain", set()),
        ("SAM", {"train-b", "serve-c", "old-train"}),
        ("sa", set()),
        ("nginx", {"train-a", "train-b", "serve-c"}),
        ("\U0010ffff", set()),
        ("100%", set()),
        ("00000000", set()),
    ],
)
def test_it_finds_beginnings_of_names_whole_owners_and_images_of_what_has_not_ended(
    some, term, expected
):
    assert found(term) == expected


def test_it_finds_ids_and_their_beginnings(some):
    for row in some:
        text = str(row.pk)
        assert found(text) == found(text.upper()) == found(text[:30]) == {row.name}
        assert row.name in found(text[:8])


@pytest.mark.parametrize("term", ["old-100", "no-such-thing", "sam", "image", "0198f000"])
def test_it_reads_indexes_however_long_the_history_is(
    transactional_db, cluster, sams_org, dev, sam, term
):
    add_history(cluster, dev, HISTORY)
    add_history(make_cluster(sams_org), sam, 20)
    make(cluster, dev)
    analyze()
    with CaptureQueriesContext(connection) as queries:
        list(Deployment.objects.filter(find(term)).order_by("-pk")[:50])
    reads = [each["sql"] for each in queries if "deployments_deployment" in each["sql"]]
    assert reads
    for node in (node for sql in reads for node in scans_of(sql)):
        assert "Index" in node["Node Type"] or node["Node Type"] == "Bitmap Heap Scan"
        assert rows_read(node) < HISTORY / 2
