"""What is kept and what goes, of each kind, and what clients see of it."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, DeploymentEvent, DeploymentLog, Status, Sweep
from deployments.services import clear, forget
from deployments.tests.workloads import body, make
from mlops_platform.api.ids import first_uuid_at
from mlops_platform.coordination.locks import try_lock
from mlops_platform.coordination.redis import redis_client
from scheduler import ledger
from scheduler.models import Retention, SchedulingCycle
from scheduler.replay import Verdict, cycles, replay_all
from scheduler.retention import turn
from scheduler.retention.kinds import KINDS, Kind
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db
KIB = 1024


@pytest.fixture(autouse=True)
def short(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Periods of days and shares of a MiB; no pauses."""
    for kind in KINDS:
        if kind.setting is not None:
            setattr(settings, kind.setting, 1 if "MIB" in kind.setting else 10)
    monkeypatch.setattr(turn, "SHORTEST_PAUSE_S", 0)


@pytest.fixture
def abroad(sams_org: Any) -> Cluster:
    """A cluster of another organization."""
    return make_cluster(sams_org, name="abroad")


def days_ago(days: float) -> Any:
    return timezone.now() - timedelta(days=days)


def ended(cluster: Cluster, owner: Any, days: float, **columns: Any) -> Deployment:
    at = days_ago(days)
    id_ = UUID(int=first_uuid_at(at).int | uuid4().int >> 60)
    row = make(cluster, owner, Status.COMPLETED, id=id_, created_at=at, finished_at=at, **columns)
    DeploymentEvent.objects.create(deployment=row, type="SUBMITTED", at=at)
    DeploymentLog.objects.create(deployment=row, attempt=1, replica=0, output=b"x", kept_at=at)
    return row


def left() -> set[Any]:
    return set(Deployment.objects.values_list("pk", flat=True))


# --- Ended deployments -----------------------------------------------------------------------


def test_an_ended_deployment_goes_with_all_that_hangs_on_it(
    cluster: Cluster, abroad: Cluster, dev: Any, sam: Any, api: Any
) -> None:
    old, older, new = (ended(cluster, dev, days) for days in (11, 12, 9))
    sams = ended(abroad, sam, 9)
    waiting = make(cluster, dev, created_at=days_ago(20))
    turn.take_turn()
    assert left() == {new.pk, sams.pk, waiting.pk}
    for model in (DeploymentEvent, DeploymentLog):
        assert set(model.objects.values_list("deployment", flat=True)) == {new.pk, sams.pk}
    for gone in (old, older):
        for path in ("", "/events", "/logs", "/explain"):
            assert api(dev).get(f"/api/deployments/{gone.pk}{path}").status_code == 404
        assert api(dev).post(f"/api/deployments/{gone.pk}/stop").status_code == 404
    listed = [row["id"] for row in api(dev).get("/api/deployments").json()]
    assert listed == [str(waiting.pk), str(new.pk)]


def test_one_that_another_depends_on_stays_until_that_one_has_ended(
    cluster: Cluster, dev: Any, api: Any
) -> None:
    needed = ended(cluster, dev, 11)
    waiting = make(cluster, dev)
    waiting.depends_on.add(needed)
    turn.take_turn()
    assert left() == {needed.pk, waiting.pk}
    Deployment.objects.filter(pk=waiting.pk).update(
        status=Status.COMPLETED, finished_at=timezone.now()
    )
    turn.take_turn()
    assert left() == {waiting.pk}
    assert api(dev).get(f"/api/deployments/{waiting.pk}").json()["depends_on"] == []
    refused = api(dev).post("/api/deployments", body(cluster, depends_on=[str(needed.pk)]))
    assert refused.status_code == 400
    assert list(refused.json()["fields"]) == ["depends_on"]


def test_a_sweep_goes_with_its_last_member(cluster: Cluster, dev: Any) -> None:
    sweeps = [
        Sweep.objects.create(id=first_uuid_at(days_ago(12)), cluster=cluster, owner=dev, size=1),
        Sweep.objects.create(id=first_uuid_at(days_ago(11)), cluster=cluster, owner=dev, size=1),
        Sweep.objects.create(cluster=cluster, owner=dev, size=1),
    ]
    make(cluster, dev, Status.QUEUED, sweep=sweeps[1])
    assert list(forget.sweeps(days_ago(10))) == [1]
    assert set(Sweep.objects.all()) == set(sweeps[1:])


def test_one_that_another_came_to_depend_on_since_it_was_found_stays(
    cluster: Cluster, dev: Any
) -> None:
    needed = make(cluster, dev, Status.COMPLETED, finished_at=days_ago(11))
    found = forget.ended_before(days_ago(10))
    assert found == [needed.pk]
    make(cluster, dev).depends_on.add(needed)
    assert clear.delete_of(found, forget.BATCH, spare=forget.needed()) == 0
    assert needed.pk in left()


