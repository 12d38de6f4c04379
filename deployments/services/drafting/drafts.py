"""Checks a submit and builds the deployment that it saves; nothing is written here."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Prefetch, prefetch_related_objects
from django.utils import timezone
from rest_framework.exceptions import APIException

from accounts.models import User
from clusters.models import Cluster, Node, Runtime, State
from clusters.names import cluster_called, clusters_for
from clusters.queries import cluster_by_id
from clusters.services.clusters import refuse_closing
from deployments import env
from deployments.models import Deployment, Kind, OnPreempt, PriorityClass
from deployments.queries.dependencies import Dependency
from deployments.queries.priority_classes import priority_classes, priority_named
from deployments.runtimes.base import IF_MISSING
from deployments.runtimes.peers import RANKS, why_no_rank
from deployments.scheduling_key import key_of
from deployments.services import retries
from deployments.services.drafting import dependencies, secret_references, volumes, whole_nodes
from deployments.services.drafting.program import MOST_ARGUMENT_BYTES, TOO_MANY_ARGUMENT_BYTES
from deployments.services.drafting.update import refuse_selector_in_pool
from mlops_platform.api.errors import Invalid, refuse_items
from mlops_platform.api.fields import MILLI
from mlops_platform.api.ids import parse_uuid
from organizations.access import require
from organizations.models import Role
from organizations.secrets.queries import SecretKey

NOT_ON_KUBERNETES = {
    "ulimits": "Kubernetes takes none: its nodes set them.",
    "stop_signal": "Kubernetes sends the one of the image. A pre_stop may send another before it.",
    "checkpoint_file": "Kubernetes shows no files of its Pods: report each checkpoint by POST.",
}

# Fields that 0.1.0 did not know. A digest leaves them out while they are empty: an Idempotency-Key
# that one version has answered is known to the next.
LATER = frozenset(
    {"node_selector", "readiness", "depends_on", "container", "volumes", "secrets", "retry"}
    | {"labels", "exclusive"}
)


class Order(NamedTuple):
    """One submit of a bulk. `spec` as in draft_deployment."""

    cluster_id: UUID | str  # or its name
    spec: Mapping[str, Any]
    priority: str = "LOW"


class Draft(NamedTuple):
    deployment: Deployment  # not saved: its id and times are drawn in the submit's transaction
    digest: str  # of the body: equal where two submits ask for the same
    class_names: list[str]
    dependencies: Sequence[Dependency]
    confirmed: bool  # that it may evict others


class _Named(NamedTuple):
    """What orders name: deployments of their clusters by id, the clusters' volumes, and those of
    the secrets that exist."""

    dependencies: Mapping[UUID, dependencies.Found]
    volumes: volumes.Found
    secrets: Collection[SecretKey]


def draft_deployment(
    user: User, cluster_id: UUID | str, spec: Mapping[str, Any], *, priority: str = "LOW"
) -> Draft:
    """The deployment that a submit would save; writes nothing.

    `spec` has columns of Deployment, ids under `depends_on`, and seconds with up to three decimals
    under `simulated_runtime_s`. 404 and 403 by the user's role in the cluster's organization, 400
    for what this cluster cannot take, 409 while it is being deleted. `cluster_id` may be a name
    (cluster_called). Three queries, one more each with a name, dependencies, volumes and secrets.
    """
    cluster = cluster_by_id(parse_uuid(cluster_id) or cluster_called(user, str(cluster_id)))
    require(user, cluster.organization_id, Role.DEVELOPER)
    needed = spec.get("depends_on")
    found = dependencies.find([cluster.pk], needed) if needed else {}
    offered = volumes.find([(cluster.pk, spec)]) if spec.get("volumes") else {}
    wanted = spec.get("secrets")
    secrets = secret_references.find(user.pk, [(cluster.organization_id, wanted)]) if wanted else ()
    order = Order(cluster.pk, spec, priority)
    return _draft(user, cluster, order, priority_classes(), _Named(found, offered, secrets))


def draft_deployments(user: User, orders: Sequence[Order]) -> list[Draft]:
    """Each order's draft, in order; one error that names all orders at fault (refuse_items). The
    queries of try_drafts."""
    tried = try_drafts(user, orders)
    faults = {
        number: (each, "cluster_id")
        for number, each in enumerate(tried)
        if isinstance(each, APIException)
    }
    refuse_items("deployments", faults)
    return [each for each in tried if isinstance(each, Draft)]


def try_drafts(user: User, orders: Sequence[Order]) -> list[Draft | APIException]:
    """Each order's draft, or why it is refused, in order.

    Three queries for any number of orders, two more with names of clusters, and one more each with
    dependencies, volumes, secrets, and whole nodes, node selectors or volumes that only some nodes
    have.
    """
    found = clusters_for(user, [order.cluster_id for order in orders], Role.DEVELOPER)
    clusters = {each.pk: each for each in found.values() if isinstance(each, Cluster)}
    reached = ((found[order.cluster_id], order.spec) for order in orders)
    offered = volumes.find((one.pk, spec) for one, spec in reached if isinstance(one, Cluster))
    local = any(each.is_local for by_name in offered.values() for each in by_name.values())
    if local or any(
        order.spec.get("node_selector") or whole_nodes.asks(order.spec) for order in orders
    ):
        nodes = Node.objects.only("id", "cluster_id")
        prefetch_related_objects(list(clusters.values()), Prefetch("nodes", nodes))
    classes = priority_classes()
    needed = {text for order in orders for text in order.spec.get("depends_on", ())}
    present = dependencies.find(clusters, needed) if needed else {}
    naming = [
        (clusters[cluster.pk].organization_id, order.spec["secrets"])
        for order in orders
        if order.spec.get("secrets") and isinstance(cluster := found[order.cluster_id], Cluster)
    ]
    secrets = secret_references.find(user.pk, naming) if naming else ()
    drafts: list[Draft | APIException] = []
    for order in orders:
        cluster = found[order.cluster_id]
        try:
            if isinstance(cluster, APIException):
                raise cluster
            shared = clusters[cluster.pk]
            drafts.append(_draft(user, shared, order, classes, _Named(present, offered, secrets)))
        except APIException as error:
            drafts.append(error)
    return drafts


def name_of_image(image: str) -> str:
    """`registry.example.com:5000/team/train:1.2@sha256:…` is named `train`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0][:100]


