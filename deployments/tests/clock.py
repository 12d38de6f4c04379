"""Time that passes, for tests that run no timer."""

from datetime import datetime

from deployments.lifecycle import deadlines, retry_backoff
from deployments.models import Deployment, Status


def finish_due(now: datetime, *, batch: int = deadlines.BATCH) -> int:
    """End what is due in every cluster; returns how many."""
    due = Deployment.objects.filter(status=Status.RUNNING, due_at__lte=now)
    clusters = due.order_by().values_list("cluster_id", flat=True).distinct()
    return sum(deadlines.finish_due(cluster_id, now, batch=batch) for cluster_id in clusters)


def end_pauses(now: datetime) -> int:
    """End the pauses that are over in every cluster; returns how many."""
    clusters = Deployment.objects.order_by().values_list("cluster_id", flat=True).distinct()
    return sum(retry_backoff.end_pauses(cluster_id, now) for cluster_id in clusters)
