"""What becomes of a deployment that is evicted: it waits again, or ends."""

import pytest

from clusters.models import Cluster, State
from deployments.models import Deployment, EventType, Status
from deployments.reasons.reader import reasons_for
from scheduler import audit
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db


def fresh(row: Deployment) -> Deployment:
    return Deployment.objects.select_related("cluster", "priority_class").get(pk=row.pk)


def types_of(row: Deployment) -> list[str]:
    return list(row.events.order_by("id").values_list("type", flat=True))


def test_one_that_is_to_fail_ends_and_says_for_which_one_it_was_evicted(
    cluster: Cluster, submit: Submit
) -> None:
    low = submit("LOW", gpu=8, on_preempt="fail")
    run_cycle(cluster)
    started_at = fresh(low).started_at
    high = submit("HIGH", gpu=8)
    run_cycle(cluster)
    row = fresh(low)
    assert (row.status, row.next_status, row.placement) == (Status.FAILED, "", [])
    assert row.finished_at is not None
    assert (row.started_at, row.due_at, row.preemption_count) == (started_at, None, 1)
    assert types_of(low) == ["SUBMITTED", "STARTED", "PREEMPTED", "FAILED"]
    reason = reasons_for([row])[row.pk]
    assert reason is not None
    assert reason["code"] == "PREEMPTED"
    assert reason["message"].startswith("Made room for busybox of dev (HIGH)")
    assert reason["message"].endswith("It is not tried again: its on_preempt is fail.")
    assert (reason["details"]["by"], reason["details"]["ended_by"]) == (str(high.pk), "on_preempt")
    end = row.events.get(type=EventType.FAILED)
    assert end.cycle_id is not None
    assert (end.details["code"], end.details["by"]) == ("PREEMPTED", str(high.pk))
    assert fresh(high).status == Status.RUNNING
    assert fresh(high).cluster.allocated_gpu == 8
    run_cycle(cluster)
    assert fresh(low).status == Status.FAILED
    assert audit.breaches() == []


def test_only_the_one_that_is_to_fail_ends_where_several_are_evicted(
    cluster: Cluster, submit: Submit
) -> None:
    fails = submit("LOW", gpu=4, on_preempt="fail")
    waits = submit("LOW", gpu=4)
    run_cycle(cluster)
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    assert (fresh(fails).status, fresh(waits).status) == (Status.FAILED, Status.QUEUED)
    assert fresh(waits).finished_at is None
    assert "ended_by" not in fresh(waits).reason_details
    assert audit.breaches() == []


def test_its_dependents_fail_with_it(cluster: Cluster, submit: Submit) -> None:
    low = submit("LOW", gpu=8, on_preempt="fail")
    after = submit("LOW", gpu=1, depends_on=[str(low.pk)])
    run_cycle(cluster)
    submit("HIGH", gpu=8)
    run_cycle(cluster)
    row = fresh(after)
    assert (row.status, row.reason_code) == (Status.FAILED, "DEPENDENCY_FAILED")
    assert row.reason_details == {"by": str(low.pk), "by_name": low.name, "by_owner": "dev"}


def test_a_drain_is_no_preemption(cluster: Cluster, submit: Submit) -> None:
    low = submit("LOW", gpu=8, on_preempt="fail")
    run_cycle(cluster)
    Cluster.objects.update(state=State.DRAINING)
    run_cycle(cluster)
    assert (fresh(low).status, fresh(low).reason_code) == (Status.QUEUED, "NODE_DRAINED")
    assert audit.breaches() == []
