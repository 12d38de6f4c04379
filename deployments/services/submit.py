"""What a user may want of deployments. Doors get the object from queries.py, which decides access;
only a submit, whose cluster stands in its body, is decided here.
"""

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

from accounts.models import User
from clusters.models import Cluster
from deployments import redis_queues
from deployments.lifecycle.timeline import record
from deployments.models import (
    Deployment,
    DeploymentEvent,
    EventType,
    Status,
)
from deployments.queries import (
    Dependency,
    deployment_by_id,
    in_use,
    priority_classes,
)
from deployments.services import dependencies, idempotency
from deployments.services.bulk import create_deployments
from deployments.services.drafts import draft_deployment
from deployments.services.stop import stop, stop_one
from deployments.services.update import change_deployment
from deployments.signals import quote_presented
from mlops_platform.api.errors import Conflict, Invalid

__all__ = [
    "Submission",
    "change_deployment",
    "clear_cluster",
    "create_deployment",
    "create_deployments",
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
                [needed] = dependencies.attach([(deployment, needed)])
                dependencies.refuse_hopeless(needed)
            if quote is not None:
                quote_presented.send(Deployment, deployment=deployment, digest=digest, token=quote)
    except IntegrityError as error:
        [deployment] = idempotency.first_answers(error, user, [idempotency_key], digest)
        replayed = True
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


def _forget_queues(cluster_id: UUID, class_names: list[str]) -> None:
    with suppress(RedisError):  # then they stay behind; nobody reads them again
        redis_queues.forget(cluster_id, class_names)
