"""Preemption within an owner's quota, with known answers."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.codec import decode_snapshot, encode_snapshot
from scheduler.engine.invariants import check
from scheduler.engine.plan import Start
from scheduler.engine.preemption import within_quota
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import Placement, Policy, Running, Workload
from scheduler.engine.whatif import WhatIf, occupants
from scheduler.tests.engine.build import (
    HIGH,
    LOW,
    MID,
    allocated_by,
    ends,
    job,
    node,
    of,
    owned,
    pool,
    rack,
    run,
)
from scheduler.tests.engine.plans import evicted, placed, plan, reason, replayed_plan, started

CLASSES = (LOW, MID, HIGH)


def gpus(count: int) -> Resources:
    return Resources(ENDLESS, ENDLESS, count)


def anns(**more: Any) -> Running:
    return allocated_by("ann", run(**more))


def bens(**more: Any) -> Running:
    return allocated_by("ben", run(**more))


def urgent(owner: str = "ann", gpu: int = 2, **more: Any) -> Workload:
    return of(owner, job(gpu=gpu, high=True, id="urgent", **more))


def full(*running: Running, quota: int = 4, gpu: int = 16, **more: Any) -> Snapshot:
    """A pool with room, of which ann may have so many GPUs."""
    more = {"preemption_within_quota": "lower_priority", "classes": CLASSES, **more}
    more = {"queued": [urgent()], **more}
    return owned(pool(gpu=gpu, running=list(running), **more), ann=gpus(quota))


@pytest.mark.parametrize(
    ("snapshot", "victims"),
    [
        pytest.param(
            full(anns(gpu=2, id="old", ran_s=900), anns(gpu=2, id="new", ran_s=100)),
            {"new"},
            id="the cheapest of ann's own, though the pool has room",
        ),
        pytest.param(
            full(anns(gpu=4, id="a"), bens(gpu=2, id="b", ran_s=0)),
            {"a"},
            id="none of ben's, however cheap: they free nothing of ann's quota",
        ),
        pytest.param(
            full(anns(gpu=1, id="small", ran_s=1), anns(gpu=3, id="large", ran_s=1)),
            {"large"},
            id="none that could be spared",
        ),
        pytest.param(
            full(anns(gpu=1, id="one"), anns(gpu=1, id="two"), anns(gpu=2, high=True)),
            {"one", "two"},
            id="none of a class that is not lower",
        ),
        pytest.param(
            full(anns(gpu=2, id="mid", priority="MID", ran_s=1), anns(gpu=2, id="low")),
            {"low"},
            id="the lowest class first",
        ),
        pytest.param(
            full(anns(gpu=6, id="above"), anns(gpu=2, id="more", ran_s=700)),
            {"above"},
            id="as many as the quota is exceeded by, once it was lowered",
        ),
        pytest.param(
            full(anns(gpu=4, id="alone"), preemption_within_quota="never"),
            set(),
            id="none by default",
        ),
        pytest.param(full(anns(gpu=4, id="alone"), preemption="never"), set(), id="none if off"),
        pytest.param(
            full(anns(gpu=4), queued=[of("ann", job(gpu=2, id="urgent"))]),
            set(),
            id="none for a class that preempts nothing",
        ),
        pytest.param(
            full(anns(gpu=4), queued=[urgent(gpu=5)]),
            set(),
            id="none for a request that the whole quota is too small for",
        ),
        pytest.param(
            full(anns(gpu=4, ran_s=10), preempt_exempt_s=60), set(), id="none that is exempt"
        ),
        pytest.param(
            full(anns(gpu=4, preemptions=5)), set(), id="none that was evicted often enough"
        ),
        pytest.param(
            full(
                anns(gpu=2, id="cheap", ran_s=100),
                anns(gpu=2, id="dear", ran_s=900),
                bens(gpu=4, id="of ben", ran_s=50),
                gpu=8,
                queued=[urgent(gpu=4)],
                quota=6,
            ),
            {"cheap", "of ben"},
            id="ann's for the quota, with ben's for the pool where that is cheaper",
        ),
        pytest.param(
            full(
                anns(gpu=4, id="of ann", ran_s=100),
                bens(gpu=4, id="of ben", ran_s=10),
                gpu=8,
                queued=[urgent(gpu=4)],
            ),
            {"of ann"},
            id="one that makes room in both rather than two",
        ),
    ],
)
def test_victims(snapshot: Snapshot, victims: set[str]) -> None:
    made = replayed_plan(snapshot)
    assert evicted(made) == dict.fromkeys(victims, "urgent")
    assert ("urgent" in started(made)) == bool(victims)
    assert all(start.proved for start in made.starts)


def test_the_reason_says_for_whose_quota() -> None:
    running = [anns(gpu=4, id="a", ran_s=100), bens(gpu=4, id="b", ran_s=10)]
    made = replayed_plan(full(*running, gpu=8, quota=6, queued=[urgent(gpu=6)]))
    details = {each.workload_id: each.reason.details for each in made.evictions}
    assert details["a"]["for_quota"] is True
    assert "for_quota" not in details["b"]


def test_the_next_best_victims_are_named() -> None:
    running = [anns(gpu=2, id="cheap", ran_s=1), anns(gpu=2, id="dear", ran_s=900)]
    [start] = replayed_plan(full(*running)).starts
    assert (start.victims, start.alternative) == (("cheap",), ("dear",))


def test_what_cannot_make_room_waits_for_its_quota_and_blocks_nothing() -> None:
    low = of("ben", job(gpu=1, id="low"))
    snapshot = full(anns(gpu=4, high=True), queued=[urgent(), low], queueing="strict")
    made = replayed_plan(snapshot)
    assert started(made) == ["low"]
    assert reason(made, snapshot.queued[0])[0] == "QUOTA_EXCEEDED"


def test_the_victim_of_one_node_makes_room_for_the_quota_and_the_start_goes_to_another() -> None:
    running = [anns(gpu=8, id="low", on="a"), bens(gpu=8, id="other", on="c", high=True)]
    base = rack(
        [node("a"), node("b", labels={"zone": "x"}), node("c")],
        running=running,
        queued=[urgent(gpu=8, selector={"zone": "x"})],
        preemption_within_quota="lower_priority",
    )
    made = replayed_plan(owned(base, ann=gpus(8)))
    assert evicted(made) == {"low": "urgent"}
    assert placed(made) == {"urgent": {"b": 1}}


def gang(**more: Any) -> Snapshot:
    """Two full nodes, and a gang of ann's that needs 4 GPUs on each."""
    running = [
        anns(gpu=4, id="ann on a", on="a", ran_s=500),
        anns(gpu=4, id="ann on b", on="b", ran_s=500),
        bens(gpu=4, id="ben on a", on="a", ran_s=100),
        bens(gpu=4, id="ben on b", on="b", ran_s=100),
    ]
    waiting = [urgent(gpu=4, replicas=2)]
    policy = {"preemption_within_quota": "lower_priority", **more}
    return rack([node("a"), node("b")], running=running, queued=waiting, **policy)


