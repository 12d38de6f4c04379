"""Nodes that are taken out of use for maintenance: how a drain goes on, and what is known of it."""

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q


class NodeState(models.TextChoices):
    READY = "READY"
    CORDONED = "CORDONED"
    DRAINING = "DRAINING"
    DRAINED = "DRAINED"
    NOT_READY = "NOT_READY"


STRICTEST_FIRST = (
    NodeState.DRAINING,
    NodeState.DRAINED,
    NodeState.NOT_READY,
    NodeState.CORDONED,
)


class DrainMode(models.TextChoices):
    """When the workloads of a draining node leave it."""

    NOW = "now", "Now: they are evicted by the next cycle"
    WHEN_FINISHED = "when_finished", "When they have finished"
    AT_CHECKPOINT = "at_checkpoint", "Each at its next checkpoint"


class Drainable(models.Model):
    """The columns of a node that a drain sets, and that its end clears.

    `drain_mode` is NOW as well once the deadline has passed; `drain` says what was asked for:
    `{"mode", "reason", "by", "drained_at"}`. The node is DRAINED once it is empty.
    """

    drain_mode = models.CharField(
        max_length=14,
        choices=DrainMode.choices,
        default=DrainMode.NOW,
        db_default=DrainMode.NOW,
        editable=False,
    )
    drain_since = models.DateTimeField(null=True, editable=False)
    drain_deadline = models.DateTimeField(null=True, editable=False)
    drain = models.JSONField(null=True, editable=False)

    state: str

    class Meta:
        abstract = True

    @property
    def evicts(self) -> bool:
        """Whether the next cycle evicts what runs there."""
        return self.state == NodeState.DRAINING and self.drain_mode == DrainMode.NOW

    @property
    def drains_at_checkpoints(self) -> bool:
        return self.state == NodeState.DRAINING and self.drain_mode == DrainMode.AT_CHECKPOINT

    @property
    def drain_sentence(self) -> str:
        """`It is drained by grace: new disks`, without the parts that are not known."""
        asked: dict[str, Any] = self.drain or {}
        begin = "It has been drained" if self.state == NodeState.DRAINED else "It is being drained"
        by = f" by {asked['by']}" if asked.get("by") else " here"
        why = f": {asked['reason']}" if asked.get("reason") else ""
        return f"{begin}{by}{why}."

    def begin_drain(
        self, mode: str, *, now: datetime, deadline: datetime | None, reason: str, by: str | None
    ) -> None:
        self.drain_mode, self.drain_since, self.drain_deadline = mode, now, deadline
        self.drain = {"mode": mode, "reason": reason, "by": by, "drained_at": None}

    def finish_drain(self, now: datetime) -> None:
        """The node is empty."""
        self.state, self.drain_mode, self.drain_deadline = NodeState.DRAINED, DrainMode.NOW, None
        self.drain = {**(self.drain or {}), "drained_at": now.isoformat()}

    def forget_drain(self) -> None:
        self.drain_mode, self.drain_since = DrainMode.NOW, None
        self.drain_deadline, self.drain = None, None


DRAIN_COLUMNS = ("drain_mode", "drain_since", "drain_deadline", "drain")
DEADLINE_INDEX = models.Index(
    fields=["drain_deadline"],
    condition=Q(drain_deadline__isnull=False),
    name="node_drain_deadline",
)
