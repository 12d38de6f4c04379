"""Connects to the runtimes of clusters' endpoints; this process keeps the connections."""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from uuid import UUID

from clusters.models import Cluster, Endpoint
from clusters.models import Runtime as Kind
from clusters.queries import guard_of, registries_of, secrets_of
from deployments.runtimes import limits
from deployments.runtimes.base import Access, Registry, Runtime, RuntimeUnavailable
from mlops_platform.sealing import Unsealable

logger = logging.getLogger(__name__)

Factory = Callable[[Cluster, Endpoint, str, Access, Sequence[Registry]], Runtime]
_factories: dict[str, Factory] = {}
# By endpoint, the latest used last; with a digest of what the connection depends on.
_open: dict[UUID, tuple[str, Runtime]] = {}
_lock = threading.Lock()
MOST_OPEN = 500  # each keeps two sockets, and a process has only so many
LEAVE_S = 5.0  # for an API server to answer a deleted cluster's last call


def register(kind: str, factory: Factory) -> Factory | None:
    """Make clusters of a kind of runtime use this factory; returns the factory from before."""
    previous = _factories.get(kind)
    _factories[kind] = factory
    return previous


def connect(
    cluster: Cluster,
    endpoint: Endpoint,
    node: str,
    registries: Sequence[Registry] | None = None,
) -> Runtime:
    """The runtime at an endpoint; `node` is the name of a Docker engine's only node.

    Sends nothing yet. Raises Unsealable where the credentials cannot be decrypted with the present
    keys. One query, none where the cluster's registries are given.
    """
    secrets = secrets_of(endpoint)
    if registries is None:
        registries = read_registries(cluster)
    if cluster.runtime == Kind.KUBERNETES:
        node = ""  # it has many nodes and knows their names
    digest = _digest(endpoint, node, secrets, registries)
    superseded: list[Runtime] = []
    with _lock:
        previous = _open.pop(endpoint.pk, None)
        if previous is not None and previous[0] == digest:
            _open[endpoint.pk] = previous
            return previous[1]
        if previous is not None:
            superseded.append(previous[1])
        access = Access(endpoint.url, **secrets, guard=guard_of(endpoint))
        runtime = _factories[cluster.runtime](cluster, endpoint, node, access, registries)
        _open[endpoint.pk] = (digest, runtime)
        while len(_open) > MOST_OPEN:
            superseded.append(_open.pop(next(iter(_open)))[1])
    for each in superseded:
        each.close()  # its idle sockets: a call that is under way ends as it would
    return runtime


def connect_to(endpoint: Endpoint) -> Runtime:
    """As `connect`, for a caller that has only the endpoint. Two queries."""
    node = endpoint.nodes.first()
    return connect(endpoint.cluster, endpoint, node.name if node else "")


def is_connected(endpoint_id: UUID) -> bool:
    return endpoint_id in _open


def disconnect(endpoint_id: UUID) -> None:
    """Close the endpoint's connection, if there is one."""
    with _lock:
        connection = _open.pop(endpoint_id, None)
    if connection is not None:
        connection[1].close()


def forget_all() -> None:
    """Drop all connections without closing them: after a fork they are the parent's."""
    _open.clear()


def leave(cluster: Cluster) -> None:
    """Remove what a deleted cluster has at its endpoints besides replicas, before its rows go.

    An endpoint that does not answer keeps it; there is no second try. One query, and one more where
    there is anything to remove.
    """
    endpoints = Endpoint.objects.select_related("cluster").filter(cluster=cluster)
    # The Secret with credentials of registries; and networks of gangs, which no other pass finds.
    if cluster.runtime == Kind.DOCKER:
        _leave(list(endpoints.exclude(seen_at=None)))
    elif cluster.runtime == Kind.KUBERNETES and cluster.registries.exists():
        _leave(list(endpoints))


def _leave(endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        try:
            with limits.within(LEAVE_S):
                connect(endpoint.cluster, endpoint, "", registries=()).tidy(leaving=True)
        except (RuntimeUnavailable, Unsealable) as error:
            extra = {"endpoint_id": str(endpoint.pk), "error": str(error)}
            logger.warning("what a deleted cluster has there is left behind", extra=extra)
        disconnect(endpoint.pk)


def read_registries(cluster: Cluster) -> list[Registry]:
    """One query; raises Unsealable."""
    return [Registry(*row) for row in registries_of(cluster)]


def _digest(
    endpoint: Endpoint, node: str, secrets: dict[str, str], registries: Sequence[Registry]
) -> str:
    """Of all that a connection depends on."""
    text = repr((endpoint.url, endpoint.namespace, endpoint.trusted, node, sorted(secrets.items())))
    text += repr([(each.host, each.username, each.password) for each in registries])
    return hashlib.sha256(text.encode()).hexdigest()


def _docker(
    cluster: Cluster, _: Endpoint, node: str, access: Access, registries: Sequence[Registry]
) -> Runtime:
    # Imported here: it would cost every process 20 MiB.
    from deployments.runtimes.docker.runtime import DockerRuntime

    return DockerRuntime(access, cluster_id=str(cluster.pk), node=node, registries=registries)


def _kubernetes(
    cluster: Cluster, endpoint: Endpoint, _: str, access: Access, registries: Sequence[Registry]
) -> Runtime:
    # Imported here: it would cost every process 60 MiB.
    from deployments.runtimes.kubernetes.runtime import KubernetesRuntime

    return KubernetesRuntime(
        access,
        cluster_id=str(cluster.pk),
        namespace=endpoint.namespace,
        registries=registries,
    )


register(Kind.DOCKER, _docker)
register(Kind.KUBERNETES, _kubernetes)
