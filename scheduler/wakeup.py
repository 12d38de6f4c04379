"""Wakes the scheduler for a cluster: many wake-ups before a cycle make one cycle."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

from django.conf import settings

from mlops_platform.api import wakeup
from scheduler.models import Trigger

_wakeup = wakeup.Wakeup("cluster:{}:dirty", "scheduler.tasks.schedule_cluster")
request_cycle, enqueue = _wakeup.request, _wakeup.enqueue
set_flag, is_flag_set = _wakeup.set_flag, _wakeup.is_flag_set


def clear_flag(cluster_id: UUID) -> Trigger | None:
    """Clear the flag; returns the trigger that set it, None where it was clear."""
    word = _wakeup.clear_flag(cluster_id)
    return Trigger(word) if word else None


def run(cluster_id: UUID, cycle: Callable[[Trigger], None]) -> Trigger | None:
    """One cycle under the cluster's lock; the trigger that it answered.

    None where another worker is at work, no cycle is wanted, or another cycle follows.
    """
    word = _wakeup.run(cluster_id, try_lock(cluster_id), lambda word: cycle(Trigger(word)))
    return Trigger(word) if word else None


def try_lock(cluster_id: UUID) -> AbstractContextManager[bool]:
    """True while this process owns the cluster's lock; False at once where another one does.

    The lock encloses the transaction and keeps workers from queueing up behind each other. Truth
    depends on the row lock, the guarded writes and the CHECK constraints, so a lock that ends
    before its cycle costs time and nothing else.
    """
    return wakeup.try_lock(f"cluster:{cluster_id}:lock", settings.SCHEDULER_LOCK_TIMEOUT_S)
