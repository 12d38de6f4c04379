"""What a user may want of deployments. Doors get the object from queries.py, which decides access;
only a submit, whose cluster stands in its body, is decided here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models.functions import Greatest
from django.utils import timezone
from redis.exceptions import RedisError
from uuid_utils.compat import uuid7

from accounts.models import User
from clusters.models import Cluster, Runtime
from clusters.queries import cluster_for
from clusters.services import refuse_closing
from deployments import dependencies, queues
from deployments.changing import change_deployment, refuse_selector_in_pool
from deployments.events import record
from deployments.keys import key_of, submitted_at
from deployments.models import (
    Deployment,
    DeploymentEvent,
    EventType,
    PriorityClass,
    Status,
)
from deployments.queries import (
    Dependency,
    deployment_by_id,
    in_use,
    priority_classes,
    priority_named,
)
from deployments.signals import quote_presented
from deployments.stopping import stop, stop_one
from mlops_platform.api.errors import Conflict, Invalid, not_found
from organizations.models import Role

__all__ = [
    "Submission",
    "change_deployment",
    "clear_cluster",
    "create_deployment",
    "draft_deployment",
    "report_checkpoint",
    "stop",
    "stop_deployment",
]


class Submission(NamedTuple):
    deployment: Deployment
    replayed: bool  # the answer of an earlier submit with the same Idempotency-Key
    class_names: list[str]  # every priority class, most urgent first
    dependencies: Sequence[Dependency]  # as they were when it was submitted


class Draft(NamedTuple):
    deployment: Deployment  # not saved
    digest: str  # of the body: two submits with one digest ask for the same
    class_names: list[str]
    dependencies: Sequence[Dependency]


def draft_deployment(
    user: User, cluster_id: UUID | str, spec: Mapping[str, Any], *, priority: str = "LOW"
) -> Draft:
    """What a submit would save; writes nothing.

    `spec` holds columns of Deployment, and ids under `depends_on`. 404 and 403 by the user's role
    in the cluster's organization, 400 for what this cluster cannot take, 409 while it is being
    deleted. Three queries, one more with dependencies.
    """
    cluster = cluster_for(user, cluster_id, Role.DEVELOPER)
    if spec.get("simulated_runtime_s") is not None and cluster.runtime != Runtime.SIMULATED:
        raise Invalid({"simulated_runtime_s": "Only in a simulated cluster."})
    refuse_closing(cluster)
    refuse_selector_in_pool(cluster, spec)
    classes = priority_classes()
    priority_class = priority_named(priority, classes)
    digest = _digest(cluster.pk, priority_class.name, spec)
    columns = {name: value for name, value in spec.items() if name != "depends_on"}
    deployment = _new(user, cluster, priority_class, columns)
    needed = dependencies.find(cluster.pk, spec.get("depends_on", ()))
    deployment.pending_dependencies = dependencies.pending(needed)
    return Draft(deployment, digest, list(classes), needed)


def create_deployment(
    user: User,
    cluster_id: UUID | str,
    spec: Mapping[str, Any],
    *,
    priority: str = "LOW",
    idempotency_key: str | None = None,
    quote: str | None = None,
) -> Submission:
    """Queue a deployment; the scheduler is woken by post_save.

    Raises what draft_deployment does, and 409 for an idempotency key used with another body, or a
    quote that no longer holds, or where something it depends on has failed. Five queries, two of
    them writes in one transaction; with dependencies, three reads and a write more.
    """
    deployment, digest, class_names, needed = draft_deployment(
        user, cluster_id, spec, priority=priority
    )
    deployment.idempotency_key = idempotency_key
    deployment.idempotency_digest = digest if idempotency_key else ""
    replayed = False
    try:
        with transaction.atomic():
            deployment.save(force_insert=True)
            record(deployment.pk, EventType.SUBMITTED, at=deployment.created_at, actor=user)
            if needed:  # after the insert: a repeated submit is answered, whatever they are by now
                needed = dependencies.attach(deployment, needed)
            if quote is not None:
                quote_presented.send(Deployment, deployment=deployment, digest=digest, token=quote)
    except IntegrityError as error:
        if "idempotency_key_unique" in str(error):
            deployment, replayed = _first_answer(user, idempotency_key, digest), True
        elif "cluster_id" in str(error):  # deleted since it was read
            raise not_found() from None
        else:
            raise
    return Submission(deployment, replayed, class_names, needed)


def stop_deployment(user: User, deployment: Deployment) -> Deployment:
    """Stop it, whether it waits or runs; one that has ended stays as it is."""
    return deployment_by_id(deployment.pk) if stop_one(deployment, user) else deployment


def report_checkpoint(user: User, deployment: Deployment, at: datetime | None = None) -> Deployment:
    """Its work up to `at` is safe: an eviction would lose only what came after.

    400 outside its run, 409 unless it runs. An older report never takes back a newer one.
    """
    now = timezone.now()
    at = at or now
    if at > now:
        raise Invalid({"at": "Must not be in the future."})
    if deployment.started_at is not None and at < deployment.started_at:
        raise Invalid({"at": "Must not be before it started."})
    with transaction.atomic():
        running = Deployment.objects.filter(
            pk=deployment.pk, status=Status.RUNNING, started_at__lte=at
        )
        if not running.update(checkpoint_at=Greatest("checkpoint_at", at)):
            raise Conflict("Only what runs can report a checkpoint.", code="not_running")
        details = {"at": at.isoformat()}
        record(deployment.pk, EventType.CHECKPOINTED, at=now, actor=user, details=details)
    return deployment_by_id(deployment.pk)


def clear_cluster(cluster: Cluster, *, force: bool) -> None:
    """Delete all that was ever deployed in a cluster, whose row the caller has locked.

    409 while anything waits or runs there, unless forced.
    """
    using = in_use(cluster).count()
    if using and not force:
        raise Conflict(
            f"{using} deployments wait or run here: stop them first, or delete with ?force=true.",
            code="cluster_in_use",
        )
    DeploymentEvent.objects.filter(deployment__cluster=cluster).delete()
    cluster.wait_reasons.all().delete()
    Deployment.objects.filter(cluster=cluster).only("pk").delete()  # there may be very many
    transaction.on_commit(partial(_forget_queues, cluster.pk, list(priority_classes())))


def _new(
    user: User, cluster: Cluster, priority_class: PriorityClass, spec: Mapping[str, Any]
) -> Deployment:
    deployment_id = uuid7()
    submitted = submitted_at(deployment_id)
    deployment = Deployment(
        id=deployment_id,
        cluster=cluster,
        owner=user,
        priority_class=priority_class,
        created_at=submitted,
        queued_at=submitted,
        **{**spec, "name": spec.get("name") or name_of_image(spec["image"])},
    )
    deployment.scheduling_key = key_of(deployment)
    return deployment


def name_of_image(image: str) -> str:
    """`registry.example.com:5000/team/train:1.2@sha256:…` is named `train`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0][:100]


def _digest(cluster_id: UUID, class_name: str, spec: Mapping[str, Any]) -> str:
    """Tells two bodies apart without keeping them; what was left out equals its default."""
    told = json.dumps([str(cluster_id), class_name, dict(spec)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _first_answer(user: User, idempotency_key: str | None, digest: str) -> Deployment:
    first = (
        Deployment.objects.filter(owner=user, idempotency_key=idempotency_key)
        .select_related("priority_class")
        .first()
    )
    if first is None or first.idempotency_digest != digest:
        raise Conflict(
            "This Idempotency-Key came with another body before.", code="idempotency_key_reused"
        )
    return first


def _forget_queues(cluster_id: UUID, class_names: list[str]) -> None:
    with suppress(RedisError):  # then they stay behind; nobody reads them again
        queues.forget(cluster_id, class_names)
