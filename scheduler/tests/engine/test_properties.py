"""What holds for every snapshot, whatever is in it."""

from dataclasses import replace
from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.engine import Plan, Snapshot, make_plan
from scheduler.engine.check import check
from scheduler.engine.codec import decode_plan, decode_snapshot, encode_plan, encode_snapshot
from scheduler.engine.resources import NOTHING, Resources
from scheduler.engine.snapshot import Policy, PriorityClass, Running
from scheduler.engine.victims import Roster, cost, may_be_evicted
from scheduler.tests.engine.build import HIGH, LOW, NOW, job, pool, run

MID = PriorityClass("MID", 500, may_preempt=True, preemptible=True)
IDLE = PriorityClass("IDLE", -10, may_preempt=False, preemptible=True)
FIRM = PriorityClass("FIRM", 700, may_preempt=False, preemptible=False)
CLASSES = (LOW, HIGH, MID, IDLE, FIRM)
NAMES = [priority.name for priority in CLASSES]

amounts: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"gpu": st.integers(0, 4), "cpu": st.integers(1, 8), "ram": st.integers(1, 8)}
)


@st.composite
def snapshots(draw: st.DrawFn, max_running: int = 8, max_queued: int = 10) -> Snapshot:
    """Pools of any fullness, five priority classes, every policy."""
    running = [
        run(
            **draw(amounts),
            priority=draw(st.sampled_from(NAMES)),
            ran_s=draw(st.none() | st.integers(0, 10_000)),
            preemptions=draw(st.integers(0, 6)),
            replicas=draw(st.integers(1, 2)),
        )
        for _ in range(draw(st.integers(0, max_running)))
    ]
    queued = [
        job(
            **draw(amounts),
            priority=draw(st.sampled_from(NAMES)),
            waited_s=draw(st.integers(0, 10_000)),
            replicas=draw(st.integers(1, 3)),
        )
        for _ in range(draw(st.integers(0, max_queued)))
    ]
    base = pool(running=running, queued=queued, classes=CLASSES)
    spare = Resources(
        draw(st.integers(0, 8)) * 1000, draw(st.integers(0, 8)) * 1024, draw(st.integers(0, 4))
    )
    policy = Policy(
        queueing=draw(st.sampled_from(["best_effort", "strict"])),
        ordering=draw(st.sampled_from(["gpu_weighted", "fifo"])),
        preemption=draw(st.sampled_from(["lower_priority", "never"])),
        preempt_exempt_s=draw(st.sampled_from([0, 300])),
        reserve_after_s=draw(st.sampled_from([0, 3600, 10**6])),
        max_preemptions=draw(st.sampled_from([0, 3, 5])),
    )
    return replace(
        base,
        policy=policy,
        total=base.allocated.plus(spare),
        state=draw(st.sampled_from(["ACTIVE"] * 6 + ["PAUSED", "DRAINING"])),
        max_starts=draw(st.sampled_from([1, 3, 1000])),
    )


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
@settings(max_examples=300, deadline=None)
def test_whoever_waits_could_not_have_started(snapshot: Snapshot) -> None:
    """Work conservation: what fits and yet waits is held back, or stands behind a head."""
    snapshot = replace(snapshot, max_starts=1000, state="ACTIVE")
    plan = make_plan(snapshot)
    free = _free_after(snapshot, plan)
    started = {start.workload_id for start in plan.starts}
    own = {wait.workload_id: wait.reason.code for wait in plan.waits if wait.workload_id}
    by_key = {wait.scheduling_key: wait.reason.code for wait in plan.waits if not wait.workload_id}
    for workload in snapshot.queued:
        if workload.id not in started and workload.total.fits_in(free):
            code = own.get(workload.id) or by_key[workload.scheduling_key]
            assert code in ("BLOCKED_BY_HEAD", "RESERVED_FOR_HEAD")


@given(snapshots(max_queued=0), amounts)
@settings(max_examples=500, deadline=None)
def test_victims_cost_the_least(snapshot: Snapshot, need: dict[str, Any]) -> None:
    """Compared with every subset: the highest class's cost, then the next one's, then how many."""
    snapshot = replace(snapshot, policy=Policy(max_preemptions=5))
    short = job(**need).total
    roster = Roster(snapshot)
    taken = roster.take_cheapest(short, below=HIGH.value)
    classes = {priority.name: priority for priority in CLASSES}
    eligible = [
        r
        for r in snapshot.running
        if may_be_evicted(r, classes[r.priority], snapshot.policy, NOW)
        and classes[r.priority].value < HIGH.value
    ]
    values = sorted({classes[r.priority].value for r in eligible}, reverse=True)

    def objective(subset: tuple[Running, ...]) -> tuple[int, ...]:
        """The cost within each class, the highest first; then how many."""
        costs = (
            sum(cost(r, snapshot.total, NOW) for r in subset if classes[r.priority].value == value)
            for value in values
        )
        return (*costs, len(subset))

    def touched(subset: tuple[Running, ...]) -> int:
        return max(classes[r.priority].value for r in subset)

    sufficient = [
        subset
        for n in range(1, len(eligible) + 1)
        for subset in combinations(eligible, n)
        if short.fits_in(_sum(subset))
    ]
    if not sufficient:
        assert taken is None
        return
    lowest = min(map(touched, sufficient))
    best = min(objective(subset) for subset in sufficient if touched(subset) == lowest)
    by_id = {r.id: r for r in eligible}
    assert taken is not None
    assert objective(tuple(by_id[c.id] for c in taken)) == best


def _sum(running: tuple[Running, ...]) -> Resources:
    total = NOTHING
    for each in running:
        total = total.plus(each.total)
    return total


def _free_after(snapshot: Snapshot, plan: Plan) -> Resources:
    free = snapshot.total.minus(snapshot.allocated)
    by_id = {w.id: w.total for w in snapshot.queued} | {r.id: r.total for r in snapshot.running}
    for eviction in plan.evictions:
        free = free.plus(by_id[eviction.workload_id])
    for start in plan.starts:
        free = free.minus(by_id[start.workload_id])
    return free
