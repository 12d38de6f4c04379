"""What holds for every snapshot, whatever is in it."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.codec import decode_plan, decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.invariants import check
from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import Policy, PriorityClass, Running, Workload
from scheduler.tests.engine.build import HIGH, LOW, NOW, job, node, pool, rack, run

MID = PriorityClass("MID", 500, may_preempt=True, preemptible=True)
IDLE = PriorityClass("IDLE", -10, may_preempt=False, preemptible=True)
FIRM = PriorityClass("FIRM", 700, may_preempt=False, preemptible=False)
CLASSES = (LOW, HIGH, MID, IDLE, FIRM)
NAMES = [priority.name for priority in CLASSES]

amounts: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"gpu": st.integers(0, 4), "cpu": st.integers(1, 8), "ram": st.integers(1, 8)}
)


@st.composite
def running_on(draw: st.DrawFn, nodes: list[str | None]) -> Running:
    where = draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=2, unique=True))
    limit = draw(st.none() | st.integers(-100, 5000))
    return run(
        endless=limit is None and draw(st.booleans()),
        **draw(amounts),
        priority=draw(st.sampled_from(NAMES)),
        ran_s=draw(st.none() | st.integers(0, 10_000)),
        preemptions=draw(st.integers(0, 6)),
        on={each: draw(st.integers(1, 2)) for each in where},
        ends_ms=None if limit is None else NOW + limit * 1000,
    )


@st.composite
def snapshots(draw: st.DrawFn, max_running: int = 8, max_queued: int = 10) -> Snapshot:
    """Pools and racks of any fullness, five priority classes, every policy."""
    names = draw(st.sampled_from([[], [], ["a"], ["a", "b"], ["a", "b", "c", "d"]]))
    bins: list[str | None] = [*names] or [None]
    running = [draw(running_on(bins)) for _ in range(draw(st.integers(0, max_running)))]
    queued = [
        job(
            **draw(amounts),
            priority=draw(st.sampled_from(NAMES)),
            waited_s=draw(st.integers(0, 10_000)),
            replicas=draw(st.integers(1, 3)),
            limit_s=draw(st.none() | st.integers(1, 5000)),
            endless=draw(st.booleans()),
            selector=draw(st.sampled_from([{}, {}, {}, {"zone": "x"}])),
        )
        for _ in range(draw(st.integers(0, max_queued)))
    ]
    if not names:
        queued = [replace(each, selector=()) for each in queued]
    policy = Policy(
        queueing=draw(st.sampled_from(["best_effort", "strict", "easy_backfill"])),
        ordering=draw(st.sampled_from(["gpu_weighted", "fifo"])),
        preemption=draw(st.sampled_from(["lower_priority", "lower_priority", "never"])),
        placement=draw(st.sampled_from(["binpack", "spread"])),
        preempt_exempt_s=draw(st.sampled_from([0, 300])),
        reserve_after_s=draw(st.sampled_from([0, 3600, 10**6])),
        max_preemptions=draw(st.sampled_from([0, 3, 5])),
    )
    more: dict[str, Any] = {
        "state": draw(st.sampled_from(["ACTIVE"] * 6 + ["PAUSED", "DRAINING"])),
        "max_starts": draw(st.sampled_from([1, 3, 1000])),
    }
    spare = st.builds(
        Resources,
        st.integers(0, 8).map(lambda n: n * 1000),
        st.integers(0, 8).map(lambda n: n * 1024),
        st.integers(0, 4),
    )
    if not names:
        base = pool(running=running, queued=queued, classes=CLASSES, **more)
        return replace(base, policy=policy, total=base.allocated.plus(draw(spare)))
    empty = [
        node(
            name,
            labels=draw(st.sampled_from([{}, {"zone": "x"}])),
            state=draw(st.sampled_from(["READY"] * 5 + ["CORDONED", "DRAINING", "NOT_READY"])),
        )
        for name in names
    ]
    base = rack(empty, running=running, queued=queued, classes=CLASSES, **more)
    nodes = tuple(replace(each, capacity=each.allocated.plus(draw(spare))) for each in base.nodes)
    total = ZERO
    for each in nodes:
        total = total.plus(each.capacity)
    return replace(base, policy=policy, nodes=nodes, total=total)


@given(snapshots())
@settings(max_examples=600, deadline=None)
def test_every_plan_passes_the_checker(snapshot: Snapshot) -> None:
    assert check(snapshot, make_plan(snapshot)) == []


@given(snapshots())
@settings(max_examples=200, deadline=None)
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
@settings(max_examples=400, deadline=None)
def test_whoever_waits_could_not_have_started(snapshot: Snapshot) -> None:
    """Work conservation: what fits and yet waits is held back, or stands behind a head."""
    snapshot = replace(snapshot, max_starts=1000, state="ACTIVE")
    plan = make_plan(snapshot)
    rooms = rooms_after(snapshot, plan)
    started = {start.workload_id for start in plan.starts}
    own = {wait.workload_id: wait.reason.code for wait in plan.waits if wait.workload_id}
    by_key = {wait.scheduling_key: wait.reason.code for wait in plan.waits if not wait.workload_id}
    open_nodes = {n.id: set(n.labels) for n in snapshot.nodes if n.state == "READY"}
    for workload in snapshot.queued:
        counts = [
            workload.request.count_in(room)
            for at, room in rooms.items()
            if at is None or (at in open_nodes and set(workload.selector) <= open_nodes[at])
        ]
        if workload.id not in started and sum(counts) >= workload.replicas:
            code = own.get(workload.id) or by_key[workload.scheduling_key]
            assert code in ("BLOCKED_BY_HEAD", "RESERVED_FOR_HEAD")


def rooms_after(snapshot: Snapshot, plan: Plan) -> dict[str | None, Resources]:
    """What is free where once the plan is done."""
    rooms: dict[str | None, Resources] = {
        node.id: node.capacity.minus(node.allocated) for node in snapshot.nodes
    } or {None: snapshot.total.minus(snapshot.allocated)}
    running = {each.id: each for each in snapshot.running}
    queued = {each.id: each for each in snapshot.queued}
    for eviction in plan.evictions:
        victim = running[eviction.workload_id]
        for place in victim.placement:
            rooms[place.node_id] = rooms[place.node_id].plus(victim.request.times(place.replicas))
    for start in plan.starts:
        request = queued[start.workload_id].request
        for place in start.placement:
            rooms[place.node_id] = rooms[place.node_id].minus(request.times(place.replicas))
    return rooms


@given(snapshots())
@settings(max_examples=600, deadline=None)
def test_capacity_is_held_for_the_first_who_could_start_beside_the_services(
    snapshot: Snapshot,
) -> None:
    """Of those that have waited too long, by class and by how long they have."""
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
    assert plan.reserved_for == first


def could_start(snapshot: Snapshot, gone: set[str], workload: Workload) -> bool:
    """Bin by bin, if everybody left but the services that it can never evict."""
    classes = {each.name: each for each in snapshot.classes}
    mine = classes[workload.priority]
    rooms: dict[str | None, Resources] = {
        node.id: node.capacity
        for node in snapshot.nodes
        if node.state == "READY" and set(workload.selector) <= set(node.labels)
    }
    if not snapshot.nodes:
        rooms[None] = snapshot.total
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
            for place in running.placement:
                if place.node_id in rooms:
                    amount = running.request.times(place.replicas)
                    rooms[place.node_id] = rooms[place.node_id].minus(amount)
    count = sum(workload.request.count_in(room) for room in rooms.values())
    return count >= workload.replicas
