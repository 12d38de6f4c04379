"""No page reads more rows the longer the history is."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.models import Status
from deployments.tests.history import add_history, analyze, rows_read, scans_of
from deployments.tests.workloads import make
from organizations.models import Organization

pytestmark = pytest.mark.django_db
HISTORY = 3000
FEW = 400  # of a page of 50, out of several ranges


@pytest.fixture
def history(org: Organization, ada: User, dev: User) -> list[Cluster]:
    clusters = [make_cluster(org, name=name) for name in ("west", "east")]
    for cluster, owner in zip(clusters, (ada, dev), strict=True):
        add_history(cluster, owner, HISTORY)
        make(cluster, owner, Status.RUNNING)
        make(cluster, owner)
    analyze()
    return clusters


@pytest.mark.parametrize("query", ["", "deployments/", "deployments/?owner=me"])
def test_a_page_reads_few_of_many_deployments(
    history: list[Cluster], dev: User, query: str
) -> None:
    client = Client()
    client.force_login(dev, "django.contrib.auth.backends.ModelBackend")
    with CaptureQueriesContext(connection) as made:
        assert client.get(f"/console/{query}").status_code == 200
    reads = [each["sql"] for each in made if '"deployments_deployment"."image"' in each["sql"]]
    assert reads
    found = [rows_read(node) for sql in reads for node in scans_of(sql)]
    assert sum(found) <= FEW, found
