"""What an eviction costs, and which workloads may be evicted at all.

A victim's cost is the work that it would lose, plus a fixed disruption of 60 s. Both are measured
as its dominant share of the cluster (Ghodsi et al., NSDI 2011) times a duration; the lost work's
duration is the time since the victim started or last reported a checkpoint.
"""

from scheduler.engine.resources import Resources
from scheduler.engine.snapshot import Policy, PriorityClass, Running

DISRUPTION_MS = 60_000
SHARE_SCALE = 1_000_000  # shares of the cluster are counted in millionths


def may_be_evicted(running: Running, priority: PriorityClass, policy: Policy, now_ms: int) -> bool:
    """Whether any workload may evict this one, by its class, exempt time and past evictions."""
    if not priority.preemptible or running.preemptions >= policy.max_preemptions:
        return False
    ran_ms = 0 if running.started_ms is None else now_ms - running.started_ms
    return ran_ms >= policy.preempt_exempt_s * 1000


def lost_ms(running: Running, now_ms: int) -> int:
    """The work lost by an eviction now, in ms; 0 for a workload that is STARTING."""
    if running.started_ms is None:
        return 0
    return max(now_ms - max(running.started_ms, running.checkpoint_ms or 0), 0)


def cost(running: Running, total: Resources, now_ms: int) -> int:
    """The cost in millionths of the cluster times ms; 0 for a workload that is STARTING."""
    if running.started_ms is None:
        return 0
    return dominant_share(running.total, total) * (lost_ms(running, now_ms) + DISRUPTION_MS)


def dominant_share(amount: Resources, total: Resources) -> int:
    """The largest share of a resource's total, in millionths."""
    shares = (
        SHARE_SCALE * part // whole for part, whole in zip(amount, total, strict=True) if whole
    )
    return max(shares, default=0)
