"""All that runs and waits in a cluster, for comparison with what the product reads of it."""

from dataclasses import replace
from uuid import UUID

from clusters.models import Cluster
from scheduler.answers.explain import as_workload
from scheduler.engine import Snapshot
from scheduler.queries import queue_of
from scheduler.store import part_reader


def read_whole(cluster_id: UUID) -> Snapshot:
    rows = queue_of(Cluster.objects.get(pk=cluster_id)).select_related("cluster")
    ready = rows.filter(pending_dependencies=0, retry_at=None)
    queued = tuple(as_workload(row) for row in ready)
    return replace(part_reader(cluster_id).now.snapshot, queued=queued)
