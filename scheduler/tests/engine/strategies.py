"""Random snapshots for hypothesis: any cluster, any policy, any queue."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from scheduler.engine import Snapshot
from scheduler.engine.resources import ENDLESS, ZERO, Resources, add_up
from scheduler.engine.snapshot import GPUS, NODE, Policy, PriorityClass, Running
from scheduler.tests.engine.build import (
    HIGH,
    IDLE,
    LOW,
    MID,
    NOW,
    allocated_by,
    fair,
    job,
    limited,
    member_of,
    node,
    of,
    owned,
    pool,
    rack,
    run,
    window,
)

FIRM = PriorityClass("FIRM", 700, may_preempt=False, preemptible=False)
CLASSES = (LOW, HIGH, MID, IDLE, FIRM)
NAMES = [priority.name for priority in CLASSES]
OWNERS = ["ann", "ben", "cleo"]
SIZES = [(2, 8, 8), (2, 8, 8), (4, 8, 8), (0, 4, 8)]  # of empty nodes: GPUs, cores, GiB

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
        class_cost_ratio=draw(st.sampled_from([0, 0, 1, 10])),
        preemption_delay_s=draw(st.sampled_from([0, 0, 100, 4000])),
        low_share_percent=draw(st.sampled_from([0, 0, 10, 60])),
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


@st.composite
def of_owners(draw: st.DrawFn, max_queued: int = 14) -> Snapshot:
    """Any snapshot whose workloads belong to three owners."""
    base = draw(snapshots(max_queued=max_queued))
    owner = st.sampled_from(OWNERS)
    running = tuple(allocated_by(draw(owner), each) for each in base.running)
    queued = tuple(of(draw(owner), each) for each in base.queued)
    return replace(base, running=running, queued=queued)


@st.composite
def with_quotas(draw: st.DrawFn, max_queued: int = 14) -> Snapshot:
    """Any snapshot of three owners with quotas, in any order of the queue."""
    base = draw(of_owners(max_queued=max_queued))
    ordering = draw(st.sampled_from(["gpu_weighted", "fifo", "fair_share"]))
    within = draw(st.sampled_from(["never", "lower_priority"]))
    policy = replace(base.policy, ordering=ordering, preemption_within_quota=within)
    base = replace(base, policy=policy)
    limit = st.builds(
        Resources,
        st.sampled_from([0, 4000, 10_000, ENDLESS]),
        st.sampled_from([8 * 1024, ENDLESS, ENDLESS]),
        st.sampled_from([0, 2, 5, ENDLESS]),
    )
    names = st.sampled_from([*OWNERS, "others"])
    return owned(base, **draw(st.dictionaries(names, limit, min_size=1)))


@st.composite
def with_shares(draw: st.DrawFn) -> Snapshot:
    """Any snapshot of three owners under fair_share."""
    return fair(draw(of_owners()))


@st.composite
def with_whole_nodes(draw: st.DrawFn, bases: st.SearchStrategy[Snapshot]) -> Snapshot:
    """The snapshots, of whose workloads some take whole nodes, or all GPUs of nodes; of their nodes
    some are empty, and some equal."""
    base = draw(bases)
    queued = []
    for each in base.queued:
        whole = draw(st.sampled_from(["", NODE, NODE, GPUS]))
        request = each.request._replace(gpu=1) if whole == GPUS else each.request
        key = f"{each.scheduling_key}/{request}/w{whole}" if whole else each.scheduling_key
        queued.append(replace(each, whole=whole, request=request, scheduling_key=key))
    more = [
        node(f"empty-{n}", *draw(st.sampled_from(SIZES))) for n in range(draw(st.integers(0, 3)))
    ]
    nodes = (*base.nodes, *more) if base.nodes else ()
    return replace(
        base,
        queued=tuple(queued),
        nodes=nodes,
        total=add_up(each.capacity for each in nodes) if nodes else base.total,
    )


@st.composite
def with_sweeps(draw: st.DrawFn) -> Snapshot:
    """Any snapshot, some of whose workloads are members of two sweeps with limits."""
    base = draw(with_quotas()) if draw(st.booleans()) else draw(snapshots(max_queued=14))
    sweep = st.sampled_from(["", "lr", "seed"])
    running = tuple(replace(each, sweep=draw(sweep)) for each in base.running)
    drawn = [(draw(sweep), each) for each in base.queued]
    queued = tuple(member_of(name, each) if name else each for name, each in drawn)
    limits = {name: draw(st.integers(1, 4)) for name in ("lr", "seed")}
    return limited(replace(base, running=running, queued=queued), **limits)


@st.composite
def with_windows(draw: st.DrawFn) -> Snapshot:
    """Any snapshot of nodes, most of which have windows, one after the other; what has no time
    limit counts as running for a while."""
    base = draw(
        (with_sweeps() if draw(st.booleans()) else snapshots(max_queued=14)).filter(
            lambda each: bool(each.nodes)
        )
    )
    windows = []
    for number, each_node in enumerate(base.nodes):
        at_s = draw(st.integers(-3000, 4000))
        for _ in range(draw(st.integers(0, 2))):
            lasts_s = draw(st.integers(1, 4000))
            each = window(each_node.id, begins_s=at_s, lasts_s=lasts_s)
            windows.append(replace(each, id=f"{each.id}-{number}"))
            at_s += lasts_s + draw(st.integers(0, 3000))
    windows.sort(key=lambda each: (each.begins_ms, each.id))
    policy = replace(base.policy, assumed_runtime_s=draw(st.sampled_from([0, 1000, 14_400])))
    return replace(base, policy=policy, windows=tuple(windows))
