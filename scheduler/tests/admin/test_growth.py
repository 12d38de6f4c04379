"""No list of the ledger reads more rows the longer the ledger is, whatever narrows it."""

from itertools import combinations
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.tests.history import analyze, rows_read, scans_of, start_empty
from mlops_platform.admin.filters import AgeFilter
from mlops_platform.admin.pages import HistoryPaginator
from organizations.models import Organization
from scheduler.admin.ledger import SchedulingCycleAdmin
from scheduler.models import SchedulingCycle

LIST = "/admin/scheduler/schedulingcycle/"
LEDGER = 3_000
PAGE, COUNTED = 5, 20
MOST_READ = 6 * COUNTED  # an eviction is in each sixth cycle, so what has none is found quickly
FILTERS = {
    "trigger__exact": ["SUBMITTED", "FINISHED", "SWEEP", "OPERATOR"],
    "evicted": ["some", "none"],
    "cluster__id__exact": ["busy", "old", "quiet"],
    "within": ["hour", "day"],
}
CHOICES = [(name, value) for name, values in FILTERS.items() for value in values]
PAIRS = [pair for pair in combinations(CHOICES, 2) if pair[0][0] != pair[1][0]]

# The busy cluster has the newer half, the old one the older half. Evictions are all SUBMITTED;
# SWEEP is rare and old, OPERATOR is never.
_CYCLES = """
INSERT INTO scheduler_schedulingcycle (id, cluster_id, trigger, started_at, load_ms, plan_ms,
       apply_ms, evaluated_count, started_count, evicted_count, waiting_count, engine_version,
       snapshot, plan)
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
       || '70008' || substr(md5(n::text || %(cluster)s), 1, 15))::uuid,
       %(cluster)s, CASE WHEN n %% 2 = 0 THEN 'SUBMITTED' WHEN n %% 500 = 499 AND %(after)s > 0
       THEN 'SWEEP' ELSE 'FINISHED' END,
       at, 1, 1, 1, 1, 1, CASE WHEN n %% 6 = 0 THEN 1 ELSE 0 END, 1, '0', '', ''
  FROM (SELECT n, now() - interval '1 second' - (n + %(after)s) * interval '1 minute' AS at
          FROM generate_series(0, %(count)s - 1) n) made
"""


@pytest.fixture
def operator(admin_client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(SchedulingCycleAdmin, "list_per_page", PAGE)
    monkeypatch.setattr(HistoryPaginator, "most", COUNTED)
    return admin_client


@pytest.fixture
def ledger(org: Organization) -> None:
    start_empty("scheduler_schedulingcycle")
    for name, count, after in (("busy", LEDGER, 0), ("old", LEDGER, LEDGER), ("quiet", 20, 0)):
        cluster = str(make_cluster(org, name=name).pk)
        with connection.cursor() as cursor:
            cursor.execute(_CYCLES, {"cluster": cluster, "count": count, "after": after})
    analyze()


def parameters_of(chosen: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The query string, with the keys of what its words name."""
    given: dict[str, Any] = dict(chosen)
    if name := given.get("cluster__id__exact"):
        given["cluster__id__exact"] = Cluster.objects.get(name=name).pk
    return given


def test_each_filter_and_each_pair_of_them_reads_ranges_of_indexes_alone(
    transactional_db: None, operator: Client, ledger: None
) -> None:
    slow = {}
    for chosen in [(), *((each,) for each in CHOICES), *PAIRS]:
        with CaptureQueriesContext(connection) as queries:
            answer = operator.get(LIST, parameters_of(chosen))
        assert answer.status_code == 200, chosen
        reads = [each["sql"] for each in queries if "scheduler_schedulingcycle" in each["sql"]]
        assert reads
        most = max(rows_read(node) for sql in reads for node in scans_of(sql))
        if most > MOST_READ:
            slow[chosen] = most
    assert slow == {}


@pytest.mark.parametrize("page", [1, 2, 4])
def test_it_shows_what_its_filters_say(operator: Client, ledger: None, page: int) -> None:
    for chosen in [*((each,) for each in CHOICES), *PAIRS]:
        given = parameters_of(chosen)
        rows = SchedulingCycle.objects.order_by("-pk")
        for name, value in given.items():
            if name == "within":
                first = AgeFilter.first_id(value)
                assert first is not None
                rows = rows.filter(pk__gte=first)
            elif name == "evicted":
                rows = (
                    rows.exclude(evicted_count=0)
                    if value == "some"
                    else rows.filter(evicted_count=0)
                )
            else:
                rows = rows.filter(**{name: value})
        expected = list(rows.values_list("pk", flat=True)[(page - 1) * PAGE : page * PAGE])
        answer = operator.get(LIST, {**given, "p": page})
        if not expected and page > 1:  # Django leads to the first page
            continue
        changelist = answer.context["cl"]
        assert [row.pk for row in changelist.result_list] == expected, chosen
        assert int(changelist.result_count) == min(rows.count(), COUNTED), chosen
