"""Finds the clusters in which something is due by the database's clock, and wakes a worker for
each.

A cluster has a task of its own, so that busy clusters share the workers, and one that is locked
delays no other.
"""

from collections.abc import Callable
from uuid import UUID

from django.db import connection

from deployments import wakeup as runtime_wakeup
from mlops_platform.api.redis import redis_client
from mlops_platform.api.wakeup import Wakeup, try_lock

WORD = "DUE"
# Whatever is due stays due until it is done, and is asked for at every turn of the timer: a message
# that Redis has lost has a successor after so long.
FLAG_S = 5.0
LOCK_S = 5.0  # so long a killed worker's lock keeps others away
KILL_AGAIN_S = 1.0  # an endpoint that is away is not asked more often than this

_wakeup = Wakeup("cluster:{}:due", "deployments.tasks.end_due", flag_s=FLAG_S)

# What each part finds is in an index of its own, in the order of its times.
_RUNNING = "status = 'RUNNING' AND due_at {} statement_timestamp()"
_RETRYING = "status = 'QUEUED' AND retry_at {} statement_timestamp()"
_STOPPING = "status = 'STOPPING' AND stop_by {} statement_timestamp()"

_CLUSTERS = f"""
SELECT due.cluster_id, bool_or(due.ends), bool_or(NOT due.ends)
  FROM (SELECT cluster_id, true AS ends FROM deployments_deployment WHERE {_RUNNING.format("<=")}
         UNION ALL
        SELECT cluster_id, true FROM deployments_deployment WHERE {_RETRYING.format("<=")}
         UNION ALL
        SELECT cluster_id, false FROM deployments_deployment WHERE {_STOPPING.format("<=")}) due
  JOIN clusters_cluster c ON c.id = due.cluster_id AND c.deleted_at IS NULL
 GROUP BY due.cluster_id
"""

# The next moment of each kind, for the timer's one query.
NEXT = tuple(
    f"SELECT {column} AS at FROM deployments_deployment WHERE {condition.format('>')} "
    f"ORDER BY {column} LIMIT 1"
    for column, condition in (("due_at", _RUNNING), ("retry_at", _RETRYING), ("stop_by", _STOPPING))
)


def wake_all() -> None:
    """Wake a worker for each cluster with an end or a retry that is due, and the runtimes' worker
    for one with a stop that has outlived its grace. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_CLUSTERS)
        found = cursor.fetchall()
    for cluster_id, has_ends, has_overdue_stops in found:
        if has_ends:
            _wakeup.request(cluster_id, WORD)
        if has_overdue_stops and _may_ask_to_kill(cluster_id):
            runtime_wakeup.request(cluster_id)


def run(cluster_id: UUID, work: Callable[[], None]) -> None:
    """Do the work, unless another worker is at it or has answered the wake-up."""
    lock = try_lock(f"cluster:{cluster_id}:ending", LOCK_S, renew=True)
    _wakeup.run(cluster_id, lock, lambda _: work())


def _may_ask_to_kill(cluster_id: UUID) -> bool:
    key, pause_ms = f"cluster:{cluster_id}:killing", int(KILL_AGAIN_S * 1000)
    return bool(redis_client().set(key, "1", nx=True, px=pause_ms))
