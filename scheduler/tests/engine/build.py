"""Builders of small clusters for the engine's tests, with short names and usual values."""

from dataclasses import replace
from itertools import count
from typing import Any

from scheduler.engine.resources import ZERO, Resources
from scheduler.engine.snapshot import (
    DEFAULT_QUOTA,
    Node,
    Placement,
    Policy,
    PriorityClass,
    Running,
    Snapshot,
    SweepLimit,
    Window,
    Workload,
)

LOW = PriorityClass("LOW", 0, may_preempt=False, preemptible=True)
HIGH = PriorityClass("HIGH", 1000, may_preempt=True, preemptible=True)
MID = PriorityClass("MID", 500, may_preempt=True, preemptible=True)
IDLE = PriorityClass("IDLE", -10, may_preempt=False, preemptible=True)
NOW = 1_000_000_000
_numbers = count(1)


def ends(seconds: int) -> int:
    """The moment so many seconds after NOW, in ms."""
    return NOW + seconds * 1000


def size(gpu: int = 0, cpu: int = 1, ram: int = 1) -> Resources:
    """An amount with `cpu` in whole cores and `ram` in GiB, to keep tables short."""
    return Resources(cpu * 1000, ram * 1024, gpu)


def job(
    gpu: int = 0, cpu: int = 1, ram: int = 1, *, high: bool = False, priority: str = "", **more: Any
) -> Workload:
    """A waiting workload, submitted `waited_s` ago; its id sorts after those built before it."""
    number = next(_numbers)
    request, name = size(gpu, cpu, ram), priority or ("HIGH" if high else "LOW")
    replicas = more.pop("replicas", 1)
    waited_s = more.pop("waited_s", 0)
    selector = tuple(sorted(more.pop("selector", {}).items()))
    submitted = more.pop("submitted_ms", NOW - waited_s * 1000)
    return Workload(
        id=more.pop("id", f"job-{number:06d}"),
        scheduling_key=f"{name}/{request}/{replicas}/{selector}/{more.get('limit_s')}",
        priority=name,
        request=request,
        replicas=replicas,
        submitted_ms=submitted,
        queued_ms=more.pop("queued_ms", submitted),
        selector=selector,
        **more,
    )


def run(
    gpu: int = 0, cpu: int = 1, ram: int = 1, *, high: bool = False, priority: str = "", **more: Any
) -> Running:
    """A running workload that started `ran_s` seconds ago (None: it is STARTING). `on` is a node,
    or the replicas by node of a gang."""
    ran_s = more.pop("ran_s", 600)
    replicas = more.pop("replicas", 1)
    on = more.pop("on", None)
    spread: dict[str | None, int] = on if isinstance(on, dict) else {on: replicas}
    return Running(
        id=more.pop("id", f"run-{next(_numbers):06d}"),
        priority=priority or ("HIGH" if high else "LOW"),
        request=size(gpu, cpu, ram),
        replicas=sum(spread.values()),
        placement=tuple(Placement(node_id, count) for node_id, count in spread.items()),
        started_ms=more.pop("started_ms", None if ran_s is None else NOW - ran_s * 1000),
        checkpoint_ms=more.pop("checkpoint_ms", None),
        preemptions=more.pop("preemptions", 0),
        **more,
    )


def node(name: str, gpu: int = 8, cpu: int = 64, ram: int = 512, **more: Any) -> Node:
    """An empty node, which `rack` fills; `labels` are a dict."""
    labels = tuple(sorted(more.pop("labels", {}).items()))
    return Node(name, name, size(gpu, cpu, ram), ZERO, labels, **more)


def trio(**sizes: dict[str, int]) -> list[Node]:
    """Nodes a, b and c: of 8 GPUs, 64 cores and 512 GiB, or of the given `sizes`."""
    return [node(name, **sizes.get(name, {})) for name in ("a", "b", "c")]


def rack(nodes: list[Node], **more: Any) -> Snapshot:
    """A cluster of nodes. Keywords are those of `pool`. Every running workload is allocated on its
    nodes."""
    snapshot = pool(0, 0, 0, **more)
    total, filled = ZERO, []
    for each in nodes:
        allocated = ZERO
        for running in snapshot.running:
            for placement in running.placement:
                if placement.node_id == each.id:
                    allocated = allocated.plus(running.request.times(placement.replicas))
        filled.append(replace(each, allocated=allocated))
        total = total.plus(each.capacity)
    return replace(snapshot, nodes=tuple(filled), total=total)


