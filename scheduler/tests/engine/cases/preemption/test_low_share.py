"""The share of the cluster that preemption leaves to the classes that preempt nothing."""

from typing import Any

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.codec import canonical, encode_snapshot
from scheduler.engine.resources import ENDLESS, Resources
from scheduler.engine.snapshot import Running
from scheduler.engine.whatif import WhatIf, occupants
from scheduler.tests.engine.build import (
    HIGH,
    LOW,
    MID,
    allocated_by,
    job,
    node,
    of,
    owned,
    pool,
    rack,
    run,
)
from scheduler.tests.engine.plans import evicted_ids, replayed_plan


def low(id_: str, gpu: int, ran_s: int = 100, **more: Any) -> Running:
    return run(gpu=gpu, id=id_, ran_s=ran_s, **more)


def full(*running: Running, gpu: int, percent: int, **more: Any) -> Snapshot:
    """A full pool, and a HIGH that asks for so many GPUs."""
    total = sum(each.total.gpu for each in running)
    waiting = job(gpu=gpu, high=True)
    return pool(total, running=list(running), queued=[waiting], low_share_percent=percent, **more)


FOUR = [low("a", 2, 10), low("b", 2, 20), low("c", 2, 30), low("d", 2, 40)]


@pytest.mark.parametrize(
    ("gpu", "percent", "victims"),
    [
        pytest.param(4, 0, {"a", "b"}, id="no share, as ever"),
        pytest.param(4, 50, {"a", "b"}, id="just the share is left"),
        pytest.param(4, 51, set(), id="a share is rounded up"),
        pytest.param(6, 50, set(), id="less than the share would be left"),
        pytest.param(6, 25, {"a", "b", "c"}, id="a quarter is left"),
        pytest.param(2, 100, set(), id="nothing may be taken"),
    ],
)
def test_no_preemption_takes_low_below_its_share(gpu: int, percent: int, victims: set[str]) -> None:
    assert evicted_ids(replayed_plan(full(*FOUR, gpu=gpu, percent=percent))) == victims


def test_dearer_victims_that_keep_the_share_are_taken() -> None:
    """The cheapest one frees more than may be taken; two dearer ones do not."""
    running = [low("cheap", 5, 1), low("x", 2, 1000), low("y", 1, 1000)]
    [start] = (made := replayed_plan(full(*running, gpu=3, percent=50))).starts
    assert evicted_ids(made) == {"x", "y"}
    assert start.proved


def test_a_higher_class_yields_where_the_lower_one_may_not() -> None:
    running = [*FOUR, low("mid", 4, 10_000, priority="MID")]
    for percent, victims in ((0, {"a", "b"}), (60, {"mid"})):
        snapshot = full(*running, gpu=4, percent=percent, classes=(LOW, MID, HIGH))
        assert evicted_ids(replayed_plan(snapshot)) == victims


def test_several_preemptors_together_keep_it() -> None:
    queued = [job(gpu=2, high=True, id=f"high {n}") for n in range(4)]
    made = replayed_plan(pool(running=FOUR, queued=queued, low_share_percent=50))
    assert evicted_ids(made) == {"a", "b"}


def test_only_what_the_preemptor_lacks_counts() -> None:
    """LOW has less than its share of the CPU, of which enough is free."""
    running = [run(gpu=4, cpu=1, id="a"), run(gpu=4, cpu=1, id="b")]
    waiting = job(gpu=4, cpu=2, high=True)
    made = replayed_plan(pool(running=running, queued=[waiting], low_share_percent=50))
    assert len(evicted_ids(made)) == 1


def test_on_nodes_and_for_a_gang() -> None:
    nodes = [node(name) for name in ("a", "b", "c", "d")]
    running = [low(f"on {each.name}", 8, on=each.name) for each in nodes]
    for replicas, percent, victims in ((2, 50, 2), (3, 50, 0), (3, 25, 3), (1, 76, 0), (1, 75, 1)):
        gang = job(gpu=8, high=True, replicas=replicas)
        made = replayed_plan(rack(nodes, running=running, queued=[gang], low_share_percent=percent))
        assert len(evicted_ids(made)) == victims


def test_for_room_in_a_quota_too() -> None:
    own = [allocated_by("ann", low("a", 4)), allocated_by("ann", low("b", 4))]
    for percent, victims in ((25, 1), (26, 0)):
        base = pool(
            gpu=16,
            running=own,
            queued=[of("ann", job(gpu=4, high=True))],
            preemption_within_quota="lower_priority",
            low_share_percent=percent,
        )
        made = replayed_plan(owned(base, ann=Resources(ENDLESS, ENDLESS, 8)))
        assert len(evicted_ids(made)) == victims


def test_its_explanation_names_the_share() -> None:
    snapshot = full(*FOUR, gpu=6, percent=50)
    [high] = snapshot.queued
    [spared] = WhatIf(snapshot, high).spared(occupants(snapshot, high))
    assert (spared.cause.value, spared.count, spared.until_ms) == ("LOW_SHARE", 4, None)


def test_a_snapshot_from_before_the_share_is_written_as_then() -> None:
    snapshot = full(*FOUR, gpu=2, percent=0)
    assert b'"lower_priority","binpack",0,3600,5]' in canonical(encode_snapshot(snapshot))
