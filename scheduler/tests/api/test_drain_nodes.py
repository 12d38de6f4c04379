"""POST /api/clusters/{id}/nodes/{node_id}/drain, and what the cycles and the clock make of it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from clusters.models import Cluster, Node
from clusters.tests.allocation import make_node
from deployments import tasks
from deployments.lifecycle import due
from deployments.models import Deployment, EventType, Status
from deployments.reasons.reader import reasons_for
from deployments.services.stop import stop_deployment
from mlops_platform.coordination.redis import redis_client
from scheduler import audit
from scheduler.engine import make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot
from scheduler.models import SchedulingCycle
from scheduler.queries import overlooked_clusters
from scheduler.tests.conftest import Submit, run_cycle

pytestmark = pytest.mark.django_db
Client = Callable[[User], APIClient]


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


@pytest.fixture
def drain(api: Client, ada: User) -> Callable[..., Any]:
    """`drain(a, mode="when_finished")` as the ADMIN ada; the answer."""

    def drain(node: Node, **body: Any) -> Any:
        return api(ada).post(f"/api/clusters/{node.cluster_id}/nodes/{node.pk}/drain", body)

    return drain


def shown(api: Client, user: User, node: Node) -> Any:
    return api(user).get(f"/api/clusters/{node.cluster_id}/nodes/{node.pk}").json()


def fresh(deployment: Deployment) -> Deployment:
    return Deployment.objects.get(pk=deployment.pk)


def on(deployment: Deployment) -> list[str]:
    return sorted(each["node"] for each in fresh(deployment).placement)


def started(deployment: Deployment, *, ago_s: int, checkpoint_ago_s: int | None = None) -> None:
    """Have it run for so long, and its work saved so long ago."""
    now = timezone.now()
    saved = None if checkpoint_ago_s is None else now - timedelta(seconds=checkpoint_ago_s)
    Deployment.objects.filter(pk=deployment.pk).update(
        admitted_at=now - timedelta(seconds=ago_s),
        started_at=now - timedelta(seconds=ago_s),
        queued_at=now - timedelta(seconds=ago_s),
        checkpoint_at=saved,
    )


def test_what_is_drained_now_says_by_whom_and_for_what(
    api: Client, vera: User, cluster: Cluster, a: Node, drain: Any, submit: Submit
) -> None:
    row = submit(gpu=2)
    run_cycle(cluster)
    answer = drain(a, reason="new disks").json()
    assert (answer["state"], answer["reason"]) == (
        "DRAINING",
        "It is being drained by ada: new disks.",
    )
    run_cycle(cluster)
    event = row.events.order_by("id").last()
    assert event is not None
    assert (event.type, event.details) == (
        EventType.DRAINED,
        {"node": "a", "drained_by": "ada", "drained_for": "new disks"},
    )
    reason = reasons_for([fresh(row)])[row.pk]
    assert reason is not None
    assert reason["message"].startswith(
        "a was drained by ada (new disks), so it went back into the queue."
    )
    node = shown(api, vera, a)
    assert (node["state"], node["reason"]) == ("DRAINED", "It has been drained by ada: new disks.")
    drained = node["drain"]
    assert (drained["mode"], drained["by"], drained["reason"]) == ("now", "ada", "new disks")
    assert drained["since"] <= drained["drained_at"]


def test_a_drained_node_takes_nothing_until_it_is_uncordoned_and_forgets_the_drain(
    api: Client, ada: User, cluster: Cluster, a: Node, drain: Any, submit: Submit
) -> None:
    assert drain(a).json()["state"] == "DRAINED"  # it was empty
    first = shown(api, ada, a)["drain"]
    assert drain(a, reason="again").json()["drain"] == first
    row = submit(gpu=1)
    run_cycle(cluster)
    assert on(row) == []
    opened = api(ada).post(f"/api/clusters/{cluster.pk}/nodes/{a.pk}/uncordon").json()
    assert (opened["state"], opened["drain"], opened["reason"]) == ("READY", None, None)
    run_cycle(cluster)
    assert on(row) == ["a"]


def test_when_finished_what_runs_may_end_and_nothing_new_starts(
    cluster: Cluster, a: Node, b: Node, drain: Any, submit: Submit
) -> None:
    first = submit(gpu=4)
    run_cycle(cluster)
    [name] = on(first)
    node = {"a": a, "b": b}[name]
    assert drain(node, mode="when_finished").json()["state"] == "DRAINING"
    others = [submit("HIGH", gpu=2) for _ in range(3)]
    outcome = run_cycle(cluster)
    assert (outcome.plan.evictions, on(first)) == ((), [name])
    assert [on(each) for each in others].count([]) == 1
    stop_deployment(first.owner, fresh(first))
    node.refresh_from_db()
    assert (node.state, (node.drain or {})["drained_at"] is None) == ("DRAINED", False)
    run_cycle(cluster)
    assert [on(each) for each in others].count([]) == 1


def test_at_the_deadline_the_rest_is_evicted(
    cluster: Cluster, a: Node, drain: Any, submit: Submit
) -> None:
    row = submit(gpu=2)
    run_cycle(cluster)
    answer = drain(a, mode="when_finished", deadline=3600).json()
    assert answer["drain"]["deadline"] > answer["drain"]["since"]
    due.wake_all()
    tasks.end_due(str(cluster.pk))
    run_cycle(cluster)
    assert fresh(row).status == Status.RUNNING
    Node.objects.filter(pk=a.pk).update(drain_deadline=timezone.now() - timedelta(seconds=1))
    due.wake_all()
    assert redis_client().exists(f"cluster:{cluster.pk}:due")
    tasks.end_due(str(cluster.pk))
    run_cycle(cluster)
    a.refresh_from_db()
    assert (fresh(row).status, fresh(row).reason_code) == (Status.QUEUED, "NODE_DRAINED")
    assert (a.state, (a.drain or {})["mode"], a.drain_deadline) == (
        "DRAINED",
        "when_finished",
        None,
    )


def test_at_checkpoint_each_leaves_once_it_has_saved_its_work_since(
    api: Client, dev: User, cluster: Cluster, a: Node, drain: Any, submit: Submit, woken: Any
) -> None:
    saves, never = submit(gpu=1), submit(gpu=1)
    run_cycle(cluster)
    started(saves, ago_s=600, checkpoint_ago_s=60)  # before the drain: it counts for nothing
    drain(a, mode="at_checkpoint")
    assert run_cycle(cluster).plan.evictions == ()
    assert overlooked_clusters() == [cluster.pk]  # a wake-up that is lost is made up for
    woken.clear()
    assert api(dev).post(f"/api/deployments/{saves.pk}/checkpoint").status_code == 200
    assert woken == [cluster.pk]
    run_cycle(cluster)
    assert (fresh(saves).reason_code, on(never)) == ("NODE_DRAINED", ["a"])
    woken.clear()
    stop_deployment(never.owner, fresh(never))
    a.refresh_from_db()
    assert a.state == "DRAINED"


def test_a_gang_leaves_whole_at_its_checkpoint_and_is_no_victim_beside_that(
    api: Client, dev: User, cluster: Cluster, a: Node, b: Node, drain: Any, submit: Submit
) -> None:
    gang = submit(gpu=3, replicas=2)
    run_cycle(cluster)
    assert on(gang) == ["a", "b"]
    drain(a, mode="at_checkpoint")
    api(dev).post(f"/api/deployments/{gang.pk}/checkpoint")
    high = submit("HIGH", gpu=4)
    [eviction] = run_cycle(cluster).plan.evictions
    assert (eviction.workload_id, eviction.by) == (str(gang.pk), None)
    assert (on(high), fresh(gang).preemption_count) == (["b"], 0)


def test_a_checkpoint_elsewhere_asks_for_no_cycle(
    api: Client, dev: User, cluster: Cluster, a: Node, drain: Any, submit: Submit, woken: Any
) -> None:
    row = submit(gpu=1)
    run_cycle(cluster)
    drain(a, mode="when_finished")
    woken.clear()
    api(dev).post(f"/api/deployments/{row.pk}/checkpoint")
    assert woken == []


def test_another_drain_takes_the_place_of_one_under_way(
    cluster: Cluster, a: Node, drain: Any, submit: Submit
) -> None:
    row = submit(gpu=1)
    run_cycle(cluster)
    drain(a, mode="when_finished", deadline=3600, reason="new disks")
    assert drain(a, reason="it burns").json()["drain"]["deadline"] is None
    run_cycle(cluster)
    assert fresh(row).reason_details["drained_for"] == "it burns"


def test_a_dry_run_says_who_is_affected_and_changes_nothing(
    cluster: Cluster, a: Node, b: Node, drain: Any, submit: Submit, woken: Any
) -> None:
    long, short = submit(gpu=2, name="long"), submit(gpu=2, name="short", max_runtime_s=1200)
    run_cycle(cluster)
    [name] = on(long)
    assert on(short) == [name]  # packed
    node, other = ({"a": a, "b": b}[each] for each in (name, "b" if name == "a" else "a"))
    beside = submit(gpu=2, name="beside")
    run_cycle(cluster)
    assert on(beside) == [other.name]
    started(long, ago_s=7200, checkpoint_ago_s=600)
    started(short, ago_s=300)
    woken.clear()
    before = Node.objects.filter(pk=node.pk).values().get()
    answer = drain(node, dry_run=True, reason="new disks").json()
    assert (answer["state"], answer["drain"], answer["dry_run"]) == ("READY", None, True)
    assert (Node.objects.filter(pk=node.pk).values().get(), woken) == (before, [])
    effect = answer["effect"]
    assert [each["name"] for each in effect["deployments"]] == ["long", "short"]
    first, second = effect["deployments"]
    assert (first["owner"], first["gpu"], first["ends_by"]) == ("dev", 2, None)
    assert first["running_s"] >= 7200
    assert 600 <= first["lost_s"] < first["running_s"]
    assert 300 <= second["lost_s"] < 1200
    assert sorted([first["goes_to"], second["goes_to"]]) == [[], [other.name]]
    total = effect["total"]
    assert (total["deployments"], total["waiting"]) == (2, 1)
    assert total["lost_gpu_s"] == 2 * total["lost_s"]
    assert total["lost_s"] == first["lost_s"] + second["lost_s"]


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        ({"mode": "when_finished"}, [False, False]),
        ({"mode": "at_checkpoint"}, [False, False]),
        ({"mode": "when_finished", "deadline": 86_400}, [True, False]),
        ({"mode": "at_checkpoint", "deadline": 60}, [True, True]),
    ],
)
def test_what_a_mode_that_waits_loses_is_what_its_deadline_leaves(
    cluster: Cluster, a: Node, drain: Any, submit: Submit, body: Any, lost: list[bool]
) -> None:
    rows = [submit(gpu=1), submit(gpu=1, max_runtime_s=1200)]
    run_cycle(cluster)
    for each, ago_s in zip(rows, (7200, 300), strict=True):
        started(each, ago_s=ago_s)
    effect = drain(a, dry_run=True, **body).json()["effect"]
    assert [each["lost_s"] > 0 for each in effect["deployments"]] == lost


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "later"}, "mode"),
        ({"mode": "when_finished", "deadline": 0}, "deadline"),
        ({"mode": "when_finished", "deadline": True}, "deadline"),
        ({"mode": "when_finished", "deadline": 10**12}, "deadline"),
        ({"mode": "when_finished", "deadline": "tomorrow"}, "deadline"),
        ({"mode": "when_finished", "deadline": "2026-02-30T00:00:00Z"}, "deadline"),
        ({"mode": "when_finished", "deadline": "2036-03-01T18:00:00"}, "deadline"),
        ({"mode": "when_finished", "deadline": "2006-03-01T18:00:00Z"}, "deadline"),
        ({"mode": "now", "deadline": 60}, "deadline"),
        ({"deadline": 60}, "deadline"),
        ({"reason": "x" * 201}, "reason"),
        ({"dry_run": "yes"}, "dry_run"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_field(
    a: Node, drain: Any, body: Any, field: str
) -> None:
    response = drain(a, **body)
    assert (response.status_code, list(response.json()["fields"])) == (400, [field])
    a.refresh_from_db()
    assert a.state == "READY"


def test_a_deadline_may_be_a_moment_with_any_offset(
    cluster: Cluster, a: Node, drain: Any, submit: Submit
) -> None:
    submit(gpu=1)
    run_cycle(cluster)
    answer = drain(a, mode="when_finished", deadline="2099-03-01T18:00:00+02:00").json()
    assert answer["drain"]["deadline"] == "2099-03-01T16:00:00Z"
