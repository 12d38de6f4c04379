"""What could never run fails after as long as its cluster says, and no earlier."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from clusters.models import Cluster
from deployments.models import Deployment, EventType, Status
from deployments.reasons.reader import reasons_for
from deployments.tests.workloads import timeline
from scheduler import impossible
from scheduler.models import ImpossibleRequest
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db

AFTER_S = 3600
HOUR = timedelta(seconds=AFTER_S)


@pytest.fixture
def impatient(cluster: Cluster) -> Cluster:
    """It fails the impossible after an hour."""
    cluster.fail_impossible_after_s = AFTER_S
    cluster.save()
    return cluster


def later(by: timedelta = HOUR) -> None:
    """So much time has passed for all that waits and for all that is known to be impossible."""
    Deployment.objects.update(queued_at=F("queued_at") - by)
    ImpossibleRequest.objects.update(since=F("since") - by)


def status(row: Deployment) -> Status:
    row.refresh_from_db()
    return Status(row.status)


def test_it_fails_after_its_clusters_time_with_why_and_its_dependents_fail_with_it(
    impatient: Cluster, submit: Submit
) -> None:
    never, possible = submit(gpu=9), submit(gpu=8)
    dependent = submit(gpu=1, depends_on=[str(never.pk)])
    run_cycle(impatient)
    assert impossible.fail_all() == 0
    later(HOUR - timedelta(seconds=30))
    assert impossible.fail_all() == 0
    assert status(never) == Status.QUEUED
    later(timedelta(seconds=30))
    assert impossible.fail_all() == 1
    assert [status(row) for row in (never, possible, dependent)] == ["FAILED", "RUNNING", "FAILED"]
    reason = reasons_for([never])[never.pk]
    assert reason is not None
    assert reason["code"] == "NEVER_POSSIBLE"
    assert reason["message"] == (
        "The cluster could not have run it for 3600 s: "
        "Asks for 9 GPUs, more than the 8 that the whole cluster has."
    )
    assert reason["details"]["why"]["details"]["resource"] == "gpu"
    assert timeline(never)[-1] == (EventType.FAILED, None)
    assert impossible.fail_all() == 0
    assert not ImpossibleRequest.objects.exists()


def test_what_waits_for_the_first_node_is_not_failed_for_that(
    impatient: Cluster, submit: Submit
) -> None:
    row = submit(gpu=9)
    Cluster.objects.update(total_cpu_milli=0, total_ram_mib=0, total_gpu=0)
    run_cycle(impatient)
    assert impossible.fail_all() == 0
    later()
    assert impossible.fail_all() == 0
    assert status(row) == Status.QUEUED


def test_the_time_begins_anew_once_the_cluster_could_have_run_it(
    impatient: Cluster, submit: Submit
) -> None:
    row = submit(gpu=9)
    impossible.fail_all()
    later()
    Cluster.objects.update(total_gpu=16)
    assert impossible.fail_all() == 0
    Cluster.objects.update(total_gpu=8)
    assert impossible.fail_all() == 0
    assert status(row) == Status.QUEUED
    later()
    assert impossible.fail_all() == 1


def test_what_was_submitted_since_waits_for_its_own_time(
    impatient: Cluster, submit: Submit
) -> None:
    first = submit(gpu=9)
    impossible.fail_all()
    later()
    second = submit(gpu=9)
    assert impossible.fail_all() == 1
    assert [status(row) for row in (first, second)] == ["FAILED", "QUEUED"]


@pytest.mark.parametrize(
    "columns",
    [{"pending_dependencies": 1}, {"retry_at": "2036-03-01T00:00:00Z"}],
    ids=["waits for another", "waits for its retry"],
)
def test_what_waits_for_something_else_stays(
    impatient: Cluster, submit: Submit, columns: dict[str, Any]
) -> None:
    row = submit(gpu=9)
    Deployment.objects.update(**columns)
    impossible.fail_all()
    later()
    assert impossible.fail_all() == 0
    assert status(row) == Status.QUEUED


def test_without_a_time_of_the_clusters_it_waits_for_ever(cluster: Cluster, submit: Submit) -> None:
    row = submit(gpu=9)
    impossible.fail_all()
    later(timedelta(days=365))
    assert impossible.fail_all() == 0
    assert status(row) == Status.QUEUED
    assert not ImpossibleRequest.objects.exists()


def test_a_thousand_alike_take_as_many_queries_to_find_as_one(
    impatient: Cluster, submit: Submit, django_assert_num_queries: Callable[[int], Any]
) -> None:
    submit(gpu=9)
    impossible.fail_all()
    for _ in range(20):
        submit(gpu=9)
    # forget, clusters, the first of each request, nodes, forget, know, overdue
    with django_assert_num_queries(7):
        assert impossible.fail_all() == 0
