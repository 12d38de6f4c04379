"""What a cycle leaves to the next: for which deployment capacity is reserved, and for how long."""

from datetime import datetime, timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster, Node
from deployments.models import Deployment, Status
from deployments.services.stop import stop_one
from organizations.tests.people import client_for
from scheduler import replay
from scheduler.models import ReservationRecord, SchedulingCycle
from scheduler.store import snapshot_reader
from scheduler.tests.api.test_quote import SUBMIT, body, quoted
from scheduler.tests.conftest import Submit, run_cycle
from scheduler.tests.store.whole import read_whole

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


@pytest.fixture
def full(cluster: Cluster, submit: Submit) -> Deployment:
    """A job with four of the eight GPUs and without a time limit."""
    row = submit("HIGH", gpu=4)
    run_cycle(cluster)
    return row


def late(row: Deployment, hours: float = 2) -> Deployment:
    """The deployment has waited for so long."""
    Deployment.objects.filter(pk=row.pk).update(queued_at=timezone.now() - hours * HOUR)
    return row


def remembered() -> dict[str, tuple[int, datetime | None]]:
    return {str(each.pk): (each.before_ms, each.since) for each in ReservationRecord.objects.all()}


def since(row: Deployment) -> datetime:
    at = ReservationRecord.objects.get(pk=row.pk).since
    assert at is not None
    return at


def test_a_reservation_counts_from_its_first_cycle(
    cluster: Cluster, submit: Submit, full: Deployment
) -> None:
    big = late(submit("LOW", gpu=8))
    before = timezone.now()
    run_cycle(cluster)
    assert before <= since(big) + timedelta(milliseconds=1) <= timezone.now()
    first = since(big)
    submit("LOW", gpu=1)
    run_cycle(cluster)
    assert since(big) == first


def test_nothing_is_reserved_for_a_deployment_that_has_not_waited_long(
    cluster: Cluster, submit: Submit, full: Deployment
) -> None:
    submit("LOW", gpu=8)
    run_cycle(cluster)
    assert remembered() == {}


def test_a_deployment_that_loses_its_reservation_to_a_more_urgent_one_keeps_the_time(
    cluster: Cluster, submit: Submit, full: Deployment
) -> None:
    big = late(submit("LOW", gpu=8))
    run_cycle(cluster)
    ReservationRecord.objects.update(since=timezone.now() - 3 * HOUR)
    urgent = late(submit("HIGH", gpu=8))
    run_cycle(cluster)
    before_ms, none = remembered()[str(big.pk)]
    assert none is None
    assert 3 * 3_600_000 <= before_ms <= 3 * 3_600_000 + 60_000
    assert remembered()[str(urgent.pk)] == (0, since(urgent))
    stop_one(urgent, None)
    run_cycle(cluster)
    assert remembered() == {str(big.pk): (before_ms, since(big))}


def test_a_deployment_that_starts_or_is_stopped_is_forgotten(
    cluster: Cluster, submit: Submit, full: Deployment
) -> None:
    big, other = late(submit("LOW", gpu=8), 3), late(submit("LOW", gpu=7), 2)
    run_cycle(cluster)
    assert set(remembered()) == {str(big.pk)}
    stop_one(big, None)
    assert read_whole(cluster.pk).reservation_history == ()
    run_cycle(cluster)
    assert set(remembered()) == {str(other.pk)}
    stop_one(full, None)
    run_cycle(cluster)
    other.refresh_from_db()
    assert other.status == Status.RUNNING
    assert remembered() == {}


