"""Maintenance windows: spans of time, planned ahead, in which nodes take nothing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from uuid_utils.compat import uuid7

from clusters.nodes.maintenance import DrainMode

LONGEST_REASON = 200


class WindowMode(models.TextChoices):
    """What becomes of the workloads that still run on the nodes when the window begins."""

    CORDON = "cordon", "They run on"
    WHEN_FINISHED = DrainMode.WHEN_FINISHED.value, "The nodes are drained: they run to their ends"
    AT_CHECKPOINT = DrainMode.AT_CHECKPOINT.value, "Drained: each leaves at its next checkpoint"
    NOW = DrainMode.NOW.value, "Drained: they are evicted"


class WindowState(models.TextChoices):
    PLANNED = "PLANNED"
    OPEN = "OPEN"
    ENDED = "ENDED"


class MaintenanceWindow(models.Model):
    """From `begins_at` to `ends_at` its nodes are closed, and before that no workload starts on
    them that could still run at its begin.

    `nodes` are those that `node_names` and `node_selector` meant when it was planned (both of them
    where both are given; without either all), and nodes that have come since. No node is in two
    windows at once: services/windows.py judges that under the cluster's lock (ADR 48). `next_at` is
    when it has to be opened or ended, None once it is over.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(
        "clusters.Cluster", on_delete=models.CASCADE, related_name="windows"
    )
    reason = models.CharField(max_length=LONGEST_REASON)
    mode = models.CharField(max_length=14, choices=WindowMode.choices)
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    node_names = models.JSONField(default=list, blank=True)
    node_selector = models.JSONField(default=dict, blank=True)
    nodes = models.ManyToManyField("clusters.Node", related_name="windows", editable=False)
    state = models.CharField(
        max_length=8, choices=WindowState.choices, default=WindowState.PLANNED, editable=False
    )
    next_at = models.DateTimeField(null=True, editable=False)
    created_by = models.CharField(max_length=150, blank=True, default="", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "maintenance window"
        indexes = [
            models.Index(
                fields=["next_at"], condition=Q(next_at__isnull=False), name="window_next_at"
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("begins_at")), name="window_ends_after_its_begin"
            )
        ]

    def __str__(self) -> str:
        return self.reason

    def means(self, name: str, labels: Mapping[str, Any]) -> bool:
        """Whether its words name a node of this name with these labels."""
        named = not self.node_names or name in self.node_names
        return named and self.node_selector.items() <= labels.items()

    def crosses(self, begins_at: datetime, ends_at: datetime) -> bool:
        return self.begins_at < ends_at and begins_at < self.ends_at


def sentence_of(drain: Mapping[str, Any]) -> str:
    """`It is closed until 2026-03-01 20:00:00 UTC by grace: new disks.`, of a node that a window
    has closed; empty where none has."""
    if not drain.get("window"):
        return ""
    until = datetime.fromisoformat(drain["until"])
    by = f" by {drain['by']}" if drain.get("by") else ""
    return f"It is closed until {until:%Y-%m-%d %H:%M:%S} UTC{by}: {drain['reason']}."
