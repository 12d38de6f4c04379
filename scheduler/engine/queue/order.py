"""The order in which a cycle considers the waiting workloads."""

from collections.abc import Callable

from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import FAIR_SHARE, GPU_WEIGHTED, Snapshot, Workload

# Weights of a workload's shares of the cluster, in millionths so that they stay integers.
GPU_WEIGHT, CPU_WEIGHT, RAM_WEIGHT = 100_000_000, 10_000_000, 1_000_000


def score(request: Resources, total: Resources) -> int:
    """100·gpu + 10·cpu + 1·ram, each as a share of the cluster, in millionths.

    Shares are cut off at 1, because a larger request can never run. So the score is at most
    111,000,000 and exact in a double, the number type of a Redis sorted set.
    """
    return sum(
        weight * min(amount, whole) // whole if whole > 0 else weight * (amount > 0)
        for weight, amount, whole in (
            (GPU_WEIGHT, request.gpu, total.gpu),
            (CPU_WEIGHT, request.cpu_milli, total.cpu_milli),
            (RAM_WEIGHT, request.ram_mib, total.ram_mib),
        )
    )


def policy_key(ordering: str, request: Resources, total: Resources) -> int:
    """The policy's own sort key, smaller first: minus the score, or 0 under a policy that ignores
    the request (fifo, fair_share)."""
    return -score(request, total) if ordering == GPU_WEIGHTED else 0


def order_key(
    snapshot: Snapshot, usage: OwnerUsage | None = None
) -> Callable[[Workload], tuple[int, int, int, str]]:
    """The sort key of the scheduling order of waiting workloads:

    1. priority value, higher first
    2. the policy's key: score, larger first (gpu_weighted); nothing (fifo); the owner's present
       dominant share, smaller first (fair_share with `usage`; nothing without `usage`)
    3. submit time, earlier first
    4. id
    """
    if usage is not None and snapshot.policy.ordering == FAIR_SHARE:
        return _fair_key(snapshot, usage)
    values = {priority.name: priority.value for priority in snapshot.classes}
    ordering, total = snapshot.policy.ordering, snapshot.total
    keys: dict[str, tuple[int, int]] = {}  # by scheduling key: equal workloads share one score

    def key(workload: Workload) -> tuple[int, int, int, str]:
        shared = keys.get(workload.scheduling_key)
        if shared is None:
            asked = (workload.variant_of or workload).total
            shared = (-values[workload.priority], policy_key(ordering, asked, total))
            keys[workload.scheduling_key] = shared
        return (*shared, workload.submitted_ms, workload.id)

    return key


def _fair_key(
    snapshot: Snapshot, usage: OwnerUsage
) -> Callable[[Workload], tuple[int, int, int, str]]:
    values = {priority.name: priority.value for priority in snapshot.classes}

    def key(workload: Workload) -> tuple[int, int, int, str]:
        share = usage.share(workload.owner)
        return (-values[workload.priority], share, workload.submitted_ms, workload.id)

    return key
