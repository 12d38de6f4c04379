"""Writes a deployment's timeline: only adds entries, in the transaction of the change."""

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
    """Add one entry. One query."""
    DeploymentEvent.objects.create(
        deployment_id=deployment_id,
        type=event_type,
        at=at,
        actor=actor,
        cycle_id=cycle_id,
        details=dict(details or {}),
    )


def record_all(
    lines: Iterable[tuple[UUID, Mapping[str, Any]]],
    event_type: EventType,
    *,
    at: datetime,
    actor: User | None = None,
    cycle_id: UUID | None = None,
) -> None:
    """Add an entry of the same type to many deployments. One query for each thousand."""
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
