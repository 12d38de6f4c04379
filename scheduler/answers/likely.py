"""Answers on which nodes waiting deployments will likely start, for pulling their images ahead."""

import logging
import time
from dataclasses import replace
from uuid import UUID

from django.db import OperationalError, connection, transaction
from redis.exceptions import RedisError

from clusters.models import Cluster
from mlops_platform.coordination.redis import redis_client
from scheduler import store
from scheduler.engine import Decision, decide
from scheduler.engine.cluster_view import ClusterView
from scheduler.engine.whatif.likely import likely_nodes
from scheduler.store.running import running_in

MOST_RUNNING = 5000  # of a cluster with more, those that happen to be read
MOST_STEPS = 200_000  # of the plan, which nothing waits for
REST = 50  # a cluster's plans of this kind take a fiftieth of one thread at most
MOST_REST_MS = 300_000
RESTS = "likely-nodes:rest:{}"
logger = logging.getLogger(__name__)


def nodes_of(cluster_id: UUID, most: int) -> list[tuple[UUID, list[UUID]]]:
    """The first `most` deployments that wait, and for each the nodes, by the planner's own plan of
    this moment, which is not carried out. Reads what a cycle reads, and all that runs; none where
    that fails, and none until the last answer is REST times as old as it took to make."""
    rests, began = RESTS.format(cluster_id), time.monotonic()
    try:
        if redis_client().exists(rests):
            return []
        found = _found(cluster_id, most)
        rest_ms = round((time.monotonic() - began) * 1000 * REST)
        redis_client().set(rests, "1", px=min(max(rest_ms, 1), MOST_REST_MS))
    except (OperationalError, Cluster.DoesNotExist, RedisError) as error:
        logger.info("likely nodes are not known", extra={"error": str(error)})
        return []
    return [(UUID(id_), [UUID(node) for node in nodes]) for id_, nodes in found]


def _found(cluster_id: UUID, most: int) -> list[tuple[str, tuple[str, ...]]]:
    with transaction.atomic():
        if not connection.savepoint_ids:  # not within another transaction
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return likely_nodes(_with_all_that_runs(store.read_and_decide(cluster_id)), most)


def _with_all_that_runs(decision: Decision) -> Decision:
    """A cycle reads what might be evicted; where a workload fits soonest depends on all ends."""
    snapshot = decision.snapshot
    if not decision.waiting() or not snapshot.nodes:
        return decision
    running = running_in(snapshot, most=MOST_RUNNING)
    snapshot = replace(snapshot, running=running, local_images=(), most_steps=MOST_STEPS)
    return decide(ClusterView(snapshot))
