"""The runtimes of a cluster's endpoints, connected and kept by this process."""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

from django.db import transaction

from clusters.models import Cluster, Endpoint
from clusters.models import Runtime as Kind
from clusters.queries import guard_of, registries_of, secrets_of
from clusters.secrets import Unsealable
from deployments.runtimes.base import Access, Registry, Runtime, RuntimeUnavailable

logger = logging.getLogger(__name__)

_Kept = tuple[str, Runtime]  # a digest of all that the connection depends on
_kept: dict[UUID, _Kept] = {}
_lock = threading.Lock()


def connect(
    cluster: Cluster,
    endpoint: Endpoint,
    node: str,
    registries: Sequence[Registry] | None = None,
) -> Runtime:
    """The runtime behind an endpoint; `node` is the name of a Docker engine's only node.

    Nothing is sent yet. Raises Unsealable where the secrets cannot be read with the present keys.
    One query, none where the cluster's registries are given.
    """
    secrets = secrets_of(endpoint)
    if registries is None:
        registries = read_registries(cluster)
    if cluster.runtime == Kind.KUBERNETES:
        node = ""  # it has many, and knows them itself
    told = repr((endpoint.url, endpoint.namespace, endpoint.trusted, node, sorted(secrets.items())))
    told += repr([(each.host, each.username, each.password) for each in registries])
    digest = hashlib.sha256(told.encode()).hexdigest()
    with _lock:
        kept = _kept.get(endpoint.pk)
        if kept is not None and kept[0] == digest:
            return kept[1]
        access = Access(endpoint.url, **secrets, guard=guard_of(endpoint))
        runtime = FACTORIES[cluster.runtime](cluster, endpoint, node, access, registries)
        _kept[endpoint.pk] = (digest, runtime)
    if kept is not None:
        kept[1].close()
    return runtime


def leave(cluster: Cluster) -> None:
    """Clear away, after the commit, what is at a cluster's endpoints besides replicas: it is
    deleted, as the caller has made sure. As far as they answer; nobody will try it again.

    One query, and another where there is anything to clear away.
    """
    # Elsewhere credentials are not left at the endpoint.
    if cluster.runtime == Kind.KUBERNETES and cluster.registries.exists():
        endpoints = list(Endpoint.objects.select_related("cluster").filter(cluster=cluster))
        transaction.on_commit(partial(_leave, endpoints))


def _leave(endpoints: Sequence[Endpoint]) -> None:
    for endpoint in endpoints:
        try:
            connect(endpoint.cluster, endpoint, "", registries=()).tidy()
        except (RuntimeUnavailable, Unsealable) as error:
            extra = {"endpoint_id": str(endpoint.pk), "error": str(error)}
            logger.warning("the Secret for pulling images is left behind", extra=extra)
        with _lock:
            kept = _kept.pop(endpoint.pk, None)
        if kept is not None:
            kept[1].close()


def read_registries(cluster: Cluster) -> list[Registry]:
    """One query; raises Unsealable."""
    return [Registry(*row) for row in registries_of(cluster)]


def _docker(
    cluster: Cluster, _: Endpoint, node: str, access: Access, registries: Sequence[Registry]
) -> Runtime:
    from deployments.runtimes.docker import DockerRuntime  # costs every process 20 MiB otherwise

    return DockerRuntime(access, cluster_id=str(cluster.pk), node=node, registries=registries)


def _kubernetes(
    cluster: Cluster, endpoint: Endpoint, _: str, access: Access, registries: Sequence[Registry]
) -> Runtime:
    from deployments.runtimes.kubernetes import KubernetesRuntime  # 60 MiB

    return KubernetesRuntime(
        access,
        cluster_id=str(cluster.pk),
        namespace=endpoint.namespace,
        registries=registries,
    )


Factory = Callable[[Cluster, Endpoint, str, Access, Sequence[Registry]], Runtime]
FACTORIES: dict[str, Factory] = {Kind.DOCKER: _docker, Kind.KUBERNETES: _kubernetes}
