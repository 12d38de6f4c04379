"""Attaches real machines: clusters and nodes together with their endpoints.

Checks what the cluster's runtime requires; clusters.py and nodes.py do the rest. Host names are
resolved before any transaction begins, and after the user's role is known. An operator (`trusted`)
may attach what a tenant may not: see attachment.py.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from rest_framework.exceptions import ValidationError

from accounts.models import User
from clusters import hooks, recording
from clusters.endpoints.attachment import (
    Attachment,
    BadEndpoint,
    docker_endpoint,
    kubernetes_endpoint,
)
from clusters.models import Cluster, Endpoint, Node, NodeState, Runtime
from clusters.services import clusters, nodes
from mlops_platform.api.errors import Conflict, Invalid
from mlops_platform.api.resources import PUBLIC_NAMES, RESOURCES
from mlops_platform.database.clock import database_now
from mlops_platform.sealing import seal
from organizations.access import require
from organizations.events.models import OrganizationEventType as Type
from organizations.events.recording import REPLACED
from organizations.models import Role

# --- Clusters ------------------------------------------------------------------------------------


def create_cluster(user: User, organization_id: str | UUID, body: Mapping[str, Any]) -> Cluster:
    """As clusters.create_cluster, with the API server of the kubeconfig where `body` has one."""
    columns, kubeconfig, namespace = _split(body)
    if kubeconfig is None:
        return clusters.create_cluster(user, organization_id, columns)
    require(user, organization_id, Role.ADMIN)
    attachment = api_server(kubeconfig, namespace or "")
    with transaction.atomic():
        cluster = clusters.create_cluster(user, organization_id, columns)
        _save(Endpoint(cluster=cluster), attachment)
    return cluster


def change_cluster(
    cluster: Cluster, body: Mapping[str, Any], *, trusted: bool = False, by: str | None = None
) -> Cluster:
    """As clusters.change_cluster; a kubeconfig replaces the API server's address and credentials.

    409 for another namespace while a workload runs in the present one.
    """
    columns, kubeconfig, namespace = _split(body)
    given = {"kubeconfig": kubeconfig, "namespace": namespace}
    if kubeconfig is None and namespace is None:
        return clusters.change_cluster(cluster, columns, by=by)
    if cluster.runtime != Runtime.KUBERNETES:
        fault = "Only in a kubernetes cluster."
        raise Invalid({name: fault for name, value in given.items() if value is not None})
    attachment = api_server(kubeconfig, namespace or "", trusted=trusted) if kubeconfig else None
    with transaction.atomic():
        changed = clusters.change_cluster(cluster, columns, by=by)
        _replace_api_server(changed, attachment, namespace, trusted=trusted)
        news = {"kubeconfig": kubeconfig and REPLACED, "namespace": namespace}
        after = {name: value for name, value in news.items() if value}
        recording.of_cluster(changed, Type.CLUSTER_CHANGED, None, after)
    return changed


def api_server(kubeconfig: str, namespace: str, *, trusted: bool = False) -> Attachment:
    try:
        return kubernetes_endpoint(kubeconfig, namespace, trusted=trusted)
    except BadEndpoint as bad:
        raise Invalid(bad.faults) from None


def _split(body: Mapping[str, Any]) -> tuple[dict[str, Any], str | None, str | None]:
    """(columns of the cluster, kubeconfig, namespace)."""
    columns = dict(body)
    return columns, columns.pop("kubeconfig", None), columns.pop("namespace", None)


def _replace_api_server(
    cluster: Cluster, attachment: Attachment | None, namespace: str | None, *, trusted: bool
) -> None:
    """Under the cluster's lock. Without an attachment only the namespace changes."""
    there = Endpoint.objects.filter(cluster=cluster).first()
    if attachment is None and there is None:
        raise Invalid({"namespace": "Give the kubeconfig too: none is attached yet."})
    if attachment is None and there is not None and there.trusted and not trusted:
        raise Conflict(
            "An operator has attached this cluster: give a kubeconfig of your own with the "
            "namespace.",
            code="attached_by_operator",
        )
    endpoint = there or Endpoint(cluster=cluster)
    if there is not None:
        namespace = namespace or there.namespace
        if namespace != there.namespace and _in_use(cluster):
            raise Conflict(
                f"What runs here runs in the namespace {there.namespace}: stop it first.",
                code="cluster_in_use",
            )
    if there is not None and attachment is not None and attachment.url != there.url:
        _refuse_in_use(cluster, f"What runs here runs at {there.url}")
    if attachment is None:
        endpoint.namespace = namespace or ""
        endpoint.save(update_fields=["namespace"])
    else:
        _save(endpoint, attachment, namespace)


# --- Nodes ---------------------------------------------------------------------------------------


