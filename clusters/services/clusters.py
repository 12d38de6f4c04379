"""Creates and changes clusters, under the row's lock. The caller has checked access.

Lock order of the whole platform: the cluster's row first, deployments' rows after it.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from accounts.models import User
from clusters import recording
from clusters.models import Cluster, Prepull, Runtime, State
from clusters.signals import cluster_changed, keys_change
from mlops_platform.api.errors import Conflict, Invalid, not_found
from mlops_platform.api.resources import RESOURCES, UNITS, public_amount
from mlops_platform.database.clock import database_now
from mlops_platform.database.row_waits import (
    SHORT_S,
    Limits,
    lock_row,
    lock_rows,
    transaction_limits,
)
from organizations.access import require
from organizations.events.models import OrganizationEventType
from organizations.events.recording import columns_of
from organizations.models import Organization, Role

TOTALS = frozenset(f"total_{resource}" for resource in RESOURCES)
IDLE_S = 3  # that a process with a cluster's lock may be silent
LIMITS = transaction_limits(idle_in_transaction_session_timeout=IDLE_S, lock_timeout=SHORT_S)
NOT_READ_BY_SCHEDULER = frozenset(
    {
        "name",
        "node_lost_after_s",
        "max_queued",
        "max_queued_per_user",
        "prepull",
        "fail_impossible_after_s",
    }
)


def lock_cluster(cluster_id: UUID, *, limits: Limits = LIMITS) -> Cluster:
    """The row, locked until the transaction ends; raises Cluster.DoesNotExist, and as lock_row.

    NO KEY, so that the foreign key check of an insert never waits for a cycle. PostgreSQL ends the
    session, and with it the lock, of a process that then says nothing for IDLE_S: it is frozen.
    Whatever else is locked, the transaction waits for it for SHORT_S, as others wait for this row.
    """
    cluster = lock_row(Cluster.objects.all(), cluster_id, limits=limits, patient=True)
    if cluster is None:
        raise Cluster.DoesNotExist
    return cluster


def refuse_locked(cluster_id: UUID) -> None:
    """Raises the OperationalError of a lock that is not available, at once, where another session
    has locked the row."""
    with transaction.atomic():
        Cluster.objects.select_for_update(no_key=True, nowait=True).filter(pk=cluster_id).first()


def lock_cluster_or_404(cluster_id: UUID) -> Cluster:
    """As lock_cluster, for a call of the API: 404 where the cluster is gone."""
    try:
        return lock_cluster(cluster_id)
    except Cluster.DoesNotExist:
        raise not_found() from None


def lock_clusters(cluster_ids: Iterable[UUID]) -> list[Cluster]:
    """The clusters that exist, locked as by lock_cluster, all or none (lock_rows)."""
    return lock_rows(Cluster.objects.all(), set(cluster_ids), limits=LIMITS)


def create_cluster(user: User, organization_id: str | UUID, columns: Mapping[str, Any]) -> Cluster:
    """A new cluster. 404 or 403 by the user's role in the organization, 409 where it has a cluster
    of that name, or as many as allowed."""
    membership = require(user, organization_id, Role.ADMIN)
    most = settings.MAX_CLUSTERS_PER_ORGANIZATION
    try:
        with transaction.atomic():
            live = Organization.objects.filter(deleted_at=None)
            organization = lock_row(live, membership.organization_id)
            if organization is None:
                raise not_found()
            if Cluster.objects.filter(organization=organization).count() >= most:
                raise Conflict(
                    f"The organization has {most} clusters, and may have no more.", "full"
                )
            _refuse_prepull(columns.get("runtime", Runtime.SIMULATED), columns)
            cluster = Cluster.objects.create(organization=organization, **columns)
            recording.cluster_created(cluster)
            return cluster
    except IntegrityError as error:
        raise _name_taken(error, columns["name"]) from None


def change_cluster(
    cluster: Cluster, changes: Mapping[str, Any], *, by: str | None = None
) -> Cluster:
    """Set name, totals, policy or state, and wake the scheduler where it reads them.

    409 where a total would fall below what is allocated, where the totals are those of the nodes,
    where another cluster has the name, or for the state of a cluster that is being deleted.
    """
    try:
        with transaction.atomic():
            return _change(lock_cluster_or_404(cluster.pk), changes, by=by)
    except IntegrityError as error:
        raise _name_taken(error, changes.get("name", cluster.name)) from None


def pause(cluster: Cluster, by: str | None = None) -> Cluster:
    """Running workloads go on; none starts."""
    return _set_state(cluster, State.PAUSED, by)


def resume(cluster: Cluster, by: str | None = None) -> Cluster:
    """Workloads may start again."""
    return _set_state(cluster, State.ACTIVE, by)


def drain(cluster: Cluster, by: str | None = None) -> Cluster:
    """The next cycle requeues the running workloads; none starts."""
    return _set_state(cluster, State.DRAINING, by)


def _set_state(cluster: Cluster, state: State, by: str | None) -> Cluster:
    """For operators, without a role; 404 where the cluster is gone, 409 while it is deleted."""
    with transaction.atomic():
        return _change(lock_cluster_or_404(cluster.pk), {"state": state}, by=by)


def refuse_closing(cluster: Cluster) -> None:
    """409 where the cluster is being deleted, so that nothing new is added to it."""
    if cluster.state == State.DELETING:
        raise Conflict(
            "The cluster is being deleted: it goes once what runs in it has been stopped.",
            code="cluster_deleting",
        )


def _change(cluster: Cluster, changes: Mapping[str, Any], *, by: str | None) -> Cluster:
    """The cluster's row is locked. `state_reason` of the changes is why it gets another state."""
    changes = dict(changes)
    reason = changes.pop("state_reason", "")
    changed = [name for name, value in changes.items() if getattr(cluster, name) != value]
    if not changed:
        return cluster
    _refuse_prepull(cluster.runtime, changes)
    if "state" in changed:
        _refuse_deleting(cluster, changes["state"])
    by_owner_before = cluster.by_owner
    before = columns_of(cluster, changed)
    for name in changed:
        setattr(cluster, name, changes[name])
    if TOTALS.intersection(changed):
        _refuse_below_allocated(cluster)
        _refuse_beside_nodes(cluster)
    scheduler_reads_it = not NOT_READ_BY_SCHEDULER.issuperset(changed)
    if scheduler_reads_it:
        cluster.changed_at = database_now()
        changed.append("changed_at")
    if "state" in changed:
        at = cluster.changed_at.isoformat()
        cluster.state_change = {"at": at, "by": by, "reason": reason}
        changed.append("state_change")
    cluster.save(update_fields=changed)
    after = columns_of(cluster, [*before]) | ({"reason": reason} if reason else {})
    recording.of_cluster(cluster, OrganizationEventType.CLUSTER_CHANGED, before, after)
    if cluster.by_owner != by_owner_before or "max_preemptions" in changed:
        keys_change.send(Cluster, cluster=cluster)
    if scheduler_reads_it:
        cluster_changed.send(Cluster, cluster_id=cluster.pk)
    return cluster