def pool(
    gpu: int = 8,
    cpu: int = 64,
    ram: int = 512,
    *,
    running: list[Running] | None = None,
    queued: list[Workload] | None = None,
    **more: Any,
) -> Snapshot:
    """A cluster without nodes. Keywords are fields of its Policy or of its Snapshot."""
    running, queued = running or [], queued or []
    policy = {name: more.pop(name) for name in list(more) if name in Policy.__dataclass_fields__}
    allocated = ZERO
    for each in running:
        allocated = allocated.plus(each.total)
    return Snapshot(
        cluster_id="cluster",
        state=more.pop("state", "ACTIVE"),
        policy=Policy(**policy),
        total=size(gpu, cpu, ram),
        allocated=allocated,
        classes=more.pop("classes", (LOW, HIGH)),
        nodes=(),
        running=tuple(running),
        queued=tuple(queued),
        now_ms=more.pop("now_ms", NOW),
        max_starts=more.pop("max_starts", 1000),
        **more,
    )


# --- Owners ---------------------------------------------------------------------------------------


def of(owner: str, workload: Workload) -> Workload:
    """The workload, submitted by this owner."""
    return replace(workload, owner=owner, scheduling_key=f"{workload.scheduling_key}/u{owner}")


def jobs(owner: str, count: int, *, gpu: int = 1, **more: Any) -> list[Workload]:
    """Equal workloads of one owner with the ids `ann-00`, `ann-01`, …"""
    return [of(owner, job(gpu=gpu, id=f"{owner}-{n:02}", **more)) for n in range(count)]


def allocated_by(owner: str, running: Running) -> Running:
    """The running workload, submitted by this owner."""
    return replace(running, owner=owner)


def owned(base: Snapshot, **quotas: Resources) -> Snapshot:
    """The cluster with the owners' allocations and quotas. `others` is the quota of all owners
    without one of their own."""
    allocated: dict[str, Resources] = {}
    for each in base.running:
        allocated[each.owner] = allocated.get(each.owner, ZERO).plus(each.total)
    names = {"others": DEFAULT_QUOTA}
    limits = {names.get(owner, owner): limit for owner, limit in quotas.items()}
    return replace(
        base,
        allocated_by_owner=tuple(sorted(allocated.items())),
        quotas=tuple(sorted(limits.items())),
    )


def fair(base: Snapshot) -> Snapshot:
    """The cluster under fair_share, with the owners' allocations."""
    return replace(owned(base), policy=replace(base.policy, ordering="fair_share"))


# --- Sweeps ---------------------------------------------------------------------------------------


def member_of(sweep: str, workload: Workload) -> Workload:
    """The workload as a member of this sweep."""
    key = f"{workload.scheduling_key}/n{sweep}"
    return replace(workload, sweep=sweep, scheduling_key=key)


def members(sweep: str, count: int, *, gpu: int = 1, **more: Any) -> list[Workload]:
    """Equal members of a sweep with the ids `lr-000`, `lr-001`, …"""
    return [member_of(sweep, job(gpu=gpu, id=f"{sweep}-{n:03}", **more)) for n in range(count)]


def limited(base: Snapshot, **limits: int) -> Snapshot:
    """The cluster, in which at most so many members of each of these sweeps may run at once."""
    sweeps = [
        SweepLimit(name, limit, sum(each.sweep == name for each in base.running))
        for name, limit in sorted(limits.items())
    ]
    return replace(base, sweeps=tuple(sweeps))


# --- Windows --------------------------------------------------------------------------------------


def window(
    *nodes: str, begins_s: int, lasts_s: int = 3600, mode: str = "cordon", closed: bool = False
) -> Window:
    """A maintenance window of these nodes that begins so many seconds after NOW; `closed`: it has
    closed them."""
    begins_ms, ids = ends(begins_s), tuple(sorted(nodes))
    shut = ids if closed else ()
    return Window(f"w{begins_s}", "disks", mode, begins_ms, begins_ms + lasts_s * 1000, ids, shut)
