"""Celery's doors: ends by the clock, passes over the runtimes, images to be pulled."""

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from deployments import wakeup
from deployments.lifecycle import deadlines, retry_backoff
from deployments.queries import clusters_with_endpoints
from deployments.reconciler import image_pulls
from deployments.reconciler import reconcile as run_pass
from deployments.reconciler import watcher as watcher  # the runtimes' worker starts it


@shared_task(name="deployments.tasks.finish_due", ignore_result=True)
def finish_due() -> None:
    """All that happens by the clock; where nothing does, a query each."""
    now = timezone.now()
    deadlines.finish_due(now)
    deadlines.wake_overdue(now)
    retry_backoff.release(now)


@shared_task(name="deployments.tasks.look_everywhere", ignore_result=True)
def look_everywhere() -> None:
    """Ask for a full pass over each cluster that has endpoints: it finds whatever was missed."""
    for cluster_id in clusters_with_endpoints():
        wakeup.request(cluster_id, [wakeup.EVERYTHING], again=True)


@shared_task(name="deployments.tasks.reconcile", ignore_result=True)
def reconcile(cluster_id: str) -> None:
    """One pass over a cluster, unless another worker is at work or has answered already."""
    cluster = UUID(cluster_id)

    def work(_: str) -> None:
        if run_pass(cluster, wakeup.take_looks(cluster), _pull):
            wakeup.set_flag(cluster)

    wakeup.run(cluster, work)


def _pull(endpoint_id: UUID, image: str) -> None:
    if image_pulls.begin(endpoint_id, image):
        pull.delay(str(endpoint_id), image)


@shared_task(name="deployments.tasks.pull", ignore_result=True)
def pull(endpoint_id: str, image: str) -> None:
    image_pulls.pull(UUID(endpoint_id), image)
