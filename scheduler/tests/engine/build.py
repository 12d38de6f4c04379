"""Small clusters for the engine's tests, written as a person would describe them."""

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
    Workload,
)

LOW = PriorityClass("LOW", 0, may_preempt=False, preemptible=True)
HIGH = PriorityClass("HIGH", 1000, may_preempt=True, preemptible=True)
NOW = 1_000_000_000
_numbers = count(1)


def size(gpu: int = 0, cpu: int = 1, ram: int = 1) -> Resources:
    """`cpu` in whole cores, `ram` in GiB, to keep tables short."""
    return Resources(cpu * 1000, ram * 1024, gpu)


def job(
    gpu: int = 0, cpu: int = 1, ram: int = 1, *, high: bool = False, priority: str = "", **more: Any
) -> Workload:
    """A waiting workload, submitted just now and later than those built before it."""
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
    """A running workload; `ran_s` seconds ago it started."""
    ran_s = more.pop("ran_s", 600)
    replicas = more.pop("replicas", 1)
    on = more.pop("on", None)
    spread: dict[str | None, int] = on if isinstance(on, dict) else {on: replicas}
    return Running(
        id=more.pop("id", f"run-{next(_numbers):06d}"),
        priority=priority or ("HIGH" if high else "LOW"),
        request=size(gpu, cpu, ram),
        replicas=sum(spread.values()),
        placement=tuple(Placement(where, count) for where, count in spread.items()),
        started_ms=more.pop("started_ms", None if ran_s is None else NOW - ran_s * 1000),
        checkpoint_ms=more.pop("checkpoint_ms", None),
        preemptions=more.pop("preemptions", 0),
        **more,
    )


def node(name: str, gpu: int = 8, cpu: int = 64, ram: int = 512, **more: Any) -> Node:
    """An empty node, which `rack` fills; `labels` as a dict."""
    labels = tuple(sorted(more.pop("labels", {}).items()))
    return Node(name, name, size(gpu, cpu, ram), ZERO, labels, **more)


def rack(nodes: list[Node], **more: Any) -> Snapshot:
    """A cluster of nodes. A `run(…, on="a")` holds its node's capacity; `on={"a": 2}` a gang's."""
    snapshot = pool(0, 0, 0, **more)
    total, filled = ZERO, []
    for each in nodes:
        held = ZERO
        for running in snapshot.running:
            for placement in running.placement:
                if placement.node_id == each.id:
                    held = held.plus(running.request.times(placement.replicas))
        filled.append(replace(each, allocated=held))
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
    """A cluster without nodes. Keywords that a Policy has go into its policy."""
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
    return replace(workload, owner=owner, scheduling_key=f"{workload.scheduling_key}/u{owner}")


def jobs(owner: str, count: int, *, gpu: int = 1, **more: Any) -> list[Workload]:
    """`ann-00`, `ann-01`, …"""
    return [of(owner, job(gpu=gpu, id=f"{owner}-{n:02}", **more)) for n in range(count)]


def holds(owner: str, running: Running) -> Running:
    return replace(running, owner=owner)


def owned(base: Snapshot, **quotas: Resources) -> Snapshot:
    """With what the owners of those who run hold, and the most that they may; `others` is the quota
    of everybody who has none."""
    held: dict[str, Resources] = {}
    for each in base.running:
        held[each.owner] = held.get(each.owner, ZERO).plus(each.total)
    names = {"others": DEFAULT_QUOTA}
    limits = {names.get(owner, owner): limit for owner, limit in quotas.items()}
    return replace(
        base, allocated_by_owner=tuple(sorted(held.items())), quotas=tuple(sorted(limits.items()))
    )
