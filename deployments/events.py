"""The entries of timelines and feeds."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from mlops_platform.database.unreadable_json import DetailsDecoder


class EventType(models.TextChoices):
    SUBMITTED = "SUBMITTED"
    CHANGED = "CHANGED"
    STARTED = "STARTED"  # admitted and placed
    RUNNING = "RUNNING"  # the runtime has confirmed it
    NOTICE = "NOTICE"  # a message of the runtime
    STOPPING = "STOPPING"
    REQUEUED = "REQUEUED"
    PREEMPTED = "PREEMPTED"
    DRAINED = "DRAINED"
    CHECKPOINTED = "CHECKPOINTED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"
    CLUSTER_DELETED = "CLUSTER_DELETED"  # of earlier versions, and of no single deployment


class DeploymentEvent(models.Model):
    """An entry of a deployment's timeline and of its organization's feed, written in the
    transaction of the change (lifecycle/timeline.py) and never edited but to keep the name of a
    user that is deleted.

    The feed is in the order of (transaction_id, id), see api/answers/commit_order.py; rows of
    earlier versions are in none. `cluster_id` and `organization_id` are no foreign keys: nothing is
    looked up to write them, and they outlive the cluster.
    """

    deployment = models.ForeignKey(
        "deployments.Deployment",
        on_delete=models.CASCADE,
        null=True,
        related_name="events",
        db_index=False,
    )
    cluster_id = models.UUIDField(null=True, editable=False)
    organization_id = models.UUIDField(null=True, editable=False)
    transaction_id = models.BigIntegerField(null=True, editable=False)
    at = models.DateTimeField(default=timezone.now)
    type = models.CharField(max_length=32, choices=EventType.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    actor_name = models.CharField(max_length=150, null=True, editable=False)
    """Of an actor that has been deleted since; while there is one, null."""
    actor_kind = models.CharField(max_length=8, null=True, editable=False)
    """Of an operator (organizations/events/); of all others null: it follows from the rest."""
    request_id = models.CharField(max_length=64, null=True, editable=False)
    cycle_id = models.UUIDField(null=True, blank=True)
    details = models.JSONField(default=dict, blank=True, decoder=DetailsDecoder)

    class Meta:
        indexes = [
            models.Index(fields=["deployment", "id"], name="event_by_deployment"),
            models.Index(fields=["actor"], condition=Q(actor__isnull=False), name="event_by_actor"),
            models.Index(
                fields=["organization_id", "transaction_id", "id"],
                condition=Q(organization_id__isnull=False),
                name="event_by_organization",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.at:%F %T} {self.type}"