def add_node(cluster: Cluster, body: Mapping[str, Any], *, trusted: bool = False) -> Node:
    """As nodes.add_node, with the endpoint of a Docker engine in a cluster of that runtime.

    Sizes that are left out there are 0, and the node is NOT_READY, until the engine has answered.
    409 where nodes are discovered, the engine is attached already, or the cluster is being deleted.
    """
    _refuse_discovered(cluster)
    columns = dict(body)
    given = columns.pop("endpoint", None)
    missing = [name for name in RESOURCES if name not in columns]
    if cluster.runtime == Runtime.SIMULATED:
        if given is not None:
            raise Invalid({"endpoint": "Only in a docker cluster."})
        if missing:
            raise Invalid({PUBLIC_NAMES[name]: "This field is required." for name in missing})
        return nodes.add_node(cluster, columns)
    if given is None:
        raise Invalid({"endpoint": "This field is required."})
    attachment = _engine(given, trusted=trusted)
    columns |= dict.fromkeys(missing, 0)
    columns |= {"discovered": missing, **_not_seen_yet()}
    with transaction.atomic():
        clusters.refuse_closing(clusters.lock_cluster_or_404(cluster.pk))
        endpoint = Endpoint(cluster=cluster)
        _refuse_twice(endpoint, attachment)
        _save(endpoint, attachment)
        return nodes.add_node(cluster, {**columns, "endpoint": endpoint})


def change_node(
    node: Node, body: Mapping[str, Any], *, drain: bool = False, trusted: bool = False
) -> Node:
    """As nodes.change_node; an endpoint replaces the present one as a whole."""
    _refuse_discovered(node.cluster)
    columns = dict(body)
    given = columns.pop("endpoint", None)
    if given is None:
        return nodes.change_node(node, columns, drain=drain)
    if node.cluster.runtime != Runtime.DOCKER:
        raise Invalid({"endpoint": "Only in a docker cluster."})
    attachment = _engine(given, trusted=trusted)
    with transaction.atomic():
        changed = nodes.change_node(node, columns, drain=drain)
        endpoint = changed.endpoint or Endpoint(cluster_id=changed.cluster_id)
        _refuse_twice(endpoint, attachment)
        if endpoint.url != attachment.url:  # it may be another machine
            _refuse_in_use(changed, f"What runs on {changed.name} runs at {endpoint.url}")
            for name, value in _not_seen_yet().items():
                setattr(changed, name, value)
        _save(endpoint, attachment)
        changed.endpoint = endpoint
        changed.save(update_fields=["endpoint", *_not_seen_yet()])
        recording.of_node(changed, Type.NODE_CHANGED, None, {"endpoint": REPLACED})
    return changed


def delete_node(node: Node, *, drain: bool = False) -> Node | None:
    """As nodes.delete_node; 409 where nodes are discovered. Its endpoint goes with it."""
    _refuse_discovered(node.cluster)
    return nodes.delete_node(node, drain=drain)


def _engine(given: Mapping[str, str], *, trusted: bool) -> Attachment:
    try:
        return docker_endpoint(given, trusted=trusted)
    except BadEndpoint as bad:
        faults = {name: [fault] for name, fault in bad.faults.items()}
        raise ValidationError({"endpoint": faults}) from None


def _not_seen_yet() -> dict[str, Any]:
    return {
        "observed": NodeState.NOT_READY,
        "not_ready_since": database_now(),
        "judged": NodeState.READY,
        "failed_starts": None,
    }


def _refuse_discovered(cluster: Cluster) -> None:
    if cluster.runtime == Runtime.KUBERNETES:
        raise Conflict(
            "The nodes of a kubernetes cluster are discovered, with their sizes and labels: change "
            "them there. They can be cordoned, drained and uncordoned here.",
            code="nodes_discovered",
        )


def _refuse_in_use(place: Cluster | Node, sentence: str) -> None:
    """409 where workloads run there: they would go on, out of the platform's reach."""
    if _in_use(place):
        raise Conflict(f"{sentence}: drain it first.", code="cluster_in_use")


def _in_use(place: Cluster | Node) -> bool:
    """Whether a workload runs there, or has been evicted and not ended yet."""
    if place.allocated_cpu_milli:  # every workload asks for CPU
        return True
    if isinstance(place, Node):
        return place.pk in hooks.terminating_nodes(place.cluster_id)
    return bool(hooks.terminating_nodes(place.pk))


def _refuse_twice(endpoint: Endpoint, attachment: Attachment) -> None:
    """409 for an engine that is a node here already: its capacity would count twice."""
    same = Endpoint.objects.filter(cluster_id=endpoint.cluster_id, url=attachment.url)
    if same.exclude(pk=endpoint.pk).exists():
        raise Conflict(
            f"A node of this cluster is attached at {attachment.url} already.", code="url_taken"
        )


def _save(endpoint: Endpoint, attachment: Attachment, namespace: str | None = None) -> None:
    """Write the whole endpoint. At another address nothing has been seen yet."""
    if endpoint.url != attachment.url:
        endpoint.seen_at = None
    endpoint.url, endpoint.trusted = attachment.url, attachment.trusted
    endpoint.error, endpoint.away_since = "", None
    endpoint.namespace = namespace or attachment.namespace
    endpoint.secrets = seal(attachment.secrets)
    endpoint.save()
