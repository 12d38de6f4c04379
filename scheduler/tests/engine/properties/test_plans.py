"""Properties of the plan of any snapshot."""

from dataclasses import replace

from hypothesis import given, settings

from mlops_platform.tests.equipment.examples import examples
from scheduler.engine import Snapshot, make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.invariants import check
from scheduler.engine.snapshot import Workload
from scheduler.tests.engine.build import NOW
from scheduler.tests.engine.plans import (
    FreeAmounts,
    carried_out,
    evicted_ids,
    fitting,
    free_after,
    started,
)
from scheduler.tests.engine.strategies import snapshots, with_quotas


@given(snapshots())
@settings(max_examples=examples(600), deadline=None)
def test_every_plan_keeps_the_invariants(snapshot: Snapshot) -> None:
    assert check(snapshot, make_plan(snapshot)) == []


@given(snapshots())
@settings(max_examples=examples(200), deadline=None)
def test_the_same_snapshot_gives_the_same_bytes(snapshot: Snapshot) -> None:
    shuffled = replace(snapshot, queued=snapshot.queued[::-1], running=snapshot.running[::-1])
    copied = decode_snapshot(encode_snapshot(snapshot))
    first = encode_plan(make_plan(snapshot))
    assert copied == snapshot
    assert encode_plan(make_plan(copied)) == first
    assert decode_plan(first) == make_plan(snapshot)
    assert {s.workload_id for s in make_plan(shuffled).starts} == {
        s.workload_id for s in make_plan(snapshot).starts
    }


@given(snapshots())
@settings(max_examples=examples(400), deadline=None)
def test_a_waiting_workload_could_not_have_started(snapshot: Snapshot) -> None:
    """Work conservation: a workload that fits waits only for a reservation or behind a head."""
    snapshot = replace(snapshot, max_starts=1000, state="ACTIVE")
    plan = make_plan(snapshot)
    free = free_after(snapshot, plan)
    started = {start.workload_id for start in plan.starts}
    own = {wait.workload_id: wait.reason.code for wait in plan.waits if wait.workload_id}
    by_key = {wait.scheduling_key: wait.reason.code for wait in plan.waits if not wait.workload_id}
    open_nodes = {n.id: set(n.labels) for n in snapshot.nodes if n.state == "READY"}
    for workload in snapshot.queued:
        usable = [
            amount
            for at, amount in free.items()
            if at is None or (at in open_nodes and set(workload.selector) <= open_nodes[at])
        ]
        if workload.id not in started and fitting(usable, workload) >= workload.replicas:
            code = own.get(workload.id) or by_key[workload.scheduling_key]
            assert code in ("BLOCKED_BY_HEAD", "RESERVED_FOR_HEAD")


@given(snapshots(max_queued=14) | with_quotas())
@settings(max_examples=examples(1500), deadline=None)
def test_what_one_cycle_refuses_another_at_the_same_moment_does_not_start(
    snapshot: Snapshot,
) -> None:
    """Otherwise its reason would be wrong, and a quote would say that it waits. The other one may
    only evict what the first has started: of an owner's quota that came free after its turn."""
    snapshot = replace(snapshot, state="ACTIVE")
    plan = make_plan(snapshot)
    another = make_plan(carried_out(snapshot, plan))
    if not plan.unfinished and not evicted_ids(another) & {*started(plan)}:
        assert started(another) == []


@given(snapshots())
@settings(max_examples=examples(600), deadline=None)
def test_capacity_is_reserved_for_the_first_starved_workload_that_fits_beside_services(
    snapshot: Snapshot,
) -> None:
    """The first by priority class, then by waiting time."""
    policy = replace(snapshot.policy, queueing="best_effort", reserve_after_s=3600)
    snapshot = replace(snapshot, policy=policy, state="ACTIVE", max_starts=1000)
    plan = make_plan(snapshot)
    values = {each.name: each.value for each in snapshot.classes}
    started = {start.workload_id for start in plan.starts}
    late = [
        each
        for each in snapshot.queued
        if each.queued_ms <= NOW - 3_600_000 and each.id not in started
    ]
    late.sort(key=lambda each: (-values[each.priority], each.queued_ms, each.id))
    gone = {eviction.workload_id for eviction in plan.evictions}
    first = next((each.id for each in late if could_start(snapshot, gone, each)), None)
    assert plan.reserved_for[:1] == (() if first is None else (first,))


def could_start(snapshot: Snapshot, gone: set[str], workload: Workload) -> bool:
    """Whether the workload would fit if only the services ran that it can never evict."""
    classes = {each.name: each for each in snapshot.classes}
    mine = classes[workload.priority]
    free: FreeAmounts = {
        node.id: node.capacity
        for node in snapshot.nodes
        if node.state == "READY" and set(workload.selector) <= set(node.labels)
    }
    if not snapshot.nodes:
        free[None] = snapshot.total
    for running in snapshot.running:
        its = classes[running.priority]
        evictable = (
            snapshot.policy.preemption == "lower_priority"
            and mine.may_preempt
            and its.preemptible
            and its.value < mine.value
            and running.preemptions < snapshot.policy.max_preemptions
        )
        if running.endless and running.id not in gone and not evictable:
            for placement in running.placement:
                if placement.node_id in free:
                    amount = running.request.times(placement.replicas)
                    free[placement.node_id] = free[placement.node_id].minus(amount)
    return fitting(free.values(), workload) >= workload.replicas
