"""Reads deployments as far as a user may see them, each in a fixed number of queries."""

from collections.abc import Iterable, Sequence
from typing import TypeVar
from uuid import UUID

from django.db.models import QuerySet

from accounts.models import User
from deployments import redis_queues
from deployments.models import Deployment, DeploymentEvent, Status
from mlops_platform.api.errors import not_found
from mlops_platform.api.ids import parse_uuid
from organizations.access import organizations_of

# All in the column `container`.
OF_CONTAINER = (
    *("shm_mib", "ephemeral_mib", "user", "workdir", "ulimits", "pull_policy"),
    *("stop_signal", "pre_stop", "checkpoint_file"),
)
OF_RETRY = ("retry_on", "fail_on", "retry_ram_factor", "retry_ram_limit")  # in the column `retry`
LARGE = (
    *("command", "args", "env", "env_names", "secrets", "readiness"),
    *("container", *OF_CONTAINER, "retry", *OF_RETRY),
)
"""What lists of deployments leave out: a page of it could have a hundred megabytes."""

WITH_NAMES = ("priority_class", "owner", "cluster__organization")
"""What of other tables an answer shows of a deployment."""

Rows = TypeVar("Rows", bound=QuerySet[Deployment])


def deployments_visible_to(user: User) -> QuerySet[Deployment]:
    """The deployments of the user's organizations, newest first; no query of its own."""
    return (
        Deployment.objects.filter(
            cluster__organization__in=organizations_of(user), cluster__deleted_at=None
        )
        .select_related("priority_class")
        .order_by("-id")
    )


def without_large(deployments: Rows) -> Rows:
    """For a list: the columns that it leaves out are not read either."""
    columns = {field.name for field in Deployment._meta.fields}
    return deployments.defer("ran_on", *(name for name in LARGE if name in columns))


def deployment_for(user: User, deployment_id: UUID | str) -> Deployment:
    """The deployment with its cluster; 404 where the user may not see it. One query."""
    visible = deployments_visible_to(user).select_related(*WITH_NAMES)
    key = parse_uuid(deployment_id)
    deployment = visible.filter(pk=key).first() if key else None
    if deployment is None:
        raise not_found()
    return deployment


def deployment_by_id(deployment_id: UUID) -> Deployment:
    """The deployment after a change; 404 if it is gone with its cluster. One query."""
    found = Deployment.objects.select_related(*WITH_NAMES).filter(pk=deployment_id).first()
    if found is None:
        raise not_found()
    return found


def events_of(deployment: Deployment) -> QuerySet[DeploymentEvent]:
    """Its timeline, oldest first."""
    return deployment.events.select_related("actor").order_by("id")


def positions_of(
    deployments: Iterable[Deployment], class_names: Sequence[str]
) -> dict[UUID, int | None]:
    """The position of each queued deployment in its cluster, by id; one Redis round trip."""
    queued = [row for row in deployments if row.status == Status.QUEUED]
    entries = [(row.cluster_id, row.priority_class.name, row.pk) for row in queued]
    found = redis_queues.positions(entries, class_names)
    return {row.pk: position for row, position in zip(queued, found, strict=True)}