def test_one_whose_row_is_locked_waits_and_stops_no_other(
    transactional_db: None, cluster: Cluster, dev: Any
) -> None:
    locked, free = ended(cluster, dev, 12), ended(cluster, dev, 11)
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(
                "SELECT FROM deployments_deployment WHERE id = %s FOR UPDATE", [str(locked.pk)]
            )
        turn.take_turn()
        assert left() == {locked.pk}
    finally:
        other.rollback()
        other.close()
    turn.take_turn()
    assert left() == set()
    assert free.pk != locked.pk


def test_usage_and_quotas_count_what_is_left(
    cluster: Cluster, dev: Any, api: Any, submit: Submit
) -> None:
    path = f"/api/clusters/{cluster.pk}/status"
    submit("LOW", gpu=2)
    run_cycle(cluster)
    ended(cluster, dev, 11)
    before = api(dev).get(path).json()
    turn.take_turn()
    assert api(dev).get(path).json() == before


# --- Timelines, output, keys -----------------------------------------------------------------


def test_old_entries_of_timelines_go(cluster: Cluster, dev: Any, api: Any) -> None:
    service = make(cluster, dev, Status.RUNNING, created_at=days_ago(20))
    for days in (20, 11, 9, 1):
        DeploymentEvent.objects.create(deployment=service, type="NOTICE", at=days_ago(days))
    turn.take_turn()
    shown = api(dev).get(f"/api/deployments/{service.pk}/events").json()
    assert len(shown) == 2
    assert min(row["at"] for row in shown) > days_ago(10).isoformat()


def test_entries_from_while_the_clock_was_ahead_go_with_those_behind_them(
    cluster: Cluster, dev: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forget, "BATCH", 3)
    row = make(cluster, dev)
    ahead, old, new = days_ago(-400), days_ago(11), days_ago(9)
    times = [ahead] * 7 + [old] * 2 + [ahead, new, ahead]
    for at in times:
        DeploymentEvent.objects.create(deployment=row, type="NOTICE", at=at)
    turn.take_turn()
    left = DeploymentEvent.objects.filter(deployment=row).order_by("pk")
    assert list(left.values_list("at", flat=True)) == times[-3:]


def test_old_output_goes_and_leaves_an_empty_text(cluster: Cluster, dev: Any, api: Any) -> None:
    row = ended(cluster, dev, 1)
    log = DeploymentLog.objects.filter(deployment=row)
    log.update(kept_at=days_ago(11))
    turn.take_turn()
    assert not log.exists()
    Deployment.objects.filter(pk=row.pk).update(attempt=1)
    answer = api(dev).get(f"/api/deployments/{row.pk}/logs")
    assert (answer.status_code, answer.content) == (200, b"")


def test_the_output_of_one_organization_makes_no_other_ones_go(
    cluster: Cluster, abroad: Cluster, dev: Any, sam: Any
) -> None:
    oldest = DeploymentLog.objects.get(deployment=ended(abroad, sam, 9))
    loud = make(cluster, dev, Status.RUNNING)
    for attempt in range(1, 12):
        output = b"x" * 200 * KIB
        DeploymentLog.objects.create(deployment=loud, attempt=attempt, replica=0, output=output)
    turn.take_turn()
    kept = loud.kept_logs.order_by("pk").values_list("attempt", flat=True)
    assert list(kept) == [7, 8, 9, 10, 11]  # the newest of a MiB
    assert DeploymentLog.objects.filter(pk=oldest.pk).exists()


def test_a_repeated_key_submits_anew_once_it_is_old(cluster: Cluster, dev: Any, api: Any) -> None:
    def submit(key: str) -> Any:
        return (
            api(dev)
            .post("/api/deployments", body(cluster), headers={"Idempotency-Key": key})
            .json()["id"]
        )

    first = submit("new")
    old = ended(cluster, dev, 11, idempotency_key="old", idempotency_digest="x")
    Deployment.objects.filter(pk=old.pk).update(finished_at=timezone.now())
    turn.take_turn()
    assert submit("new") == first
    assert submit("old") != str(old.pk)
    assert Deployment.objects.get(pk=old.pk).idempotency_digest == ""


# --- The ledger ------------------------------------------------------------------------------


def test_old_cycles_go_and_the_others_replay(cluster: Cluster, submit: Submit, dev: Any) -> None:
    first = submit("LOW", gpu=4)
    run_cycle(cluster)
    SchedulingCycle.objects.update(started_at=days_ago(11))
    submit("LOW", gpu=1)
    run_cycle(cluster)
    Deployment.objects.filter(pk=first.pk).update(status=Status.STOPPED, finished_at=days_ago(11))
    turn.take_turn()
    assert not Deployment.objects.filter(pk=first.pk).exists()  # the cycle that is left names it
    assert [each.verdict for each in replay_all(cycles())] == [Verdict.SAME]


