"""What may be done to a cluster. Access is decided before (queries.py), the row's lock taken here.

Lock order of the whole platform: the cluster's row first, deployments' rows after it.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from clusters import hooks
from clusters.models import Cluster, Runtime, State
from clusters.signals import cluster_changed, cluster_closing, owners_matter
from mlops_platform.api.errors import Conflict, not_found
from mlops_platform.api.resources import RESOURCES, UNITS, public_amount
from organizations.access import require
from organizations.models import Role

TOTALS = frozenset(f"total_{resource}" for resource in RESOURCES)
OF_NO_CONCERN = frozenset({"name", "node_lost_after_s"})  # to the scheduler


def lock_cluster(cluster_id: UUID) -> Cluster:
    """The row, locked until the transaction ends; raises Cluster.DoesNotExist.

    NO KEY, so that an insert's foreign key check never waits for a cycle that holds the lock.
    """
    return Cluster.objects.select_for_update(no_key=True).get(pk=cluster_id)


def lock_clusters(cluster_ids: Iterable[UUID]) -> list[Cluster]:
    """Those of them that are there, locked alike in the order of their ids: no two wait in a ring.

    One query.
    """
    locked = Cluster.objects.select_for_update(no_key=True).filter(pk__in=cluster_ids)
    return list(locked.order_by("pk"))


def create_cluster(user: User, organization_id: str | UUID, columns: Mapping[str, Any]) -> Cluster:
    """404 or 403 by the user's role, 409 where the organization has a cluster of that name."""
    membership = require(user, organization_id, Role.ADMIN)
    try:
        with transaction.atomic():
            return Cluster.objects.create(organization_id=membership.organization_id, **columns)
    except IntegrityError as error:
        raise _name_taken(error, columns["name"]) from None


def change_cluster(cluster: Cluster, changes: Mapping[str, Any]) -> Cluster:
    """Set the given columns (name, totals, policy, state) and wake the scheduler where it matters.

    409 where a total would fall below what is allocated, where the nodes make the totals, where
    another cluster has the name, or for the state of a cluster that is being deleted.
    """
    try:
        with transaction.atomic():
            return _change(cluster.pk, changes)
    except Cluster.DoesNotExist:
        raise not_found() from None
    except IntegrityError as error:
        raise _name_taken(error, changes.get("name", cluster.name)) from None


def pause(cluster_id: UUID) -> Cluster:
    """What runs goes on; nothing starts."""
    return set_state(cluster_id, State.PAUSED)


def resume(cluster_id: UUID) -> Cluster:
    return set_state(cluster_id, State.ACTIVE)


def drain(cluster_id: UUID) -> Cluster:
    """The next cycle requeues what runs; nothing starts."""
    return set_state(cluster_id, State.DRAINING)


def set_state(cluster_id: UUID, state: State) -> Cluster:
    """For operators, who need no role; raises Cluster.DoesNotExist."""
    with transaction.atomic():
        return _change(cluster_id, {"state": state})


def refuse_closing(cluster: Cluster) -> None:
    """409 where it is being deleted: nothing new may come."""
    if cluster.state == State.DELETING:
        raise _closing()


def delete_cluster(cluster: Cluster, *, force: bool = False) -> Cluster | None:
    """Delete it with its history; 409 while anything in it waits or runs, unless forced.

    None once it is gone. Where containers may run it goes only after them: it is DELETING until
    they are stopped. Locks the row against new foreign keys too: a submit that comes between is
    told 404.
    """
    with transaction.atomic():
        try:
            locked = Cluster.objects.select_for_update().get(pk=cluster.pk)
        except Cluster.DoesNotExist:
            raise not_found() from None
        if locked.runtime == Runtime.SIMULATED:
            _delete(locked, force=force)
            return None
        try:
            with transaction.atomic():
                _delete(locked, force=False)
        except Conflict:
            if not force:
                raise
            _close(locked)
            return locked
    return None


def _delete(locked: Cluster, *, force: bool) -> None:
    hooks.delete_workloads(locked, force=force)
    locked.delete()


def _close(locked: Cluster) -> None:
    if locked.state != State.DELETING:
        locked.state, locked.changed_at = State.DELETING, timezone.now()
        locked.save(update_fields=["state", "changed_at"])
        cluster_closing.send(Cluster, cluster=locked)
        cluster_changed.send(Cluster, cluster_id=locked.pk)


def _closing() -> Conflict:
    said = "The cluster is being deleted: it goes once what runs in it has been stopped."
    return Conflict(said, code="cluster_deleting")


def _change(cluster_id: UUID, changes: Mapping[str, Any]) -> Cluster:
    cluster = lock_cluster(cluster_id)
    changed = [name for name, value in changes.items() if getattr(cluster, name) != value]
    if not changed:
        return cluster
    if "state" in changed:
        _refuse_deleting(cluster, changes["state"])
    by_owner_before = cluster.by_owner
    for name in changed:
        setattr(cluster, name, changes[name])
    if TOTALS.intersection(changed):
        _refuse_below_allocated(cluster)
        _refuse_beside_nodes(cluster)
    concerns_scheduling = not OF_NO_CONCERN.issuperset(changed)
    if concerns_scheduling:
        cluster.changed_at = timezone.now()
        changed.append("changed_at")
    cluster.save(update_fields=changed)
    if cluster.by_owner != by_owner_before:
        owners_matter.send(Cluster, cluster=cluster)
    if concerns_scheduling:
        cluster_changed.send(Cluster, cluster_id=cluster_id)
    return cluster


def _refuse_below_allocated(cluster: Cluster) -> None:
    for resource in RESOURCES:
        total = getattr(cluster, f"total_{resource}")
        allocated = getattr(cluster, f"allocated_{resource}")
        if total < allocated:
            _, unit = UNITS[resource]
            raise Conflict(
                f"{unit}: {public_amount(resource, allocated)} allocated, so the total cannot be "
                f"{public_amount(resource, total)}.",
                code="below_allocated",
            )


def _refuse_deleting(cluster: Cluster, state: str) -> None:
    """Into DELETING leads the deletion alone, and nothing leads out of it."""
    refuse_closing(cluster)
    if state == State.DELETING:
        raise Conflict("DELETING is no state to set: delete the cluster.", code="not_settable")


def _refuse_beside_nodes(cluster: Cluster) -> None:
    if cluster.runtime != Runtime.SIMULATED or cluster.nodes.exists():
        raise Conflict(
            "The totals are the sum of the cluster's nodes: change those instead.", code="has_nodes"
        )


def _name_taken(error: IntegrityError, name: str) -> Exception:
    """The 409 for a lost race as for a plain duplicate; any other breach is passed on."""
    if "cluster_name_unique" not in str(error):
        return error
    return Conflict(f"The organization has a cluster named {name!r} already.", code="name_taken")
