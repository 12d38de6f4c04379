"""The Celery tasks: a cluster's cycle, the sweep for what was missed, the ledger's retention."""

from uuid import UUID

from celery import shared_task

from scheduler import bell, cycle, ledger, metrics, queries, queues
from scheduler.lock import try_lock
from scheduler.models import Trigger


@shared_task(name="scheduler.tasks.schedule_cluster")
def schedule_cluster(cluster_id: str) -> None:
    """Run one cycle, unless another worker is at it or has answered already.

    Order: lock, (begin, load, plan, check, apply, commit), unlock, and a last look at the flag: who
    found the lock taken has left it set. A wanted second cycle is a second task, so that a busy
    cluster takes turns with the others.
    """
    cluster = UUID(cluster_id)
    with try_lock(cluster) as held:
        if not held:
            return
        trigger = bell.answer(cluster)
        try:
            if trigger is not None:
                _run(cluster, trigger)
        except Exception:
            if bell.is_ringing(cluster):  # whoever rang meanwhile relies on the last look
                bell.enqueue(cluster)
            raise
    if bell.is_ringing(cluster):
        bell.enqueue(cluster)
    elif trigger is not None and queues.due_for_a_look(cluster):
        queues.mend(cluster, thoroughly=trigger == Trigger.SWEEP)


def _run(cluster: UUID, trigger: Trigger) -> None:
    outcome = cycle.run(cluster, trigger)
    metrics.record(cluster, outcome)
    if outcome is not None and outcome.wants_another:
        bell.ring(cluster, Trigger.CONTINUED)


@shared_task(name="scheduler.tasks.sweep")
def sweep() -> None:
    """Ask for the cycles that Redis lost: whatever changed and has not been looked at since."""
    for cluster_id in queries.overlooked_clusters():
        bell.request_cycle(cluster_id, Trigger.SWEEP, again=True)


@shared_task(name="scheduler.tasks.forget_old_cycles")
def forget_old_cycles() -> None:
    ledger.forget_old()
