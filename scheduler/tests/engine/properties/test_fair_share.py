"""fair_share on random snapshots."""

from dataclasses import replace

from hypothesis import given, settings

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.codec import decode_snapshot, encode_snapshot
from scheduler.engine.queue.order import order_key
from scheduler.engine.queue.waiting_queue import WaitingQueue
from scheduler.engine.state import CycleState
from scheduler.simulator.kept_queue import KeptQueue
from scheduler.tests.engine.plans import replayed_plan
from scheduler.tests.engine.strategies import with_shares

NEVER = ("EXCEEDS_CAPACITY", "NO_MATCHING_NODE", "NO_CAPACITY_YET")


@given(with_shares())
@settings(max_examples=examples(300), deadline=None)
def test_every_plan_keeps_the_invariants_and_replays(snapshot: Snapshot) -> None:
    plan = replayed_plan(snapshot)
    shuffled = replace(
        snapshot,
        queued=snapshot.queued[::-1],
        running=snapshot.running[::-1],
        allocated_by_owner=snapshot.allocated_by_owner[::-1],
    )
    assert make_plan(shuffled).starts == plan.starts


@given(with_shares())
@settings(max_examples=examples(300), deadline=None)
def test_the_iterator_yields_the_workload_of_the_owner_with_the_smallest_share_at_that_moment(
    snapshot: Snapshot,
) -> None:
    """Compared with a search through all waiting workloads each time. Without evictions, as after
    an eviction refused workloads may come again."""
    policy = replace(snapshot.policy, preemption="never", queueing="best_effort")
    policy = replace(policy, reserve_after_s=10**6)
    snapshot = replace(snapshot, policy=policy, state="ACTIVE")
    plan = make_plan(snapshot)
    never = {wait.scheduling_key for wait in plan.waits if wait.reason.code in NEVER}
    waiting = [each for each in snapshot.queued if each.scheduling_key not in never]
    state = CycleState(ClusterView(snapshot), WaitingQueue(snapshot, waiting))
    while waiting and len(state.starts) < snapshot.max_starts:
        first = min(waiting, key=order_key(snapshot, state.usage))
        waiting.remove(first)
        if not state.admit(first):
            waiting = [each for each in waiting if each.scheduling_key != first.scheduling_key]
    assert tuple(state.starts) == plan.starts


@given(with_shares())
@settings(max_examples=examples(100), deadline=None)
def test_a_kept_queue_gives_the_same_plan(snapshot: Snapshot) -> None:
    """The kept queue has no shares; each iterator gets them."""
    snapshot = replace(snapshot, state="ACTIVE")
    plan = make_plan(snapshot)
    never = {wait.scheduling_key for wait in plan.waits if wait.reason.code in NEVER}
    queue = KeptQueue(replace(snapshot, queued=(), allocated_by_owner=()))
    for each in snapshot.queued:
        if each.scheduling_key not in never:
            queue.enter(each)
    assert make_plan(snapshot, queue, with_waits=False) == replace(plan, waits=())


@given(with_shares())
@settings(max_examples=examples(50), deadline=None)
def test_a_snapshot_without_owners_is_recorded_without_owners(snapshot: Snapshot) -> None:
    """So rows recorded before there were owners keep the same bytes."""
    plain = replace(
        snapshot,
        policy=replace(snapshot.policy, ordering="fifo"),
        running=tuple(replace(each, owner="") for each in snapshot.running),
        queued=tuple(replace(each, owner="") for each in snapshot.queued),
        allocated_by_owner=(),
    )
    assert decode_snapshot(encode_snapshot(plain)) == plain