@pytest.mark.parametrize(
    ("quota", "anns_victims", "cost"), [(8, 2, 1120), (12, 1, 720), (16, 0, 320)]
)
def test_a_gang_makes_room_in_the_quota_and_on_its_nodes(
    quota: int, anns_victims: int, cost: int
) -> None:
    """A victim of ann's costs 560 s of a quarter of the cluster, one of ben's 160 s."""
    made = replayed_plan(owned(gang(), ann=gpus(quota)))
    assert sum(each.startswith("ann") for each in evicted(made)) == anns_victims
    assert sum(each.cost for each in made.evictions) == cost * 250_000 * 1000
    assert sum(placed(made)["urgent"].values()) == 2


def test_an_eviction_by_others_lets_it_look_again() -> None:
    """Ben's HIGH evicts more than it needs, and the rest is enough for ann's."""
    running = [bens(gpu=8, id="b", on="a"), anns(gpu=4, id="a", on="b"), bens(gpu=4, on="b")]
    mine = urgent(gpu=4, waited_s=10)
    other = of("ben", job(gpu=4, high=True, id="other"))
    base = rack(
        [node("a"), node("b", state="CORDONED")],
        running=[running[0], running[1], replace(running[2], priority="HIGH")],
        queued=[mine, other],
        ordering="fifo",
        preemption_within_quota="lower_priority",
    )
    made = replayed_plan(owned(base, ann=gpus(4)))
    assert set(started(made)) == {"urgent", "other"}
    assert set(evicted(made)) == {"a", "b"}


def test_an_explanation_names_its_owners_workloads() -> None:
    waiting = urgent()
    young = anns(gpu=4, ran_s=10)
    snapshot = full(young, queued=[waiting], preempt_exempt_s=60)
    question = WhatIf(snapshot, waiting)
    [spared] = question.spared(occupants(snapshot, waiting))
    assert (spared.cause, spared.until_ms) == ("EXEMPT", ends(50))
    found = question.earliest_start()
    assert found is not None
    assert (found.at_ms, [each.workload_id for each in found.evictions]) == (ends(50), [young.id])


def test_the_checker_refuses_victims_for_the_quota_where_the_policy_does_not_say_so() -> None:
    allowed = full(anns(gpu=4, id="low"))
    forbidden = replace(allowed, policy=replace(allowed.policy, preemption_within_quota="never"))
    made = replayed_plan(allowed)
    assert check(forbidden, made) == ["urgent preempts for room in the quota of ann"]


def test_the_checker_refuses_a_victim_of_another_owner_that_frees_nothing_needed() -> None:
    snapshot = full(anns(gpu=4, id="low"), bens(gpu=2, id="b"))
    made = replayed_plan(snapshot)
    [start], [eviction] = made.starts, made.evictions
    more = replace(
        made,
        starts=(Start("urgent", (Placement(None, 1),), (*start.victims, "b")),),
        evictions=(eviction, replace(eviction, workload_id="b")),
    )
    assert check(snapshot, more) == ["b was not needed by urgent"]


def test_a_policy_from_before_the_field_is_read_with_its_default() -> None:
    snapshot = full(anns(gpu=4), preemption_within_quota="never")
    encoded = encode_snapshot(snapshot)
    assert decode_snapshot(encoded) == snapshot
    assert (
        decode_snapshot(encoded).policy.preemption_within_quota == Policy().preemption_within_quota
    )


def test_the_victims_of_a_large_gang_are_not_added_up_for_each_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"n{number}" for number in range(100)]
    snapshot = rack(
        [node(name) for name in names],
        running=[anns(gpu=4, on=name) for name in names * 2],
        queued=[urgent(gpu=8, replicas=100)],
        preemption_within_quota="lower_priority",
        classes=CLASSES,
    )
    total = Mock(side_effect=within_quota._total)
    monkeypatch.setattr(within_quota, "_total", total)
    made = plan(owned(snapshot, ann=gpus(800)))
    assert len(evicted(made)) == 200
    assert total.call_count < 20 * 200
