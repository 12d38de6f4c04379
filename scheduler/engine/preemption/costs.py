"""What an eviction costs.

A victim's cost is the work that it would lose, plus a fixed disruption of 60 s. Both are measured
as its dominant share of the cluster (Ghodsi et al., NSDI 2011) times a duration. The lost work's
duration is the time since the victim started or last reported a checkpoint. A service has no end
to work towards, so its eviction loses no work.
"""

from collections.abc import Mapping

from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Running, Snapshot

DISRUPTION_MS = 60_000
SHARE_SCALE = 1_000_000  # shares of the cluster are counted in millionths


def lost_ms(running: Running, now_ms: int) -> int:
    """The work lost by an eviction now, in ms; 0 for a service, and for what is STARTING."""
    if running.started_ms is None or running.endless:
        return 0
    return max(now_ms - max(running.started_ms, running.checkpoint_ms or 0), 0)


def assumed_checkpoints(snapshot: Snapshot) -> dict[str, int]:
    """By priority class, the median of the last checkpoints of the jobs that report any, in ms.

    A job that reports none counts as if it had one then: otherwise of two equal jobs the one that
    reports would always be the victim, and reports would cease.
    """
    reported: dict[str, list[int]] = {}
    for running in snapshot.running:
        if running.checkpoint_ms is not None and not running.endless:
            reported.setdefault(running.priority, []).append(running.checkpoint_ms)
    return {name: sorted(times)[len(times) // 2] for name, times in reported.items()}


def cost(
    running: Running, total: Resources, now_ms: int, assumed: Mapping[str, int] | None = None
) -> int:
    """The cost in millionths of the cluster times ms; 0 for a workload that is STARTING.
    `assumed`: of assumed_checkpoints, where victims are compared."""
    if running.started_ms is None:
        return 0
    lost = lost_ms(running, now_ms)
    if assumed and running.checkpoint_ms is None and running.priority in assumed:
        lost = min(lost, max(now_ms - assumed[running.priority], 0))
    return dominant_share(running.total, total) * (lost + DISRUPTION_MS)


def dominant_share(amount: Resources, total: Resources) -> int:
    """The largest share of a resource's total, in millionths."""
    shares = (
        SHARE_SCALE * part // whole for part, whole in zip(amount, total, strict=True) if whole
    )
    return max(shares, default=0)
