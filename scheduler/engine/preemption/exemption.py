"""From when a running workload may be evicted at all.

Its class, its past evictions and its exempt time decide that, whatever workload wants its capacity.
"""

from scheduler.engine.snapshot import Policy, PriorityClass, Running


def evictable_from(running: Running, priority: PriorityClass, policy: Policy) -> int | None:
    """The first moment, in ms, at which a workload of a higher class may evict this one, of the
    class `priority`; None if there is none while it runs.

    There is none if its class is not preemptible, after `max_preemptions` evictions, and if it is
    not known since when it runs. The exempt time of a STARTING workload counts from its admission.
    """
    if not priority.preemptible or running.preemptions >= policy.max_preemptions:
        return None
    began_ms = running.admitted_ms if running.started_ms is None else running.started_ms
    if began_ms is None:
        return None if policy.preempt_exempt_s else 0
    return began_ms + policy.preempt_exempt_s * 1000


def may_be_evicted(running: Running, priority: PriorityClass, policy: Policy, now_ms: int) -> bool:
    """Whether a workload of a higher class may evict this one, of the class `priority`, now."""
    from_ms = evictable_from(running, priority, policy)
    return from_ms is not None and from_ms <= now_ms