def _refuse_prepull(runtime: str, columns: Mapping[str, Any]) -> None:
    """400 where nothing could be pulled ahead."""
    if columns.get("prepull", Prepull.OFF) != Prepull.OFF and runtime != Runtime.DOCKER:
        why = {
            Runtime.KUBERNETES: "kubelets pull what their Pods need, and nothing before",
            Runtime.SIMULATED: "a simulated cluster has no images",
        }[Runtime(runtime)]
        raise Invalid({"prepull": f"Only in a docker cluster: {why}."})


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
    """409 for a change from DELETING, and into it, which only a deletion makes."""
    refuse_closing(cluster)
    if state == State.DELETING:
        raise Conflict("DELETING is no state to set: delete the cluster.", code="not_settable")


def _refuse_beside_nodes(cluster: Cluster) -> None:
    if cluster.runtime != Runtime.SIMULATED or cluster.nodes.exists():
        raise Conflict(
            "The totals are the sum of the cluster's nodes: change those instead.", code="has_nodes"
        )


def _name_taken(error: IntegrityError, name: str) -> Exception:
    """A 409 where the name is taken; any other error is returned as it is."""
    if "cluster_name_unique" not in str(error):
        return error
    return Conflict(f"The organization has a cluster named {name!r} already.", code="name_taken")
