"""From when a running workload may be evicted at all.

Its class and its past evictions decide that, whatever workload wants its capacity; and its exempt
time, unless that workload has waited for as long.
"""

from scheduler.engine.snapshot import Policy, PriorityClass, Running, Workload


def could_be_evicted(each: Running | Workload, priority: PriorityClass, policy: Policy) -> bool:
    """Whether a workload of a higher class could evict this one, of the class `priority`, once it
    runs and is not exempt."""
    if isinstance(each, Running) and each.stopping:
        return False
    return priority.preemptible and each.preemptions < policy.max_preemptions


def evictable_from(
    running: Running, priority: PriorityClass, policy: Policy, waits_since_ms: int | None = None
) -> int | None:
    """The first moment, in ms, at which a workload of a higher class may evict this one, of the
    class `priority`; None if there is none while it runs.

    There is none if its class is not preemptible, after `max_preemptions` evictions, and if it is
    not known since when it runs. The exempt time of a STARTING workload counts from its admission.

    From a workload that waits since `waits_since_ms` it is exempt no longer than if it had started
    then: else each one that passes a waiting workload would be exempt anew, and that might wait for
    ever.
    """
    if not could_be_evicted(running, priority, policy):
        return None
    began_ms = running.admitted_ms if running.started_ms is None else running.started_ms
    known = [at_ms for at_ms in (began_ms, waits_since_ms) if at_ms is not None]
    if not known:
        return None if policy.preempt_exempt_s else 0
    return min(known) + policy.preempt_exempt_s * 1000


def is_patient(workload: Workload, policy: Policy, now_ms: int) -> bool:
    """Whether no workload is exempt from this one any longer: it has waited for the exempt time."""
    return now_ms - workload.queued_ms >= policy.preempt_exempt_s * 1000