def test_the_ledger_of_one_organization_makes_no_other_ones_go(
    cluster: Cluster, abroad: Cluster, org: Any
) -> None:
    east = make_cluster(org, name="east")
    made = [cycle_of(abroad, 9, 1 * KIB)]
    for days, at in ((8, cluster), (7, east), (6, cluster), (5, east)):
        made.append(cycle_of(at, days, 400 * KIB))
    turn.take_turn()
    kept = set(SchedulingCycle.objects.values_list("pk", flat=True))
    assert kept == {each.pk for each in (made[0], made[3], made[4])}  # a MiB of both clusters


def cycle_of(cluster: Cluster, days: float, size: int) -> SchedulingCycle:
    return SchedulingCycle.objects.create(
        cluster=cluster,
        trigger="SWEEP",
        started_at=days_ago(days),
        **dict.fromkeys(("load_ms", "plan_ms", "apply_ms"), 1.0),
        **dict.fromkeys(("evaluated_count", "started_count", "evicted_count", "waiting_count"), 1),
        engine_version="0",
        snapshot=b"x" * size,
        plan=b"x",
    )


@pytest.mark.parametrize("forget_beyond", [ledger.forget_beyond, forget.output_beyond])
def test_what_keeps_to_its_share_is_added_up_and_never_sorted(
    cluster: Cluster, abroad: Cluster, dev: Any, sam: Any, forget_beyond: Any
) -> None:
    for at, owner in ((cluster, dev), (abroad, sam)):
        cycle_of(at, 1, 900 * KIB)
        ended(at, owner, 1)
    with CaptureQueriesContext(connection) as queries:
        assert list(forget_beyond(1)) == []
    [only] = queries
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {only['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "WindowAgg" not in plan
    for _ in range(2):
        cycle_of(cluster, 1, 200 * KIB)
        loud = ended(cluster, dev, 1)
        DeploymentLog.objects.create(
            deployment=loud, attempt=2, replica=0, output=b"x" * 600 * KIB, kept_at=days_ago(1)
        )
    with CaptureQueriesContext(connection) as queries:
        assert sum(forget_beyond(1)) > 0
    sorting = [each["sql"] for each in queries if "OVER" in each["sql"]]
    assert sorting
    assert all(f"organization_id = '{cluster.organization_id}'" in sql for sql in sorting)


# --- Turns -----------------------------------------------------------------------------------


def test_a_turn_ends_in_time_and_the_next_goes_on(
    cluster: Cluster, dev: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "MOST_DELETED", 2)
    monkeypatch.setattr(turn, "BUDGET_S", -1)
    for days in range(11, 16):
        cycle_of(cluster, days, 1)
    counts = []
    for _ in range(4):
        redis_client().delete("runtimes")
        turn.take_turn()
        counts.append((SchedulingCycle.objects.count(), redis_client().llen("runtimes")))
    assert counts == [(3, 1), (1, 1), (0, 1), (0, 0)]
    row = Retention.objects.get(kind="cycles")
    assert (row.deleted, row.finished_at) == (5, row.ran_at)


def test_one_turn_at_a_time(cluster: Cluster) -> None:
    cycle_of(cluster, 11, 1)
    with try_lock(turn.LOCK):
        turn.take_turn()
    assert SchedulingCycle.objects.exists()
    turn.take_turn()
    assert not SchedulingCycle.objects.exists()


def test_a_kind_that_fails_keeps_no_other_from_its_turn(transactional_db: None) -> None:
    def fail() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
        yield 1

    turn.take_turn([Kind("failing", "Nothing", fail), Kind("other", "Nothing", lambda: iter([3]))])
    assert dict(Retention.objects.values_list("kind", "deleted")) == {"other": 3}


def test_each_batch_is_found_by_an_index(cluster: Cluster, dev: Any) -> None:
    """However long the history is, and whatever of it stays."""
    from deployments.tests.history import add_history, analyze, rows_read, scans_of

    add_history(cluster, dev, 5_000)
    analyze()
    keyed = Deployment.objects.filter(
        idempotency_key__isnull=False, pk__lt=first_uuid_at(days_ago(0))
    )
    old = Deployment.objects.filter(finished_at__lt=days_ago(10), status__in=["COMPLETED"])
    for rows in (keyed.order_by("pk"), old.order_by("finished_at")):
        sql, params = rows.values_list("pk", flat=True)[: forget.BATCH].query.sql_with_params()
        with connection.cursor() as cursor:
            text = cursor.mogrify(sql, params).decode()
        for node in scans_of(text):
            assert "Index" in node["Node Type"] or node["Node Type"] == "Bitmap Heap Scan"
            assert rows_read(node) <= forget.BATCH


def test_operators_see_what_is_kept_and_what_has_gone(
    cluster: Cluster, admin_client: Any, settings: Settings
) -> None:
    settings.LEDGER_RETENTION_DAYS = 17
    cycle_of(cluster, 18, 1)
    turn.take_turn()
    page = admin_client.get("/admin/scheduler/retention/").content.decode()
    assert "17 days (LEDGER_RETENTION_DAYS)" in page
    assert page.count("MiB of each organization") == 2
