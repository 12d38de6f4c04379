"""Reads clusters, nodes, quotas and endpoints, as far as a user may see them."""

from collections.abc import Callable, Collection, Iterable
from uuid import UUID

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    ExpressionWrapper,
    F,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)

from accounts.models import User
from clusters.endpoints import address_policy
from clusters.models import (
    Cluster,
    Endpoint,
    MaintenanceWindow,
    Node,
    NodeState,
    Quota,
    Registry,
    Runtime,
    State,
    Volume,
)
from clusters.nodes.maintenance import STRICTEST_FIRST, DrainMode
from mlops_platform.api.errors import not_found
from mlops_platform.api.ids import parse_uuid
from mlops_platform.api.resources import RESOURCES, Amounts
from mlops_platform.sealing import unseal
from organizations.access import organizations_of


def clusters_visible_to(user: User) -> QuerySet[Cluster]:
    """The clusters of the user's organizations, oldest first; no query of its own."""
    visible = Cluster.objects.filter(organization__in=organizations_of(user))
    return visible.select_related("organization").order_by("created_at", "id")


def cluster_by_id(cluster_id: UUID | str) -> Cluster:
    """The cluster, whatever the user may see; 404 where there is none. One query."""
    key = parse_uuid(cluster_id)
    rows = Cluster.objects.select_related("organization")
    cluster = rows.filter(pk=key).first() if key else None
    if cluster is None:
        raise not_found()
    return cluster


def nodes_in(cluster: Cluster) -> QuerySet[Node]:
    """Its nodes and their endpoints, oldest first; each knows its cluster without a query."""
    return cluster.nodes.order_by("id").select_related("endpoint").defer("endpoint__secrets")


def node_names(ids: Collection[str]) -> dict[str | None, str]:
    """The names of these nodes, by id as text. One query, none for no id."""
    if not ids:
        return {}
    found = Node.objects.filter(pk__in=ids).values_list("pk", "name")
    return {str(pk): name for pk, name in found}


def volumes_in(cluster: Cluster | UUID) -> QuerySet[Volume]:
    """Its volumes, oldest first."""
    return Volume.objects.filter(cluster=cluster).order_by("id")


def windows_in(cluster: Cluster) -> QuerySet[MaintenanceWindow]:
    """Its maintenance windows, with their nodes, the last begin first; each knows its cluster
    without a query."""
    return cluster.windows.order_by("-begins_at", "id").prefetch_related("nodes")


def quotas_in(cluster: Cluster) -> QuerySet[Quota]:
    """Its quotas with their users, the default first, then oldest first."""
    of_user = ExpressionWrapper(Q(user__isnull=False), output_field=BooleanField())
    quotas = Quota.objects.filter(cluster=cluster).select_related("user")
    return quotas.annotate(of_user=of_user).order_by("of_user", "id")


def quota_in(cluster: Cluster, owner_id: UUID | None) -> Quota:
    """Its quota of the owner, or without one its default; 404 where it has none. One query."""
    quota = quotas_in(cluster).filter(user=owner_id).first()
    if quota is None:
        raise not_found()
    return quota


def effective_state() -> Case:
    """`Node.effective_state` in SQL; the two are compared by a test."""
    return Case(
        *(
            When(Q(state=state) | Q(observed=state) | Q(judged=state), then=Value(str(state)))
            for state in STRICTEST_FIRST
        ),
        default=Value(str(NodeState.READY)),
        output_field=CharField(),
    )


def drains_at_checkpoint(node_ids: Collection[str]) -> bool:
    """Whether one of these nodes is being drained at checkpoints. One query, none for no node."""
    if not node_ids:
        return False
    draining = Node.objects.filter(state=NodeState.DRAINING, drain_mode=DrainMode.AT_CHECKPOINT)
    return draining.filter(pk__in=node_ids).exists()


