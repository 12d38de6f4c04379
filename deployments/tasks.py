"""Celery's doors: ends by the clock, passes over the runtimes, images to be pulled."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from deployments import sync, waking
from deployments.queries import clusters_with_endpoints
from deployments.reconciler import pulling, retrying
from deployments.reconciler import reconcile as run_pass
from deployments.reconciler import watching as watching  # the runtimes' worker starts it
from mlops_platform.api.waking import try_lock

PASS_TIMEOUT_S = 10  # so long a killed worker's lock keeps others away


@shared_task(name="deployments.tasks.finish_due", ignore_result=True)
def finish_due() -> None:
    """All that happens by the clock; where nothing does, a query each."""
    now = timezone.now()
    sync.finish_due(now)
    sync.wake_overdue(now)
    retrying.release(now)


@shared_task(name="deployments.tasks.look_everywhere", ignore_result=True)
def look_everywhere() -> None:
    """Ask for a full pass over each cluster that has endpoints: it finds whatever was missed."""
    for cluster_id in clusters_with_endpoints():
        waking.request(cluster_id, [waking.EVERYTHING], again=True)


@shared_task(name="deployments.tasks.reconcile", ignore_result=True)
def reconcile(cluster_id: str) -> None:
    """One pass, unless another worker is at it or has answered already.

    Who finds the lock taken leaves the flag set, and the holder looks at it again at the end. A
    wanted second pass is a second task, so that a busy cluster takes turns with the others.
    """
    cluster = UUID(cluster_id)
    with try_lock(f"cluster:{cluster}:reconciling", PASS_TIMEOUT_S, renew=True) as held:
        if not held:
            return
        try:
            if waking.bell.answer(cluster) and run_pass(cluster, waking.asked_for(cluster), _pull):
                waking.bell.ring(cluster, waking.WORD)
        except Exception:
            if waking.bell.is_ringing(cluster):  # whoever rang meanwhile relies on the last look
                waking.enqueue(cluster)
            raise
    if waking.bell.is_ringing(cluster):
        waking.enqueue(cluster)


def _pull(endpoint_id: UUID, image: str) -> None:
    if pulling.begin(endpoint_id, image):
        pull.delay(str(endpoint_id), image)


@shared_task(name="deployments.tasks.pull", ignore_result=True)
def pull(endpoint_id: str, image: str) -> None:
    pulling.pull(UUID(endpoint_id), image)
