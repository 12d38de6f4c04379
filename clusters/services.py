"""What may be done to a cluster. Access is decided before (queries.py), the row's lock taken here.

Lock order of the whole platform: the cluster's row first, deployments' rows after it.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster, State
from clusters.signals import cluster_changed, cluster_deleting
from mlops_platform.api.errors import Conflict, not_found
from mlops_platform.api.fields import cores
from organizations.access import require
from organizations.models import Role

RESOURCES = ("cpu_milli", "ram_mib", "gpu")
TOTALS = frozenset(f"total_{resource}" for resource in RESOURCES)
PEOPLE_SAY = {"cpu_milli": "CPU cores", "ram_mib": "MiB of RAM", "gpu": "GPUs"}


def lock_cluster(cluster_id: UUID) -> Cluster:
    """The row, locked until the transaction ends; raises Cluster.DoesNotExist.

    NO KEY, so that an insert's foreign key check never waits for a cycle that holds the lock.
    """
    return Cluster.objects.select_for_update(no_key=True).get(pk=cluster_id)


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

    409 where a total would fall below what is allocated, where the nodes make the totals, or where
    another cluster has the name.
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


def delete_cluster(cluster: Cluster, *, force: bool = False) -> None:
    """Delete it with its history; 409 while anything in it waits or runs, unless forced.

    Locks the row against new foreign keys too: a submit that comes between is told 404.
    """
    with transaction.atomic():
        try:
            locked = Cluster.objects.select_for_update().get(pk=cluster.pk)
        except Cluster.DoesNotExist:
            raise not_found() from None
        cluster_deleting.send(Cluster, cluster=locked, force=force)
        locked.delete()


def _change(cluster_id: UUID, changes: Mapping[str, Any]) -> Cluster:
    cluster = lock_cluster(cluster_id)
    changed = [name for name, value in changes.items() if getattr(cluster, name) != value]
    if not changed:
        return cluster
    for name in changed:
        setattr(cluster, name, changes[name])
    if TOTALS.intersection(changed):
        _refuse_below_allocated(cluster)
        _refuse_beside_nodes(cluster)
    concerns_scheduling = changed != ["name"]
    if concerns_scheduling:
        cluster.changed_at = timezone.now()
        changed.append("changed_at")
    cluster.save(update_fields=changed)
    if concerns_scheduling:
        cluster_changed.send(Cluster, cluster_id=cluster_id)
    return cluster


def _refuse_below_allocated(cluster: Cluster) -> None:
    for resource in RESOURCES:
        total = getattr(cluster, f"total_{resource}")
        allocated = getattr(cluster, f"allocated_{resource}")
        if total < allocated:
            if resource == "cpu_milli":
                total, allocated = cores(total), cores(allocated)
            raise Conflict(
                f"{PEOPLE_SAY[resource]}: {allocated} allocated, so the total cannot be {total}.",
                code="below_allocated",
            )


def _refuse_beside_nodes(cluster: Cluster) -> None:
    if cluster.nodes.exists():
        raise Conflict(
            "The totals are the sum of the cluster's nodes: change those instead.", code="has_nodes"
        )


def _name_taken(error: IntegrityError, name: str) -> Exception:
    """The 409 for a lost race as for a plain duplicate; any other breach is passed on."""
    if "cluster_name_unique" not in str(error):
        return error
    return Conflict(f"The organization has a cluster named {name!r} already.", code="name_taken")
