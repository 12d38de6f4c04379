"""Quotas: how much of a cluster one owner's deployments may hold at once.

Whoever leaves the organization keeps theirs: their deployments go on, and so does the limit.
"""

from collections.abc import Mapping
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from clusters.models import Cluster, Quota
from clusters.services.clusters import lock_cluster, refuse_closing
from clusters.signals import cluster_changed, owners_matter
from mlops_platform.api.errors import Invalid, not_found
from mlops_platform.api.resources import PUBLIC_NAMES
from organizations.queries import member_of

# The columns of the limits, by what the API calls them.
LIMITS = {f"max_{name}": f"max_{column}" for column, name in PUBLIC_NAMES.items()}
NEEDS_A_LIMIT = "A default needs a limit of at least one resource."


def put_quota(
    cluster: Cluster, user_id: UUID | None, limits: Mapping[str, int | None]
) -> tuple[Quota, bool]:
    """Set a member's limits by column, or without a user the default's; and whether it is new.

    They replace those of before as a whole: what is not given is no limit. 404 for whoever is no
    member, 400 for a default that limits nothing, 409 where the cluster is being deleted.
    """
    given = {column: limits.get(column) for column in LIMITS.values()}
    user = None if user_id is None else member_of(cluster.organization_id, user_id).user
    if user is None and not any(limit is not None for limit in given.values()):
        raise Invalid(dict.fromkeys(LIMITS, NEEDS_A_LIMIT))
    try:
        with transaction.atomic():
            locked = lock_cluster(cluster.pk)
            refuse_closing(locked)
            quota, created = Quota.objects.get_or_create(cluster=locked, user=user, defaults=given)
            changed = [name for name, limit in given.items() if getattr(quota, name) != limit]
            if changed:
                for name in changed:
                    setattr(quota, name, given[name])
                quota.save(update_fields=changed)
            if created or changed:
                _tell(locked)
    except Cluster.DoesNotExist:
        raise not_found() from None
    except IntegrityError as error:
        if "user_id" not in str(error):
            raise
        raise not_found() from None  # the user has been deleted since
    quota.user = user
    return quota, created


def delete_quota(cluster: Cluster, user_id: UUID | None) -> None:
    """A user's own, so that the default holds for them, or the default. 404 where there is none,
    409 where the cluster is being deleted."""
    try:
        with transaction.atomic():
            locked = lock_cluster(cluster.pk)
            refuse_closing(locked)
            if not _delete(locked, user_id):
                raise not_found()
    except Cluster.DoesNotExist:
        raise not_found() from None


def forget_user(user: User) -> None:
    """Delete all quotas of somebody who is about to be deleted, within the caller's transaction."""
    clusters = Cluster.objects.filter(quotas__user=user).order_by("pk")
    for locked in clusters.select_for_update(no_key=True, of=("self",)):
        _delete(locked, user.pk)


def _delete(locked: Cluster, user_id: UUID | None) -> bool:
    deleted, _ = Quota.objects.filter(cluster=locked, user=user_id).delete()
    if deleted:
        _tell(locked)
    return deleted > 0


def _tell(locked: Cluster) -> None:
    """Its quotas have changed: a cycle has to look, and keys to follow where owners begin or cease
    to matter."""
    by_owner_before = locked.by_owner
    locked.has_quotas = Quota.objects.filter(cluster=locked).exists()
    locked.changed_at = timezone.now()
    locked.save(update_fields=["has_quotas", "changed_at"])
    if locked.by_owner != by_owner_before:
        owners_matter.send(Cluster, cluster=locked)
    cluster_changed.send(Cluster, cluster_id=locked.pk)
