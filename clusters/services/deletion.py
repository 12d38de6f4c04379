"""Deletes clusters: at once for users, and in the tables little by little.

A deletion marks the cluster under its lock. From then on no query of a user, the scheduler or a
worker finds it, and its name is free. The rows, of which there may be millions, go in batches, each
in a short transaction that locks no other cluster's rows: the first in the request, the others in
Celery tasks. What a killed worker leaves undone the next sweep takes up.
"""

import logging
from enum import Enum, auto
from functools import partial
from uuid import UUID

from celery import current_app
from django.db import transaction
from django.db.models import ProtectedError
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from clusters import hooks, recording
from clusters.models import Cluster, Runtime, State
from clusters.signals import cluster_changed, cluster_closing, cluster_deleted
from mlops_platform.api.errors import Conflict, not_found
from mlops_platform.api.throttling.slots import Slots
from mlops_platform.coordination.locks import try_lock
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import lock_row
from organizations.deletion import finish, finish_all
from organizations.events.models import OrganizationEventType

logger = logging.getLogger(__name__)

BATCH = 500  # rows of one transaction
AT_ONCE = 500  # rows that the request itself deletes
OF_A_TURN = 5000  # rows that a task deletes before other tasks take their turns
TASK = "clusters.tasks.delete_rows"
TURNS = Slots(all=4, organization=2)  # at the same time: the threads are those of passes, too
ADVICE = "here: stop them first, or delete with ?force=true."
STALE_S = 60  # a request that no worker has taken for so long has a successor


class Left(Enum):
    """What a deletion has left of a cluster."""

    NONE = auto()
    SOME = auto()
    LOCKED = auto()  # only rows that other transactions have locked


def delete_cluster(cluster: Cluster, *, force: bool = False) -> Cluster | None:
    """Delete the cluster with its history; 409 while a workload in it waits or runs, unless forced.

    None where all of it is gone by now. Otherwise the cluster is returned. With containers it goes
    only after them, and is DELETING until they are stopped. In any other case it is deleted by now
    and tasks delete its rows. The row is locked against new foreign keys too: a submit at the same
    time gets 404.
    """
    with transaction.atomic():
        locked = _mark(cluster, force=force)
    if locked.deleted_at is None:
        return locked
    if not _has_more_elsewhere(locked) and (delete_rows(locked.pk, AT_ONCE) is Left.NONE):
        return None
    transaction.on_commit(lambda: request(locked.pk))
    return locked


def delete_clusters_of(organization_id: UUID, *, force: bool = False) -> None:
    """Delete the organization's clusters in the caller's transaction, all their rows by tasks.

    409 while a workload in one of them waits or runs, unless forced; with force also while there
    are containers in one: deleting this cluster, with force, stops them, and has to come first.
    """
    for cluster in Cluster.objects.filter(organization=organization_id).order_by("pk"):
        advice = f"in {cluster.name}: stop them first."
        if _mark(cluster, force=force, advice=advice).deleted_at is None:
            raise Conflict(
                f"Containers run in {cluster.name}: delete this cluster first, with ?force=true, "
                "and wait until it is gone.",
                code="cluster_in_use",
            )
        transaction.on_commit(partial(request, cluster.pk))


def _mark(cluster: Cluster, *, force: bool, advice: str = ADVICE) -> Cluster:
    """Mark the cluster as deleted, or close it where its containers have to be stopped first.

    `advice` ends the sentence of a refusal.
    """
    locked = lock_row(Cluster.objects.all(), cluster.pk, no_key=False)
    if locked is None:
        raise not_found()
    using = hooks.count_in_use(locked)
    if using and not force:
        them = "1 deployment waits or runs" if using == 1 else f"{using} deployments wait or run"
        raise Conflict(f"{them} {advice}", code="cluster_in_use")
    if using and locked.runtime != Runtime.SIMULATED:
        _close(locked)
        return locked
    locked.state, locked.deleted_at = State.DELETING, database_now()
    locked.save(update_fields=["state", "deleted_at"])
    recording.of_cluster(locked, OrganizationEventType.CLUSTER_DELETED, {"name": locked.name}, None)
    cluster_deleted.send(Cluster, cluster=locked)
    return locked


def delete_rows(cluster_id: UUID, most: int) -> Left:
    """Delete up to about `most` rows of a deleted cluster, and once none is left the cluster.

    Any number of calls at the same time delete each row once.
    """
    left = most
    for delete_some in hooks.delete_some_rows:
        while count := delete_some(cluster_id, min(left, BATCH)):
            left -= count
            if left <= 0:
                return Left.SOME
    deleted = Cluster.with_deleted.exclude(deleted_at=None)
    cluster = deleted.filter(pk=cluster_id).first()
    if cluster is None:
        return Left.NONE
    hooks.leave_cluster(cluster)
    try:
        with transaction.atomic():
            deleted.filter(pk=cluster_id).delete()
    except ProtectedError:  # locked rows, or a submit that had begun before the deletion
        return Left.LOCKED
    finish(cluster.organization_id)
    return Left.NONE


def take_turn(cluster_id: UUID) -> None:
    """Delete some rows, unless another worker does, and ask for another turn if some are left. The
    next sweep asks for those that are locked, which may stay so for long.

    Where this process, or the cluster's organization in it, takes as many turns as it may, the
    thread is given back at once, and the sweep asks again.
    """
    cluster = Cluster.with_deleted.filter(pk=cluster_id).only("organization_id").first()
    keys = {"organization": str(cluster.organization_id if cluster else "")}
    if not TURNS.acquire(keys):
        return
    try:
        with try_lock(f"deletion:{cluster_id}") as locked:
            left = delete_rows(cluster_id, OF_A_TURN) if locked else Left.NONE
    finally:
        TURNS.release(keys)
    if left is Left.SOME:
        request(cluster_id)


def request(cluster_id: UUID) -> None:
    """Ask for a turn. Never raises for want of Redis: the sweep asks again."""
    try:
        current_app.send_task(TASK, (str(cluster_id),), expires=STALE_S)
    except (RedisError, OperationalError, OSError) as error:
        extra = {"cluster_id": str(cluster_id), "error": str(error)}
        logger.warning("deletion not requested: redis is away; the sweep asks again", extra=extra)


def resume_all() -> None:
    """Ask for a turn for every deletion that is not finished. Two queries."""
    finish_all()
    unfinished = Cluster.with_deleted.exclude(deleted_at=None)
    for cluster_id in unfinished.order_by("deleted_at").values_list("pk", flat=True):
        request(cluster_id)


def _has_more_elsewhere(cluster: Cluster) -> bool:
    """Whether its endpoint has to be called, which no request does."""
    if cluster.runtime == Runtime.DOCKER:
        return cluster.endpoints.exclude(seen_at=None).exists()
    return cluster.runtime == Runtime.KUBERNETES and cluster.registries.exists()


def _close(locked: Cluster) -> None:
    if locked.state != State.DELETING:
        before = {"state": locked.state}
        locked.state, locked.changed_at = State.DELETING, database_now()
        locked.save(update_fields=["state", "changed_at"])
        after = {"state": locked.state}
        recording.of_cluster(locked, OrganizationEventType.CLUSTER_CHANGED, before, after)
        cluster_closing.send(Cluster, cluster=locked)
        cluster_changed.send(Cluster, cluster_id=locked.pk)