def nodes_away(ids: Collection[str], clusters: Collection[UUID]) -> list[Node]:
    """The nodes that do not answer, of these nodes and of all nodes of these clusters, with their
    endpoints; of the clusters also those that are cordoned for starts that failed there.

    One query, none where neither are given.
    """
    if not ids and not clusters:
        return []
    away = Q(observed=NodeState.NOT_READY)
    failing = Q(judged=NodeState.CORDONED)
    concerned = Q(away, pk__in=ids) | Q(away | failing, cluster__in=clusters)
    found = Node.objects.filter(concerned)
    return list(found.select_related("endpoint").defer("endpoint__secrets"))


def silent_api_server(node: Node) -> Endpoint | None:
    """The node's API server, where it is that one which does not answer. No query of its own for a
    node of nodes_away."""
    server = node.endpoint
    is_silent = server is not None and server.error and server.namespace
    return server if is_silent else None


def attach_closed(clusters: Iterable[Cluster]) -> None:
    """Attach what is free on the closed nodes of each cluster, in which nothing can start there, as
    its `closed`: Amounts. In a cluster that is not ACTIVE all that is free is closed. One query."""
    clusters = list(clusters)
    free = {f"free_{name}": Sum(F(name) - F(f"allocated_{name}")) for name in RESOURCES}
    is_open = Q(state=NodeState.READY, observed=NodeState.READY, judged=NodeState.READY)
    active = [each.pk for each in clusters if each.state == State.ACTIVE]
    nodes = Node.objects.filter(cluster__in=active).exclude(is_open).order_by()
    sums = nodes.values("cluster_id").annotate(**free).values_list("cluster_id", *free)
    found = {pk: Amounts(*amounts) for pk, *amounts in sums}
    for cluster in clusters:
        everything = Amounts(cluster.free_cpu_milli, cluster.free_ram_mib, cluster.free_gpu)
        active_one = cluster.state == State.ACTIVE
        cluster.__dict__["closed"] = found.get(cluster.pk, Amounts()) if active_one else everything


def closed_in(cluster: Cluster) -> Amounts:
    """One query, none after attach_closed."""
    if "closed" not in cluster.__dict__:
        attach_closed([cluster])
    found: Amounts = cluster.__dict__["closed"]
    return found


# --- Endpoints -----------------------------------------------------------------------------------


def attach_api_servers(clusters: Iterable[Cluster]) -> None:
    """Attach the API servers of all Kubernetes clusters among them. One query at most."""
    by_id = {each.pk: each for each in clusters if each.runtime == Runtime.KUBERNETES}
    if by_id:
        found = Endpoint.objects.filter(cluster__in=by_id).defer("secrets")
        servers = {each.cluster_id: each for each in found}
        for pk, cluster in by_id.items():
            cluster.__dict__["api_server"] = servers.get(pk)


def api_server_of(cluster: Cluster) -> Endpoint | None:
    """The API server of a Kubernetes cluster, None before it is attached. One query, none after
    attach_api_servers."""
    if cluster.runtime != Runtime.KUBERNETES:
        return None
    if "api_server" not in cluster.__dict__:
        attach_api_servers([cluster])
    found: Endpoint | None = cluster.__dict__["api_server"]
    return found


def secrets_of(endpoint: Endpoint) -> dict[str, str]:
    """`ca`, `cert`, `key` and `token`, each where there is one; raises sealing.Unsealable.

    For the client that connects, and no other code.
    """
    return unseal(endpoint.secrets)


def guard_of(endpoint: Endpoint) -> Callable[[str], str | None] | None:
    """Judges each address that a connection has reached; None where all addresses are allowed."""
    return None if endpoint.trusted else address_policy.refusal


def registries_in(cluster: Cluster) -> QuerySet[Registry]:
    """Its registries, oldest first, without their sealed passwords."""
    return Registry.objects.filter(cluster=cluster).order_by("id").defer("secret")


def registries_of(cluster: Cluster) -> list[tuple[str, str, str]]:
    """(host, user name, password) of each; raises sealing.Unsealable. For runtimes only."""
    rows = Registry.objects.filter(cluster=cluster).order_by("host")
    return [(each.host, each.username, unseal(each.secret)["password"]) for each in rows]
