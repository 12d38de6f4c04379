"""What may be read of clusters, and by whom."""

from uuid import UUID

from django.db.models import QuerySet

from accounts.models import User
from clusters.models import Cluster
from mlops_platform.api.errors import not_found
from organizations.access import organizations_of, require
from organizations.models import Role


def clusters_visible_to(user: User) -> QuerySet[Cluster]:
    """Those of the user's organizations, oldest first; no query of its own."""
    return Cluster.objects.filter(organization__in=organizations_of(user)).order_by(
        "created_at", "id"
    )


def cluster_for(user: User, cluster_id: UUID | str, role: Role = Role.VIEWER) -> Cluster:
    """The cluster; 404 where the user may not see it, 403 where their role is below `role`.

    Two queries.
    """
    cluster = Cluster.objects.filter(pk=as_uuid(cluster_id)).first()
    if cluster is None:
        raise not_found()
    require(user, cluster.organization_id, role)
    return cluster


def as_uuid(text: UUID | str) -> UUID:
    """The id that the text spells; 404 where it spells none, for then nothing has it."""
    try:
        return UUID(str(text))
    except ValueError:
        raise not_found() from None
