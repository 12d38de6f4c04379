"""Maintenance windows through cycles, answers and the timer, on real tables."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster, MaintenanceWindow, Node
from clusters.services.windows import plan_window
from clusters.tests.allocation import make_node
from deployments import tasks
from deployments.lifecycle import due
from deployments.models import Deployment, Status
from deployments.reasons.reader import reasons_for
from deployments.services.drafting.update import change_deployment
from mlops_platform.coordination.redis import redis_client
from scheduler import audit, impossible
from scheduler.answers.explain import explain
from scheduler.engine import make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
HOUR_S = 3600


@pytest.fixture(autouse=True)
def in_order(db: None) -> Iterator[None]:
    """Whatever a test does, all is in order after it, and every cycle replays."""
    yield
    assert audit.breaches() == []
    for row in SchedulingCycle.objects.all():
        assert make_plan(decode_snapshot(bytes(row.snapshot))) == decode_plan(bytes(row.plan))


@pytest.fixture
def a(cluster: Cluster) -> Node:
    return make_node(cluster, name="a", cpu_milli=32_000, ram_mib=65_536, gpu=4)


@pytest.fixture
def b(cluster: Cluster, a: Node) -> Node:
    return make_node(cluster, name="b", cpu_milli=32_000, ram_mib=65_536, gpu=4)


def planned(cluster: Cluster, *nodes: str, mode: str = "cordon") -> MaintenanceWindow:
    body = {"begins_at": HOUR, "ends_at": 2 * HOUR, "mode": mode, "reason": "new disks"}
    return plan_window(cluster, {**body, "node_names": list(nodes)}, by="ada").window


def moved(window: MaintenanceWindow, by: timedelta) -> None:
    """As though so much time had passed, and what the timer makes of it."""
    window.refresh_from_db()
    window.begins_at, window.ends_at = window.begins_at - by, window.ends_at - by
    window.next_at = window.begins_at if window.state == "PLANNED" else window.ends_at
    window.save()
    due.wake_all()
    assert redis_client().exists(f"cluster:{window.cluster_id}:due")
    tasks.end_due(str(window.cluster_id))


def fresh(deployment: Deployment) -> Deployment:
    return Deployment.objects.get(pk=deployment.pk)


def on(deployment: Deployment) -> list[str]:
    return sorted(each["node"] for each in fresh(deployment).placement)


def reason_of(deployment: Deployment) -> Any:
    return reasons_for([fresh(deployment)])[deployment.pk]


def test_before_the_window_what_ends_in_time_starts_and_the_rest_is_told_why(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    window = planned(cluster, "a")
    long = submit(gpu=1, max_runtime_s=HOUR_S + 60)
    short = submit(gpu=1, max_runtime_s=HOUR_S - 60)
    endless = submit(gpu=1)
    run_cycle(cluster)
    assert [on(each) for each in (long, short, endless)] == [[], ["a"], []]
    begins, ends = (f"{at:%Y-%m-%d %H:%M:%S} UTC" for at in (window.begins_at, window.ends_at))
    reason = reason_of(long)
    assert (reason["code"], reason["message"]) == (
        "MAINTENANCE_WINDOW",
        f"By its time limit it could run into maintenance (new disks) of its nodes, from {begins} "
        f"until {ends}. With a limit that ends it before, it may start.",
    )
    assert [each["id"] for each in reason["details"]["windows"]] == [str(window.pk)]
    assert reason_of(endless)["message"].startswith(
        "It has no time limit, and so counts as running for 14400 s: into maintenance (new disks)"
    )


def test_the_explanation_says_with_which_limit_it_starts_now_and_when_without(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    window = planned(cluster, "a")
    row = submit(gpu=1, max_runtime_s=2 * HOUR_S)
    run_cycle(cluster)
    found = explain(fresh(row))
    limit_s = found["starts_now_with"]["max_runtime_s"]
    assert HOUR_S - 120 <= limit_s < HOUR_S
    assert limit_s % 60 == 0
    window.refresh_from_db()
    assert abs(found["earliest_start"] - window.ends_at) < timedelta(seconds=1)
    assert abs(found["eta"]["p50"] - window.ends_at) < timedelta(seconds=1)
    assert row.owner is not None
    change_deployment(row.owner, fresh(row), {"max_runtime_s": limit_s})
    run_cycle(cluster)
    assert on(row) == ["a"]


def test_at_the_end_of_the_window_what_waited_for_it_starts(
    cluster: Cluster, a: Node, submit: Submit, woken: Any
) -> None:
    window = planned(cluster, "a")
    row = submit(gpu=1, max_runtime_s=2 * HOUR_S)
    run_cycle(cluster)
    moved(window, HOUR)
    a.refresh_from_db()
    assert a.state == "CORDONED"
    run_cycle(cluster)
    assert reason_of(row)["message"].startswith("Its nodes are closed for maintenance (new disks)")
    woken.clear()
    moved(window, HOUR)
    assert woken == [cluster.pk]
    run_cycle(cluster)
    assert on(row) == ["a"]


@pytest.mark.parametrize("mode", ["now", "when_finished"])
def test_what_still_runs_at_the_begin_leaves_by_the_mode(
    cluster: Cluster, a: Node, submit: Submit, mode: str
) -> None:
    row = submit(gpu=1)
    run_cycle(cluster)
    window = planned(cluster, "a", mode=mode)
    moved(window, HOUR)
    run_cycle(cluster)
    a.refresh_from_db()
    if mode == "now":
        assert (fresh(row).status, a.state) == (Status.QUEUED, "DRAINED")
        assert reason_of(row)["message"].startswith(
            "a was drained by ada (new disks), so it went back into the queue."
        )
    else:
        assert (on(row), a.state) == (["a"], "DRAINING")
    moved(window, HOUR)
    run_cycle(cluster)
    assert on(row) == ["a"]


def test_a_dry_run_says_what_runs_across_it_and_what_it_costs(
    api: Any, ada: User, cluster: Cluster, a: Node, b: Node, submit: Submit
) -> None:
    rows = {
        name: submit(gpu=4, max_runtime_s=limit_s)
        for name, limit_s in (("ends", HOUR_S // 2), ("stays", None))
    }
    run_cycle(cluster)
    started = timezone.now() - HOUR / 2
    Deployment.objects.update(started_at=started, admitted_at=started)
    Deployment.objects.filter(pk=rows["ends"].pk).update(started_at=timezone.now())
    body = {"begins_at": HOUR_S, "ends_at": 2 * HOUR_S, "reason": "new disks", "dry_run": True}
    for mode, lost_s in (("now", 5400), ("when_finished", 0), ("cordon", 0)):
        path = f"/api/clusters/{cluster.pk}/windows"
        effect = api(ada).post(path, {**body, "mode": mode}).json()["effect"]
        [shown] = effect["deployments"]
        assert shown["id"] == str(rows["stays"].pk)
        assert shown["goes_to"] == []
        assert abs(shown["lost_s"] - lost_s) <= 5
        assert effect["total"]["waiting"] == 1
    assert not MaintenanceWindow.objects.exists()


def test_a_window_of_any_length_makes_nothing_impossible(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    planned(cluster, "a")
    row = submit(gpu=1)
    assert impossible.why_never([fresh(row)]) == {}


def test_once_the_last_is_over_no_cycle_reads_any(
    cluster: Cluster, a: Node, submit: Submit
) -> None:
    window = planned(cluster, "a")
    submit(gpu=1)
    run_cycle(cluster)
    assert Cluster.objects.get(pk=cluster.pk).has_windows
    moved(window, 2 * HOUR)
    assert not Cluster.objects.get(pk=cluster.pk).has_windows
    run_cycle(cluster)
    snapshot = decode_snapshot(bytes(SchedulingCycle.objects.latest("id").snapshot))
    assert snapshot.windows == ()
