"""Sweeps on random snapshots."""

from dataclasses import replace

from hypothesis import given, settings

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.tests.engine.plans import replayed_plan
from scheduler.tests.engine.strategies import with_sweeps


@given(with_sweeps())
@settings(max_examples=examples(500), deadline=None)
def test_no_plan_takes_a_sweep_over_its_limit_and_each_replays(snapshot: Snapshot) -> None:
    plan = replayed_plan(snapshot)
    sweeps = {each.id: each.sweep for each in snapshot.running}
    sweeps |= {each.id: each.sweep for each in snapshot.queued}
    for sweep in snapshot.sweeps:
        mine = [each for each in plan.starts if sweeps[each.workload_id] == sweep.id]
        gone = [each for each in plan.evictions if sweeps[each.workload_id] == sweep.id]
        assert not mine or sweep.allocated - len(gone) + len(mine) <= sweep.limit


@given(with_sweeps())
@settings(max_examples=examples(300), deadline=None)
def test_exactly_the_members_of_full_sweeps_wait_for_them(snapshot: Snapshot) -> None:
    plan = make_plan(replace(snapshot, state="ACTIVE"))
    usage = OwnerUsage(snapshot)
    running = {each.id: each for each in snapshot.running}
    for eviction in plan.evictions:
        usage.shrink(running[eviction.workload_id])
    queued = {each.id: each for each in snapshot.queued}
    for start in plan.starts:
        usage.grow(queued[start.workload_id])
    own = {wait.workload_id: wait.reason for wait in plan.waits if wait.workload_id}
    keys = {wait.scheduling_key: wait.reason for wait in plan.waits if not wait.workload_id}
    for workload in set(queued) - {start.workload_id for start in plan.starts}:
        reason = own.get(workload) or keys[queued[workload].scheduling_key]
        if reason.code != "EXCEEDS_CAPACITY":
            full = usage.sweeps.is_full(queued[workload])
            assert (reason.code == "SWEEP_LIMIT") == full


@given(with_sweeps())
@settings(max_examples=examples(300), deadline=None)
def test_members_of_a_sweep_that_is_full_for_good_change_nothing_for_others(
    snapshot: Snapshot,
) -> None:
    """Nothing of theirs runs, so no eviction makes room for them."""
    never = tuple(replace(each, limit=0) for each in snapshot.sweeps)
    running = tuple(replace(each, sweep="") for each in snapshot.running)
    closed = replace(snapshot, sweeps=never, running=running)
    others = tuple(each for each in closed.queued if not each.sweep)
    first, second = make_plan(closed), make_plan(replace(closed, queued=others))
    assert (first.starts, first.evictions) == (second.starts, second.evictions)
    assert first.reserved_for == second.reserved_for


@given(with_sweeps())
@settings(max_examples=examples(200), deadline=None)
def test_limits_that_no_sweep_reaches_change_nothing(snapshot: Snapshot) -> None:
    high = tuple(replace(each, limit=1000) for each in snapshot.sweeps)
    assert make_plan(replace(snapshot, sweeps=high)) == make_plan(replace(snapshot, sweeps=()))
