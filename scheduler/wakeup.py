"""Wakes the scheduler for a cluster: many wake-ups before a cycle make one cycle."""

from collections.abc import Callable
from uuid import UUID

from mlops_platform.coordination import wakeup
from scheduler.models import Trigger

QUEUE = "scheduler"  # of the broker's, whose workers run cycles

# The lock encloses the transaction and keeps workers from queueing up behind each other. Truth
# depends on the row lock, the guarded writes and the CHECK constraints, so a lock that ends before
# its cycle costs time and nothing else.
_wakeup = wakeup.Wakeup(
    "scheduler.tasks.schedule_cluster",
    flag="cluster:{}:dirty",
    lock="cluster:{}:lock",
    queue=QUEUE,
)
request_cycle, enqueue, lock_name = _wakeup.request, _wakeup.enqueue, _wakeup.lock_name
backlog = _wakeup.backlog
set_flag, is_flag_set = _wakeup.set_flag, _wakeup.is_flag_set


def clear_flag(cluster_id: UUID) -> Trigger | None:
    """Clear the flag; returns the trigger that set it, None where it was clear."""
    word = _wakeup.clear_flag(cluster_id)
    return Trigger(word) if word else None


def run(cluster_id: UUID, cycle: Callable[[Trigger, int], None]) -> Trigger | None:
    """One cycle under the cluster's lock; the trigger that it answered. `cycle` gets the trigger,
    and how many cycles before it have failed.

    None where another worker is at work, no cycle is wanted, or another cycle follows.
    """
    word = _wakeup.run(cluster_id, lambda word, failures: cycle(Trigger(word), failures))
    return Trigger(word) if word else None


def ask_again() -> None:
    """Ask for the cycles again that a killed or frozen worker has taken, or the broker has lost."""
    _wakeup.ask_again(Trigger.SWEEP)
