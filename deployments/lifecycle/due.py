"""Finds the clusters in which something is due by the database's clock, and wakes a worker for
each.

A cluster has a task of its own, so that busy clusters share the workers, and one that is locked
delays no other.
"""

from collections.abc import Callable
from uuid import UUID

from django.db import connection

from deployments import wakeup as runtime_wakeup
from mlops_platform.coordination.redis import redis_client
from mlops_platform.coordination.wakeup import Wakeup

WORD = "DUE"
KILL_AGAIN_S = 1.0  # an endpoint that is away is not asked more often than this

_wakeup = Wakeup(
    "deployments.tasks.end_due",
    flag="cluster:{}:due",
    lock="cluster:{}:ending",
    queue="scheduler",
)

# What each part finds is in an index of its own, in the order of its times.
_CLUSTERS = """
SELECT due.cluster_id, bool_or(due.ends), bool_or(NOT due.ends)
  FROM (SELECT cluster_id, true AS ends FROM deployments_deployment
         WHERE status = 'RUNNING' AND due_at <= statement_timestamp()
         UNION ALL
        SELECT cluster_id, true FROM deployments_deployment
         WHERE status = 'QUEUED' AND retry_at <= statement_timestamp()
         UNION ALL
        SELECT cluster_id, false FROM deployments_deployment
         WHERE status = 'STOPPING' AND stop_by <= statement_timestamp()) due
  JOIN clusters_cluster c ON c.id = due.cluster_id AND c.deleted_at IS NULL
 GROUP BY due.cluster_id
"""


def wake_all() -> None:
    """Wake a worker for each cluster with an end or a retry that is due, and the runtimes' worker
    for one with a stop that has outlived its grace. One query. Raises the RedisError of a Redis
    that is away."""
    with connection.cursor() as cursor:
        cursor.execute(_CLUSTERS)
        found = cursor.fetchall()
    if found:
        redis_client().ping()  # else each of the clusters would log it
    for cluster_id, has_ends, has_overdue_stops in found:
        if has_ends:
            _wakeup.request(cluster_id, WORD)
        if has_overdue_stops and _may_ask_to_kill(cluster_id):
            runtime_wakeup.request(cluster_id)


def run(cluster_id: UUID, work: Callable[[int], None]) -> None:
    """Do the work, unless another worker is at it or has answered the wake-up. `work` gets how many
    runs before it have failed."""
    _wakeup.run(cluster_id, lambda _, failures: work(failures))


def ask_again() -> None:
    """Ask again for the runs that a killed or frozen worker has taken, or the broker has lost."""
    _wakeup.ask_again(WORD)


def _may_ask_to_kill(cluster_id: UUID) -> bool:
    key, pause_ms = f"cluster:{cluster_id}:killing", int(KILL_AGAIN_S * 1000)
    return bool(redis_client().set(key, "1", nx=True, px=pause_ms))
