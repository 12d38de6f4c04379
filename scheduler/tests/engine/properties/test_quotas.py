"""Quotas on random snapshots."""

from dataclasses import replace

from hypothesis import given, settings

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.queue.fair_share import NO_LIMIT, OwnerUsage
from scheduler.engine.snapshot import DEFAULT_QUOTA
from scheduler.tests.engine.plans import replayed_plan
from scheduler.tests.engine.strategies import with_quotas

NEVER = ("EXCEEDS_CAPACITY", "NO_MATCHING_NODE", "NO_CAPACITY_YET")


@given(with_quotas())
@settings(max_examples=examples(500), deadline=None)
def test_every_plan_keeps_the_invariants_and_replays(snapshot: Snapshot) -> None:
    replayed_plan(snapshot)


@given(with_quotas())
@settings(max_examples=examples(300), deadline=None)
def test_exactly_the_workloads_over_their_quota_wait_for_it(snapshot: Snapshot) -> None:
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
        if reason.code not in NEVER:
            assert (reason.code == "QUOTA_EXCEEDED") == usage.over(queued[workload])


@given(with_quotas())
@settings(max_examples=examples(300), deadline=None)
def test_a_workload_larger_than_its_owners_quota_changes_nothing_for_others(
    snapshot: Snapshot,
) -> None:
    limits = dict(snapshot.quotas)
    limit = limits.get(DEFAULT_QUOTA, NO_LIMIT)
    allowed = tuple(
        each for each in snapshot.queued if each.total.fits_in(limits.get(each.owner, limit))
    )
    first, second = make_plan(snapshot), make_plan(replace(snapshot, queued=allowed))
    assert (first.starts, first.evictions) == (second.starts, second.evictions)


@given(with_quotas())
@settings(max_examples=examples(200), deadline=None)
def test_quotas_without_limits_change_nothing(snapshot: Snapshot) -> None:
    endless = replace(snapshot, quotas=((DEFAULT_QUOTA, NO_LIMIT),))
    assert make_plan(endless) == make_plan(replace(snapshot, quotas=()))
