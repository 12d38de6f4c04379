"""Plans for the engine's tests: made, checked against the invariants, and read."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.codec import decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.invariants import check
from scheduler.engine.reservations.history import history_after
from scheduler.engine.resources import Resources, add_up
from scheduler.engine.snapshot import Running, Workload

FreeAmounts = dict[str | None, Resources]  # by node; None: the pool


def plan(snapshot: Snapshot) -> Plan:
    """The planner's plan, which keeps every invariant."""
    made = make_plan(snapshot)
    assert check(snapshot, made) == []
    return made


def replayed_plan(snapshot: Snapshot) -> Plan:
    """The same, and the recorded snapshot gives the same plan again."""
    made = plan(snapshot)
    copied = decode_snapshot(encode_snapshot(snapshot))
    assert copied == snapshot
    assert encode_plan(make_plan(copied)) == encode_plan(made)
    return made


# --- Reading a plan -------------------------------------------------------------------------------


def started(made: Plan) -> list[str]:
    """The ids of the workloads that start, in the plan's order."""
    return [start.workload_id for start in made.starts]


def placed(made: Plan) -> dict[str, dict[str | None, int]]:
    """By workload that starts: the number of its replicas by node."""
    return {
        start.workload_id: {each.node_id: each.replicas for each in start.placement}
        for start in made.starts
    }


def evicted(made: Plan) -> dict[str, str | None]:
    """By evicted workload: its preemptor, or None if it is drained."""
    return {eviction.workload_id: eviction.by for eviction in made.evictions}


def evicted_ids(made: Plan) -> set[str]:
    return set(evicted(made))


def reason(made: Plan, workload: Workload) -> tuple[str, dict[str, Any]]:
    """The code and the details of a workload's wait: its own, else those of its scheduling key."""
    waits = {wait.workload_id or wait.scheduling_key: wait.reason for wait in made.waits}
    found = waits.get(workload.id) or waits[workload.scheduling_key]
    return found.code.value, found.details


def carried_out(snapshot: Snapshot, made: Plan) -> Snapshot:
    """The same moment once the plan has been carried out, without the evicted workloads."""
    queued = {each.id: each for each in snapshot.queued}
    gone, starts = evicted_ids(made), {each.workload_id: each for each in made.starts}
    started_now = tuple(
        Running(
            id=id_,
            priority=queued[id_].priority,
            request=start.given or queued[id_].request,
            replicas=queued[id_].replicas,
            placement=start.placement,
            started_ms=None,
            checkpoint_ms=None,
            preemptions=0,
            ends_ms=None
            if (limit := queued[id_].limit_s) is None
            else snapshot.now_ms + limit * 1000,
            owner=queued[id_].owner,
            endless=queued[id_].endless,
            admitted_ms=snapshot.now_ms,
        )
        for id_, start in starts.items()
    )
    left = tuple(each for each in snapshot.running if each.id not in gone)
    free, allocated = free_after(snapshot, made), dict(snapshot.allocated_by_owner)
    for sign, moved in ((-1, [e for e in snapshot.running if e.id in gone]), (1, started_now)):
        for each in moved:
            amount = allocated.get(each.owner, Resources()).plus(each.total.times(sign))
            allocated[each.owner] = amount
    in_use = [node.capacity.minus(free[node.id]) for node in snapshot.nodes]
    return replace(
        snapshot,
        running=(*left, *started_now),
        queued=tuple(each for each in snapshot.queued if each.id not in starts),
        nodes=tuple(
            replace(node, allocated=amount)
            for node, amount in zip(snapshot.nodes, in_use, strict=True)
        ),
        allocated=add_up(in_use) if snapshot.nodes else snapshot.total.minus(free[None]),
        allocated_by_owner=tuple(sorted(allocated.items())) if snapshot.by_owner else (),
        reservation_history=history_after(snapshot, made),
    )


# --- Free amounts ---------------------------------------------------------------------------------


def free_amounts(snapshot: Snapshot) -> FreeAmounts:
    by_node: FreeAmounts = {node.id: node.capacity.minus(node.allocated) for node in snapshot.nodes}
    return by_node or {None: snapshot.total.minus(snapshot.allocated)}


def release(free: FreeAmounts, running: Running) -> None:
    """Add the allocation of a workload that leaves to the free amounts of these nodes."""
    for each in running.placement:
        if each.node_id in free:
            free[each.node_id] = free[each.node_id].plus(running.request.times(each.replicas))


def free_after(snapshot: Snapshot, made: Plan) -> FreeAmounts:
    """The free amounts after all evictions and starts of a plan."""
    free = free_amounts(snapshot)
    running = {each.id: each for each in snapshot.running}
    queued = {each.id: each for each in snapshot.queued}
    for eviction in made.evictions:
        release(free, running[eviction.workload_id])
    for start in made.starts:
        request = start.given or queued[start.workload_id].request
        for each in start.placement:
            free[each.node_id] = free[each.node_id].minus(request.times(each.replicas))
    return free


def fitting(free: Iterable[Resources], workload: Workload) -> int:
    """The number of the workload's replicas that fit in these free amounts."""
    return sum(workload.request.count_in(each) for each in free)
