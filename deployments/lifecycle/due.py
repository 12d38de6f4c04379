"""Does what is due by the database's clock, or finds the clusters in which something is and wakes
a worker for each.

Simulated deployments end here, those of many clusters at once: that is a matter of the tables
alone, and waits behind no cycle. What concerns a runtime is a task of its own for each cluster, so
that busy clusters share the workers, and one that is locked delays no other.
"""

import logging
from collections.abc import Callable
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from deployments import wakeup as runtime_wakeup
from deployments.lifecycle import deadlines
from mlops_platform.coordination.redis import redis_client
from mlops_platform.coordination.wakeup import Wakeup

logger = logging.getLogger(__name__)

WORD = "DUE"
MOST_TRANSACTIONS = 50  # of ends in one turn; what is left is due at the next one
KILL_AGAIN_S = 1.0  # an endpoint that is away is not asked more often than this

_wakeup = Wakeup(
    "deployments.tasks.end_due",
    flag="cluster:{}:due",
    lock="cluster:{}:ending",
    queue="scheduler",
)

# What each part finds is in an index of its own, in the order of its times.
_CLUSTERS = """
SELECT due.cluster_id, bool_or(due.what <> 'stop'), bool_or(due.what = 'stop')
  FROM (SELECT cluster_id, 'end' AS what FROM deployments_deployment
         WHERE status = 'RUNNING' AND due_at <= statement_timestamp()
         UNION ALL
        SELECT cluster_id, 'retry' FROM deployments_deployment
         WHERE status = 'QUEUED' AND retry_at <= statement_timestamp()
         UNION ALL
        SELECT cluster_id, 'exclusion' FROM deployments_deployment
         WHERE status = 'QUEUED' AND avoid_until <= statement_timestamp()
         UNION ALL
        SELECT cluster_id, 'stop' FROM deployments_deployment
         WHERE status = 'STOPPING' AND stop_by <= statement_timestamp()
         UNION ALL
        SELECT cluster_id, 'drain' FROM clusters_node
         WHERE drain_deadline <= statement_timestamp()
         UNION ALL
        SELECT cluster_id, 'window' FROM clusters_maintenancewindow
         WHERE next_at <= statement_timestamp()) due
  JOIN clusters_cluster c ON c.id = due.cluster_id AND c.deleted_at IS NULL
 WHERE due.what <> 'end' OR c.runtime <> 'simulated' OR %(simulated)s
 GROUP BY due.cluster_id
"""


def do_all() -> None:
    """End the simulated deployments that are due, and wake workers for all else that is. Two
    queries where nothing is due. Raises as wake_all."""
    wake_all(simulated=not _finish_simulated())


def _finish_simulated() -> bool:
    """False where that has failed: a worker for each cluster then finds out which one it is. Raises
    the DatabaseError of a database that is away."""
    try:
        passed_over: set[UUID] = set()
        for _ in range(MOST_TRANSACTIONS):
            known = len(passed_over)
            ended = deadlines.finish_simulated(passed_over=passed_over)
            if not ended and len(passed_over) == known:
                break
    except Exception as error:
        if isinstance(error, DatabaseError | InterfaceError) and not connection.is_usable():
            raise
        logger.warning("ends are left to the workers", exc_info=True)
        return False
    return True


def wake_all(*, simulated: bool = True) -> None:
    """Wake a worker for each cluster with an end, a retry, the deadline of a drain, or the begin or
    the end of a window that is due, and the runtimes' worker for one with a stop that has outlived
    its grace, or whose moment has come; `simulated`: also for ends of simulated deployments. One
    query. Raises the RedisError of a Redis that is away."""
    with connection.cursor() as cursor:
        cursor.execute(_CLUSTERS, {"simulated": simulated})
        found = cursor.fetchall()
    runtime_wakeup.request_due()
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
