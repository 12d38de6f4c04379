"""Writes events of sweeps to their organizations' feeds."""

from collections.abc import Mapping
from typing import Any

from clusters import recording
from deployments.models import Sweep
from organizations.events.models import OrganizationEventType, TargetType

SETTINGS = ("name", "size", "max_parallel")


def record_sweep(
    sweep: Sweep,
    type_: OrganizationEventType,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """One query, and one where the cluster is not at hand."""
    recording.of_part(sweep.cluster, type_, (TargetType.SWEEP, sweep.pk, sweep.name), before, after)
