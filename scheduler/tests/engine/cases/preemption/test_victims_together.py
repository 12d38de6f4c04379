"""Preemptors of one class choose their victims together."""

import pytest

from scheduler.engine import Snapshot
from scheduler.engine.budget import Budget
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.preemption.assignment import Assignment
from scheduler.engine.preemption.candidates import Candidates, candidates_of
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Running
from scheduler.tests.engine.build import MID, NOW, job, node, pool, rack, run
from scheduler.tests.engine.crowds import CLASSES
from scheduler.tests.engine.plans import evicted, plan, replayed_plan, started

ONE_LARGE = {"large"}


def small_and_large(first: str | None, second: str | None) -> list[Running]:
    """Eight LOW of 1 GPU, and one of 8 that costs more than any of them and less than all."""
    small = [run(1, cpu=1, on=first, ran_s=340) for _ in range(8)]
    return [*small, run(8, cpu=8, on=second, ran_s=10, id="large")]


SHAPES = {
    "a pool": lambda **more: pool(gpu=16, running=small_and_large(None, None), **more),
    "one node": lambda **more: rack([node("a", gpu=16)], running=small_and_large("a", "a"), **more),
    "two nodes": lambda **more: rack(
        [node("a"), node("b")], running=small_and_large("a", "b"), **more
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_eight_small_preemptors_evict_one_large_workload(shape: str) -> None:
    snapshot = SHAPES[shape](queued=[job(1, high=True) for _ in range(8)])
    made = replayed_plan(snapshot)
    assert len(started(made)) == 8
    assert set(evicted(made)) == ONE_LARGE
    assert [start.jointly for start in made.starts if start.victims] == [True]


@pytest.mark.parametrize("shape", SHAPES)
def test_eight_preemptors_that_differ_do_so_too(shape: str) -> None:
    snapshot = SHAPES[shape](queued=[job(1, cpu=1 + n, high=True) for n in range(8)])
    made = replayed_plan(snapshot)
    assert len(started(made)) == 8
    assert set(evicted(made)) == ONE_LARGE


@pytest.mark.parametrize("shape", SHAPES)
def test_one_preemptor_alone_evicts_a_small_one(shape: str) -> None:
    made = plan(SHAPES[shape](queued=[job(1, high=True)]))
    assert "large" not in evicted(made)
    assert [start.jointly for start in made.starts] == [False]


def test_gangs_and_single_workloads_share_a_victim() -> None:
    waiting = [job(1, high=True, replicas=4), job(1, high=True), job(1, high=True, replicas=3)]
    made = plan(SHAPES["two nodes"](queued=waiting))
    assert set(evicted(made)) == ONE_LARGE


def test_several_classes_are_looked_at_one_after_the_other() -> None:
    waiting = [job(1, priority=name) for name in ["HIGH"] * 4 + ["MID"] * 4]
    made = plan(SHAPES["a pool"](queued=waiting, classes=CLASSES))
    assert MID.may_preempt
    assert len(started(made)) == 8
    first = {id_ for id_, by in evicted(made).items() if by in {w.id for w in waiting[:4]}}
    assert first == ONE_LARGE


def test_a_victim_that_is_exempt_from_one_of_them_is_left_alone() -> None:
    waiting = [job(1, high=True, waited_s=1000), *(job(1, high=True) for _ in range(7))]
    snapshot = SHAPES["a pool"](queued=waiting, preempt_exempt_s=300)
    assert "large" not in evicted(plan(snapshot))


def without_steps() -> Snapshot:
    return SHAPES["a pool"](queued=[job(1, high=True) for _ in range(8)], now_ms=NOW)


def test_without_steps_left_there_is_no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Budget, "exact", 100)
    made = plan(without_steps())
    assert len(started(made)) == 8
    assert not any(start.jointly for start in made.starts)


def test_each_look_at_a_replica_counts_as_work() -> None:
    """Also where all victims are known already: a plan of many preemptors would else exceed its
    steps unnoticed."""
    names = [f"n{number}" for number in range(8)]
    running = [run(gpu=1, cpu=number + 1, on=name, ran_s=60) for name in names for number in (1, 2)]
    snapshot = rack([node(name, gpu=2, cpu=5) for name in names], running=running)
    capacity = Capacity(snapshot)
    classes = {each.name: each for each in snapshot.classes}
    candidates = Candidates(capacity, candidates_of(snapshot, capacity, classes))
    every = frozenset(range(len(names)))
    items = [(Resources(100, 0, 0), every, at) for at in range(len(names))] * 10
    assignment = Assignment(items, 1000, capacity, candidates)
    assignment.improve()
    spent = capacity.budget.spent
    assignment.improve()
    assert capacity.budget.spent - spent >= len(items) * len(names)
