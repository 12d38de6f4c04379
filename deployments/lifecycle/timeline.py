"""A deployment's timeline: lines are only ever added, in the transaction of what they tell of."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from accounts.models import User
from deployments.models import DeploymentEvent, EventType


def record(
    deployment_id: UUID,
    event_type: EventType,
    *,
    at: datetime,
    actor: User | None = None,
    cycle_id: UUID | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """One line; one query."""
    record_all([(deployment_id, details or {})], event_type, at=at, actor=actor, cycle_id=cycle_id)


def record_all(
    lines: Iterable[tuple[UUID, Mapping[str, Any]]],
    event_type: EventType,
    *,
    at: datetime,
    actor: User | None = None,
    cycle_id: UUID | None = None,
) -> None:
    """The same thing happened to many, each with its own details; one query per thousand."""
    DeploymentEvent.objects.bulk_create(
        [
            DeploymentEvent(
                deployment_id=deployment_id,
                type=event_type,
                at=at,
                actor=actor,
                cycle_id=cycle_id,
                details=dict(details),
            )
            for deployment_id, details in lines
        ],
        batch_size=1000,
    )
