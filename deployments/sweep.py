"""A sweep: deployments of one template that differ in their parameters."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from uuid_utils.compat import uuid7

from clusters.models import Cluster

MOST_MEMBERS = 1000


class Sweep(models.Model):
    """What all members share. Its members are deployments of its cluster with its id and an index
    from 0; after a retry several have the same index, and the newest one counts.

    `parameters` has the parameters of each index. Its status is not stored: it follows from those
    of its members (queries/sweeps.py).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(
        Cluster, on_delete=models.CASCADE, related_name="sweeps", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    name = models.CharField(max_length=100)
    parameters = models.JSONField(default=list)
    size = models.PositiveIntegerField(help_text="How many members it has.")
    max_parallel = models.PositiveIntegerField(
        null=True, blank=True, help_text="How many may have an allocation at once; else all."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = [
            models.Index(fields=["cluster", "-id"], name="sweep_by_cluster"),
            models.Index(fields=["owner", "-id"], name="sweep_by_owner"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(size__gte=1) & (Q(max_parallel__isnull=True) | Q(max_parallel__gte=1)),
                name="sweep_is_sound",
            )
        ]

    progress: Any
    """What has become of its members (queries/sweeps.py): set for an answer alone."""

    def __str__(self) -> str:
        return self.name


MEMBER = Q(sweep__isnull=False)
INDEXES_OF_MEMBERS = (
    models.Index(
        fields=["sweep", "sweep_index", "-id"], condition=MEMBER, name="deployment_by_sweep"
    ),
    models.Index(  # this one and the next: what the limits of sweeps count
        fields=["cluster", "sweep"],
        condition=Q(status="QUEUED") & MEMBER,
        name="deployment_of_waiting_sweep",
    ),
    models.Index(
        fields=["sweep"],
        condition=Q(status__in=("STARTING", "RUNNING", "STOPPING")) & MEMBER,
        name="deployment_of_placed_sweep",
    ),
)
"""Of deployments."""