def test_nothing_is_reserved_in_a_paused_cluster(
    cluster: Cluster, submit: Submit, full: Deployment
) -> None:
    big = late(submit("LOW", gpu=8))
    run_cycle(cluster)
    ReservationRecord.objects.update(since=timezone.now() - 3 * HOUR)
    Cluster.objects.filter(pk=cluster.pk).update(state="PAUSED")
    run_cycle(cluster)
    before_ms, none = remembered()[str(big.pk)]
    assert (before_ms // 3_600_000, none) == (3, None)


def test_a_reservation_that_has_lasted_long_takes_a_second_node(
    cluster: Cluster, submit: Submit
) -> None:
    """A job without a time limit runs on each node; the small ones would fill both."""
    for name in ("a", "b"):
        labels = {"name": name}
        Node.objects.create(
            cluster=cluster, name=name, cpu_milli=32_000, ram_mib=256 * 1024, gpu=4, labels=labels
        )
        submit("HIGH", gpu=1, node_selector=labels)
    run_cycle(cluster)
    big = late(submit("LOW", gpu=4))
    run_cycle(cluster)
    ReservationRecord.objects.update(since=timezone.now() - 11 * HOUR)
    small = submit("LOW", gpu=1)
    run_cycle(cluster)
    small.refresh_from_db()
    assert small.status == Status.RUNNING
    stop_one(small, None)
    ReservationRecord.objects.update(since=timezone.now() - 12 * HOUR)
    later = submit("LOW", gpu=1)
    run_cycle(cluster)
    later.refresh_from_db()
    assert later.status == Status.QUEUED
    assert set(remembered()) == {str(big.pk)}


def test_a_service_counts_as_endless_unless_it_has_a_time_limit(
    cluster: Cluster, submit: Submit
) -> None:
    rows = [
        submit("LOW", gpu=1, kind="service"),
        submit("LOW", gpu=1, kind="service", max_runtime_s=60),
        submit("LOW", gpu=1, kind="service", simulated_runtime_s=60),
        submit("LOW", gpu=1),
    ]
    run_cycle(cluster)
    found = read_whole(cluster.pk).running
    assert {each.id: each.endless for each in found} == {str(r.pk): r is rows[0] for r in rows}


def test_a_start_of_a_service_asks_for_another_cycle_where_capacity_is_reserved(
    cluster: Cluster, submit: Submit
) -> None:
    """Since it started, the reservation for the big one is in vain, and a small one waits."""
    first = submit("LOW", gpu=5, cpu=60)
    run_cycle(cluster)
    big = late(submit("LOW", gpu=8))
    service, small = submit("HIGH", gpu=1, kind="service"), submit("LOW", gpu=1)
    equal = submit("HIGH", gpu=1)
    stop_one(first, None)
    outcome = run_cycle(cluster)
    assert {start.workload_id for start in outcome.plan.starts} == {str(service.pk), str(equal.pk)}
    assert (outcome.plan.reserved_for, outcome.wants_another) == ((str(big.pk),), True)
    outcome = run_cycle(cluster)
    assert {start.workload_id for start in outcome.plan.starts} == {str(small.pk)}
    assert (outcome.plan.reserved_for, outcome.wants_another) == ((), False)


def test_a_change_of_the_reservation_alone_is_kept_in_the_ledger_and_replays(
    cluster: Cluster, submit: Submit, full: Deployment
) -> None:
    late(submit("LOW", gpu=8), 3)
    run_cycle(cluster)
    count = SchedulingCycle.objects.count()
    run_cycle(cluster)
    assert SchedulingCycle.objects.count() == count
    late(submit("LOW", gpu=8), 4)
    run_cycle(cluster)
    assert SchedulingCycle.objects.count() == count + 1
    verdicts = [replay.replay(each).verdict for each in SchedulingCycle.objects.all()]
    assert verdicts == [replay.Verdict.SAME] * (count + 1)


def test_explain_shows_since_when_capacity_is_reserved(
    cluster: Cluster, submit: Submit, full: Deployment, vera: User
) -> None:
    big, other = late(submit("LOW", gpu=8), 3), late(submit("LOW", gpu=8), 2)
    run_cycle(cluster)
    client = client_for(vera)
    shown = [
        client.get(f"/api/deployments/{row.pk}/explain").json()["reserved_since"]
        for row in (big, other, full)
    ]
    assert shown[1:] == [None, None]
    assert datetime.fromisoformat(shown[0]) == since(big)


def test_time_that_passes_does_not_make_a_quote_stale(
    cluster: Cluster, submit: Submit, full: Deployment, dev: User
) -> None:
    late(submit("LOW", gpu=8))
    run_cycle(cluster)
    given = body(cluster, gpu=1)
    quote = quoted(dev, given)
    assert quote["outcome"] == "WAITS"
    run_cycle(cluster)
    answer = client_for(dev).post(SUBMIT, given | {"quote": quote["token"]})
    assert answer.status_code == 201, answer.json()


@pytest.mark.parametrize(("priority", "status"), [("HIGH", 201), ("LOW", 409)])
def test_a_new_reservation_makes_stale_only_the_quotes_that_it_changes(
    cluster: Cluster,
    submit: Submit,
    full: Deployment,
    dev: User,
    monkeypatch: pytest.MonkeyPatch,
    priority: str,
    status: int,
) -> None:
    """A more urgent one may draw on what is reserved."""
    big = late(submit("LOW", gpu=8), 3590 / 3600)
    given = body(cluster, gpu=1, priority=priority)
    quote = quoted(dev, given)
    assert quote["outcome"] == "STARTS_NOW"
    monkeypatch.setattr(snapshot_reader, "Now", lambda: Now() + HOUR)
    run_cycle(cluster)
    assert set(remembered()) == {str(big.pk)}
    answer = client_for(dev).post(SUBMIT, given | {"quote": quote["token"]})
    assert answer.status_code == status, answer.json()


def test_another_request_begins_a_new_reservation(
    cluster: Cluster, submit: Submit, full: Deployment, dev: User
) -> None:
    """For the old one, a second cluster's worth might be reserved by now."""
    big = late(submit("LOW", gpu=8))
    run_cycle(cluster)
    ReservationRecord.objects.update(since=timezone.now() - 50 * HOUR)
    before = timezone.now() - timedelta(milliseconds=1)
    answer = client_for(dev).patch(f"/api/deployments/{big.pk}", {"required_gpu": 7})
    assert answer.status_code == 200
    run_cycle(cluster)
    assert since(big) >= before
    first = since(big)
    answer = client_for(dev).patch(f"/api/deployments/{big.pk}", {"name": "another"})
    assert answer.status_code == 200
    run_cycle(cluster)
    assert since(big) == first


def test_another_wait_begins_a_new_reservation(
    cluster: Cluster, submit: Submit, full: Deployment, dev: User
) -> None:
    """The deployment has run in between, for less, and asks for as much as before again."""
    big = late(submit("LOW", gpu=8))
    run_cycle(cluster)
    ReservationRecord.objects.update(since=timezone.now() - 50 * HOUR)
    path = f"/api/deployments/{big.pk}"
    assert client_for(dev).patch(path, {"required_gpu": 1}).status_code == 200
    run_cycle(cluster)
    assert client_for(dev).get(path).json()["status"] == "RUNNING"
    submit("HIGH", gpu=4, cpu=60)
    run_cycle(cluster)
    assert client_for(dev).get(path).json()["status"] == "QUEUED"
    assert client_for(dev).patch(path, {"required_gpu": 8}).status_code == 200
    assert read_whole(cluster.pk).reservation_history == ()


@pytest.mark.parametrize("policy", [{"ordering": "fair_share"}, {"placement": "spread"}])
def test_another_policy_lets_a_reservation_go_on(
    cluster: Cluster, submit: Submit, full: Deployment, ada: User, policy: dict[str, str]
) -> None:
    """Also where scheduling keys name the owner from then on."""
    big = late(submit("LOW", gpu=8))
    run_cycle(cluster)
    first = since(big)
    answer = client_for(ada).patch(f"/api/clusters/{cluster.pk}", {"policy": policy})
    assert answer.status_code == 200, answer.json()
    run_cycle(cluster)
    assert since(big) == first