def _draft(
    user: User,
    cluster: Cluster,
    order: Order,
    classes: Mapping[str, PriorityClass],
    named: _Named,
) -> Draft:
    spec = dict(order.spec)
    confirmed = spec.pop("confirm", False)
    if spec.get("simulated_runtime_s") is not None and cluster.runtime != Runtime.SIMULATED:
        raise Invalid({"simulated_runtime_s": "Only in a simulated cluster."})
    if (spec.get("readiness") or {}).get("liveness") and spec.get("kind") != Kind.SERVICE:
        raise Invalid({"readiness": "Its liveness is for services only: for a job leave it out."})
    container = {
        name: value
        for name, value in spec.get("container", {}).items()
        if value and value != IF_MISSING
    }
    spec["container"] = container
    rules = {name: value for name, value in spec.get("retry", {}).items() if value is not None}
    if rules:
        retries.refuse_useless(spec, rules)
    spec["retry"] = rules
    if spec.get("on_preempt") == OnPreempt.REQUEUE:
        del spec["on_preempt"]  # the digest is that of a submit without it
    if container.get("shm_mib", 0) > spec["ram_mib"]:
        raise Invalid({"shm_mib": "It is a part of required_ram."})
    if cluster.runtime == Runtime.KUBERNETES:
        for name, why in NOT_ON_KUBERNETES.items():
            if container.get(name):
                raise Invalid({name: why})
    for name in ("stop_signal", "pre_stop"):
        if container.get(name) and spec.get("grace_s") == 0:
            raise Invalid({name: "With a grace_s of 0 it is killed at once: give it some."})
    if sum(len(each.encode()) + 1 for each in (*spec.get("command", ()), *spec.get("args", ()))) > (
        MOST_ARGUMENT_BYTES
    ):
        raise Invalid({"args" if spec.get("args") else "command": TOO_MANY_ARGUMENT_BYTES})
    if spec.get("replicas", 1) > 1 and (ranks := RANKS & spec.get("env", {}).keys()):
        raise Invalid({"env": why_no_rank(ranks)})
    if cluster.state == State.DELETING:
        refuse_closing(cluster)
    if spec.get("node_selector"):
        refuse_selector_in_pool(cluster, spec)
    if spec.get("exclusive") or spec["gpu"] == whole_nodes.ALL:
        whole_nodes.refuse_in_pool(cluster, spec)
    if spec.get("volumes"):
        volumes.refuse_unknown(cluster, spec, named.volumes)
    priority_class = priority_named(order.priority, classes)
    given = {name: value for name, value in spec.items() if value or name not in LATER}
    body = json.dumps([str(cluster.pk), priority_class.name, given], sort_keys=True)
    digest = hashlib.sha256(body.encode()).hexdigest()  # a field left out equals its default
    ids = spec.pop("depends_on", ())
    needed = dependencies.select(cluster.pk, ids, named.dependencies) if ids else []
    if (runtime_s := spec.get("simulated_runtime_s")) is not None:
        whole, extra = divmod(round(runtime_s * MILLI), MILLI)
        spec |= {"simulated_runtime_s": whole, "simulated_runtime_extra_ms": extra}
    if spec.get("secrets"):
        wanted = (user.pk, cluster.organization_id, spec["secrets"])
        ranks = RANKS if spec.get("replicas", 1) > 1 else ()
        spec["secrets"] = secret_references.resolve(
            *wanted, spec.get("env", ()), named.secrets, ranks=ranks
        )
    if spec.get("exclusive") or spec["gpu"] == whole_nodes.ALL:
        whole_nodes.into_columns(spec)
    spec.pop("exclusive", None)
    spec["name"] = spec.get("name") or name_of_image(spec["image"])
    spec["env"] = env.sealed(spec["env"]) if spec.get("env") else []
    now = timezone.now()
    deployment = Deployment(
        cluster=cluster,
        owner=user,
        priority_class=priority_class,
        created_at=now,
        queued_at=now,
        pending_dependencies=dependencies.count_pending(needed) if needed else 0,
        **spec,
    )
    deployment.scheduling_key = key_of(deployment)
    return Draft(deployment, digest, list(classes), needed, confirmed)
