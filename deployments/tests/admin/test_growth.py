"""No list of operators reads more rows the longer the history is, whatever narrows it."""

from itertools import combinations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.admin import DeploymentAdmin
from deployments.models import Deployment, PriorityClass, Status
from deployments.tests.history import add_history, analyze, rows_read, scans_of
from deployments.tests.workloads import make
from mlops_platform.admin.pages import HistoryPaginator

LIST = "/admin/deployments/deployment/"
HISTORY = 3_000
PAGE, COUNTED = 5, 20
RANGES = 3 * len(Status.values) * 2  # clusters, statuses, priority classes
FILTERS = {
    "status__exact": ["FAILED", "COMPLETED", "RUNNING"],
    "status__in": ["STARTING,RUNNING,STOPPING"],
    "priority_class__id__exact": ["HIGH"],
    "kind__exact": ["service", "job"],
    "owner__id__exact": ["sam"],
    "cluster__id__exact": ["east"],
    "cluster__organization__id__exact": ["abroad"],
    "within": ["hour", "day"],
    "o": ["8"],
}
CHOICES = [(name, value) for name, values in FILTERS.items() for value in values]
PAIRS = [pair for pair in combinations(CHOICES, 2) if pair[0][0] != pair[1][0]]


@pytest.fixture
def operator(admin_client, monkeypatch):
    monkeypatch.setattr(DeploymentAdmin, "list_per_page", PAGE)
    monkeypatch.setattr(HistoryPaginator, "most", COUNTED)
    return admin_client


@pytest.fixture
def history(cluster, org, sams_org, dev, sam):
    """The two clusters of an organization have long histories, that of another a short one."""
    east, abroad = make_cluster(org, name="east"), make_cluster(sams_org, name="abroad")
    for at, owner, count in ((cluster, dev, HISTORY), (east, dev, HISTORY), (abroad, sam, 20)):
        add_history(at, owner, count)
        make(at, owner, Status.RUNNING)
        make(at, owner)
    analyze()


def parameters_of(chosen):
    """The query string, with the keys of what its words name."""
    given = dict(chosen)
    if "priority_class__id__exact" in given:
        given["priority_class__id__exact"] = PriorityClass.objects.get(name="HIGH").pk
    if "owner__id__exact" in given:
        given["owner__id__exact"] = User.objects.get(username="sam").pk
    if "cluster__id__exact" in given:
        given["cluster__id__exact"] = Cluster.objects.get(name="east").pk
    if "cluster__organization__id__exact" in given:
        found = Cluster.objects.get(name="abroad").organization_id
        given["cluster__organization__id__exact"] = found
    return given


def test_each_filter_and_each_pair_of_them_reads_ranges_of_indexes_alone(
    transactional_db, operator, history
):
    for chosen in [(), *((each,) for each in CHOICES), *PAIRS]:
        given = parameters_of(chosen)
        with CaptureQueriesContext(connection) as queries:
            answer = operator.get(LIST, given)
        assert answer.status_code == 200, chosen
        reads = [each["sql"] for each in queries if "deployments_deployment" in each["sql"]]
        assert reads
        for node in (node for sql in reads for node in scans_of(sql)):
            assert rows_read(node) <= RANGES * (PAGE + 1), (chosen, node)


def test_it_shows_what_its_filters_say(operator, history):
    """On several pages for each filter alone, and on the second for pairs of them."""
    from mlops_platform.admin.filters import AgeFilter

    alone = [((each,), page) for each in CHOICES for page in (1, 2, 4)]
    for chosen, page in [*alone, *((pair, 2) for pair in PAIRS)]:
        given = parameters_of(chosen)
        rows = Deployment.objects.order_by("pk" if "o" in given else "-pk")
        for name, value in given.items():
            if name == "within":
                rows = rows.filter(pk__gte=AgeFilter.first_id(value))
            elif name == "status__in":
                rows = rows.filter(status__in=value.split(","))
            elif name != "o":
                rows = rows.filter(**{name: value})
        expected = list(rows.values_list("pk", flat=True)[(page - 1) * PAGE : page * PAGE])
        answer = operator.get(LIST, {**given, "p": page})
        if not expected:  # Django leads to the first page
            continue
        changelist = answer.context["cl"]
        assert [row.pk for row in changelist.result_list] == expected, (chosen, page)
        assert int(changelist.result_count) == min(rows.count(), COUNTED), (chosen, page)
