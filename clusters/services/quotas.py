"""Sets and deletes quotas: the most of a cluster that one owner's deployments may have at once.

A user who leaves the organization keeps the quota: the user's deployments go on, and so does the
limit.
"""

from collections.abc import Mapping
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.models import User
from clusters import recording
from clusters.models import Cluster, Quota
from clusters.services.clusters import lock_cluster_or_404, lock_clusters, refuse_closing
from clusters.signals import cluster_changed, keys_change
from mlops_platform.api.errors import Invalid, not_found
from mlops_platform.api.resources import PUBLIC_NAMES
from mlops_platform.database.clock import database_now
from organizations.events.models import OrganizationEventType as Type
from organizations.events.models import TargetType
from organizations.events.recording import columns_of
from organizations.queries import member_of

# The columns of the limits, by what the API calls them.
LIMITS = {f"max_{name}": f"max_{column}" for column, name in PUBLIC_NAMES.items()}
DEFAULT = "default"
NEEDS_A_LIMIT = "A default needs a limit of at least one resource."


def put_quota(
    cluster: Cluster, user_id: UUID | None, limits: Mapping[str, int | None]
) -> tuple[Quota, bool]:
    """Set a member's limits, or without a user the default's: (quota, whether it is new).

    `limits` by column; a column that is not given has no limit. 404 for a user who is no member,
    400 for a default without any limit, 409 where the cluster is being deleted.
    """
    given = {column: limits.get(column) for column in LIMITS.values()}
    user = None if user_id is None else member_of(cluster.organization_id, user_id).user
    if user is None and not any(limit is not None for limit in given.values()):
        raise Invalid(dict.fromkeys(LIMITS, NEEDS_A_LIMIT))
    try:
        with transaction.atomic():
            locked = lock_cluster_or_404(cluster.pk)
            refuse_closing(locked)
            quota, created = Quota.objects.get_or_create(cluster=locked, user=user, defaults=given)
            changed = [name for name, limit in given.items() if getattr(quota, name) != limit]
            before = None if created else columns_of(quota, list(given))
            if changed:
                for name in changed:
                    setattr(quota, name, given[name])
                quota.save(update_fields=changed)
            if created or changed:
                _quotas_changed(locked)
                type_ = Type.QUOTA_CREATED if created else Type.QUOTA_CHANGED
                recording.of_part(locked, type_, _target(user), before, given)
    except IntegrityError as error:
        if "user_id" not in str(error):
            raise
        raise not_found() from None  # the user has been deleted since
    quota.user = user
    return quota, created


def delete_quota(cluster: Cluster, user_id: UUID | None) -> None:
    """Delete a user's quota, so that the default applies, or without a user the default. 404 where
    there is none, 409 where the cluster is being deleted."""
    with transaction.atomic():
        locked = lock_cluster_or_404(cluster.pk)
        refuse_closing(locked)
        if not _delete(locked, user_id):
            raise not_found()


def delete_quotas_of(user: User) -> None:
    """Delete all quotas of a user who is about to be deleted, in the caller's transaction."""
    clusters = Cluster.objects.filter(quotas__user=user)
    for locked in lock_clusters(clusters.values_list("pk", flat=True)):
        _delete(locked, user.pk)


def _delete(locked: Cluster, user_id: UUID | None) -> bool:
    found = Quota.objects.filter(cluster=locked, user=user_id).select_related("user").first()
    if found is None:
        return False
    before = columns_of(found, list(LIMITS.values()))
    found.delete()
    _quotas_changed(locked)
    recording.of_part(locked, Type.QUOTA_DELETED, _target(found.user), before, None)
    return True


def _target(user: User | None) -> tuple[TargetType, UUID | str, str]:
    if user is None:
        return TargetType.QUOTA, DEFAULT, DEFAULT
    return TargetType.QUOTA, user.pk, user.username


def _quotas_changed(locked: Cluster) -> None:
    """Wake the scheduler, and have the scheduling keys follow where the cluster begins or ceases to
    distinguish owners."""
    by_owner_before = locked.by_owner
    locked.has_quotas = Quota.objects.filter(cluster=locked).exists()
    locked.changed_at = database_now()
    locked.save(update_fields=["has_quotas", "changed_at"])
    if locked.by_owner != by_owner_before:
        keys_change.send(Cluster, cluster=locked)
    cluster_changed.send(Cluster, cluster_id=locked.pk)
