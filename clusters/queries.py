"""What may be read of clusters, and by whom."""

from uuid import UUID

from django.db.models import QuerySet

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node, Registry
from clusters.sealing import unseal
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


def nodes_in(cluster: Cluster) -> QuerySet[Node]:
    """Its nodes, oldest first, where the caller has been found to see the cluster."""
    return Node.objects.filter(cluster=cluster).order_by("id")


def node_for(
    user: User, cluster_id: UUID | str, node_id: UUID | str, role: Role = Role.VIEWER
) -> Node:
    """The node of that cluster; 404 and 403 as above. Three queries."""
    node = nodes_in(cluster_for(user, cluster_id, role)).filter(pk=as_uuid(node_id)).first()
    if node is None:
        raise not_found()
    return node


def as_uuid(text: UUID | str) -> UUID:
    """The id that the text spells; 404 where it spells none, for then nothing has it."""
    try:
        return UUID(str(text))
    except ValueError:
        raise not_found() from None


def secrets_of(endpoint: Endpoint) -> dict[str, str]:
    """What its runtime's client needs: `ca`, `cert`, `key`, `token`, each only where there is one.

    For that client alone: never shown, logged or kept. Raises Unsealable.
    """
    return {name: text for name, text in unseal(endpoint.secrets).items() if text}


def registries_of(cluster: Cluster) -> list[tuple[str, str, str]]:
    """Host, user name and password of each of its registries; likewise. One query."""
    rows = Registry.objects.filter(cluster=cluster).order_by("host")
    return [(row.host, row.username, unseal(row.secret)["password"]) for row in rows]
