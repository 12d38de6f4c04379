"""The Celery tasks: ends by the clock, passes over the runtimes, pulls of images."""

from collections.abc import Callable, Collection
from uuid import UUID

from celery import shared_task

from clusters.services import nodes, windows
from clusters.services.clusters import refuse_locked
from deployments import wakeup
from deployments.api.feed.shown import shown_each
from deployments.lifecycle import deadlines, due, retry_backoff
from deployments.output import worker as output_worker
from deployments.queries.allocations import clusters_with_endpoints
from deployments.reconciler import elsewhere, loop, thread_shares, watcher
from deployments.reconciler.actions import Pull
from deployments.reconciler.starts import image_pulls
from deployments.usage import rollups
from deployments.webhooks import dispatch, sending
from mlops_platform.database.clock import database_now

watcher.connect_to_worker()
output_worker.connect_to_worker()


@shared_task(name="deployments.tasks.end_due", ignore_result=True)
def end_due(cluster_id: str) -> None:
    """End what is due in one cluster, unless another worker does."""
    cluster = UUID(cluster_id)

    def work(failures: int) -> None:
        if failures:
            refuse_locked(cluster)
        now = database_now()
        deadlines.finish_due(cluster, now)
        retry_backoff.end_pauses(cluster, now)
        elsewhere.end_exclusions(cluster, now)
        nodes.evict_overdue(cluster)
        windows.turn(cluster)

    due.run(cluster, work)


@shared_task(name="deployments.tasks.finish_due", ignore_result=True)
def finish_due() -> None:
    """What processes of the version before this one send every second."""
    due.wake_all()


@shared_task(name="deployments.tasks.dispatch_webhooks", ignore_result=True)
def dispatch_webhooks() -> None:
    """Give each webhook its deliveries, and ask for those that are due."""
    dispatch.run(shown_each)


@shared_task(name="deployments.tasks.send_webhook", ignore_result=True)
def send_webhook(webhook_id: str) -> None:
    sending.take_turn(UUID(webhook_id))


@shared_task(name="deployments.tasks.look_everywhere", ignore_result=True)
def look_everywhere() -> None:
    """Request a full pass over each cluster that has endpoints: it finds what was missed."""
    for cluster_id in clusters_with_endpoints():
        wakeup.request(cluster_id, [wakeup.EVERYTHING], again=True)


@shared_task(name="deployments.tasks.reconcile", ignore_result=True)
def reconcile(
    cluster_id: str, run_pass: Callable[[UUID, Collection[str], Pull], bool] = loop.reconcile
) -> None:
    """Run one pass over a cluster, unless another worker runs one or has answered the request, and
    then over clusters that have waited for a thread."""

    def work(cluster: UUID) -> None:
        def one_pass(deployment_ids: Collection[str]) -> None:
            if run_pass(cluster, deployment_ids, _request_pull):
                wakeup.set_flag(cluster)

        wakeup.run(cluster, one_pass)

    thread_shares.run(UUID(cluster_id), work)


def _request_pull(endpoint_id: UUID, image: str) -> None:
    if image_pulls.should_request(endpoint_id, image):
        pull.delay(str(endpoint_id), image)


@shared_task(name="deployments.tasks.sum_usage", ignore_result=True)
def sum_usage() -> None:
    """Sum up usage of the days that are over, for some seconds; the next turn goes on."""
    rollups.take_turn(database_now())


@shared_task(name="deployments.tasks.pull", ignore_result=True)
def pull(endpoint_id: str, image: str) -> None:
    """Begin to pull an image, on a thread that is not one of the worker's own."""
    image_pulls.start(UUID(endpoint_id), image)
