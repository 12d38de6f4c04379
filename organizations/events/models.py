"""The entries of feeds that are of no deployment."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


class ActorKind(models.TextChoices):
    """What has caused an event."""

    USER = "user"
    KEY = "key"  # an API key, as its user or as its organization
    OPERATOR = "operator"  # a user of the admin
    CYCLE = "cycle"  # a decision of the scheduler
    PLATFORM = "platform"  # a timer, a runtime's report, a command


class TargetType(models.TextChoices):
    """What an event has happened to."""

    ORGANIZATION = "organization"
    MEMBER = "member"
    INVITE_CODE = "invite_code"
    INVITATION = "invitation"
    KEY = "key"
    SECRET = "secret"  # noqa: S105  # a kind of thing, not a secret
    WEBHOOK = "webhook"
    CLUSTER = "cluster"
    NODE = "node"
    QUOTA = "quota"
    REGISTRY = "registry"
    VOLUME = "volume"
    WINDOW = "window"
    SWEEP = "sweep"
    PRIORITY_CLASS = "priority_class"
    OPERATORS = "operators"  # their accounts and groups: of no organization


OPEN_TO_MEMBERS = frozenset(
    {
        TargetType.CLUSTER,
        TargetType.NODE,
        TargetType.QUOTA,
        TargetType.VOLUME,
        TargetType.WINDOW,
        TargetType.SWEEP,
        TargetType.PRIORITY_CLASS,
    }
)
"""What every member may read events of; those of all else are for ADMINs."""
FOR_ADMINS = frozenset(TargetType) - OPEN_TO_MEMBERS


class OrganizationEventType(models.TextChoices):
    """CREATED, CHANGED and DELETED of each kind of target, and what has a word of its own."""

    ORGANIZATION_CREATED = "ORGANIZATION_CREATED"
    ORGANIZATION_CHANGED = "ORGANIZATION_CHANGED"
    ORGANIZATION_DELETED = "ORGANIZATION_DELETED"
    MEMBER_JOINED = "MEMBER_JOINED"
    MEMBER_ADDED = "MEMBER_ADDED"  # by an operator
    MEMBER_CHANGED = "MEMBER_CHANGED"  # role, name, address, password, active or not
    MEMBER_LEFT = "MEMBER_LEFT"
    MEMBER_REMOVED = "MEMBER_REMOVED"
    BAN_LIFTED = "BAN_LIFTED"
    INVITE_CODE_CREATED = "INVITE_CODE_CREATED"  # in the place of the one before
    INVITE_CODE_DELETED = "INVITE_CODE_DELETED"
    INVITATION_CREATED = "INVITATION_CREATED"
    INVITATION_REVOKED = "INVITATION_REVOKED"
    KEY_CREATED = "KEY_CREATED"
    KEY_REVOKED = "KEY_REVOKED"
    SECRET_CREATED = "SECRET_CREATED"  # noqa: S105  # a type of event, not a secret
    SECRET_CHANGED = "SECRET_CHANGED"  # noqa: S105  # as above
    SECRET_DELETED = "SECRET_DELETED"  # noqa: S105  # as above
    WEBHOOK_CREATED = "WEBHOOK_CREATED"
    WEBHOOK_CHANGED = "WEBHOOK_CHANGED"
    WEBHOOK_DELETED = "WEBHOOK_DELETED"
    WEBHOOK_TESTED = "WEBHOOK_TESTED"
    WEBHOOK_RESENT = "WEBHOOK_RESENT"
    WEBHOOK_SWITCHED_OFF = "WEBHOOK_SWITCHED_OFF"  # its receiver has failed for too long
    CLUSTER_CREATED = "CLUSTER_CREATED"
    CLUSTER_CHANGED = "CLUSTER_CHANGED"
    CLUSTER_DELETED = "CLUSTER_DELETED"  # with all of its deployments
    NODE_CREATED = "NODE_CREATED"
    NODE_CHANGED = "NODE_CHANGED"
    NODE_DELETED = "NODE_DELETED"
    NODE_CORDONED = "NODE_CORDONED"
    NODE_UNCORDONED = "NODE_UNCORDONED"
    NODE_DRAINING = "NODE_DRAINING"
    NODE_DRAINED = "NODE_DRAINED"
    NODE_AWAY = "NODE_AWAY"  # NOT_READY, as its runtime reports, or since it does not answer
    NODE_BACK = "NODE_BACK"
    NODE_CLOSED = "NODE_CLOSED"  # starts fail there
    NODE_OPENED = "NODE_OPENED"
    QUOTA_CREATED = "QUOTA_CREATED"
    QUOTA_CHANGED = "QUOTA_CHANGED"
    QUOTA_DELETED = "QUOTA_DELETED"
    REGISTRY_CREATED = "REGISTRY_CREATED"
    REGISTRY_CHANGED = "REGISTRY_CHANGED"
    REGISTRY_DELETED = "REGISTRY_DELETED"
    VOLUME_CREATED = "VOLUME_CREATED"
    VOLUME_CHANGED = "VOLUME_CHANGED"
    VOLUME_DELETED = "VOLUME_DELETED"
    WINDOW_CREATED = "WINDOW_CREATED"
    WINDOW_CHANGED = "WINDOW_CHANGED"
    WINDOW_DELETED = "WINDOW_DELETED"  # called off
    SWEEP_CREATED = "SWEEP_CREATED"
    SWEEP_CHANGED = "SWEEP_CHANGED"
    SWEEP_STOPPED = "SWEEP_STOPPED"
    SWEEP_RETRIED = "SWEEP_RETRIED"
    SWEEP_DELETED = "SWEEP_DELETED"
    PRIORITY_CLASS_CREATED = "PRIORITY_CLASS_CREATED"
    PRIORITY_CLASS_CHANGED = "PRIORITY_CLASS_CHANGED"
    PRIORITY_CLASS_DELETED = "PRIORITY_CLASS_DELETED"
    OPERATORS_CHANGED = "OPERATORS_CHANGED"


class OrganizationEvent(models.Model):
    """An entry of an organization's feed, written in the transaction of the change (recording.py)
    and never changed; the retention deletes it.

    The feed is in the order of (transaction_id, id), beside the events of deployments: see
    api/answers/commit_order.py. No column is a foreign key, and names are kept as they were:
    nothing is looked up to write an entry, and it outlives all that it names. An entry without an
    organization is for operators alone.
    """

    organization_id = models.UUIDField(null=True, editable=False)
    transaction_id = models.BigIntegerField(editable=False)
    at = models.DateTimeField(editable=False)
    type = models.CharField(max_length=32, editable=False)  # an OrganizationEventType
    actor_kind = models.CharField(max_length=8, editable=False)  # an ActorKind
    actor_id = models.UUIDField(null=True, editable=False)
    actor_name = models.CharField(max_length=150, null=True, editable=False)
    api_key = models.CharField(max_length=63, null=True, editable=False)
    request_id = models.CharField(max_length=64, null=True, editable=False)
    cycle_id = models.UUIDField(null=True, editable=False)
    cluster_id = models.UUIDField(null=True, editable=False)
    target_type = models.CharField(max_length=14, editable=False)  # a TargetType
    target_id = models.CharField(max_length=40, null=True, editable=False)
    target_name = models.CharField(max_length=512, editable=False)
    before = models.JSONField(null=True, encoder=DjangoJSONEncoder, editable=False)
    after = models.JSONField(null=True, encoder=DjangoJSONEncoder, editable=False)

    class Meta:
        verbose_name = "event"
        indexes = [
            models.Index(
                fields=["organization_id", "transaction_id", "id"],
                name="organization_event",
            )
        ]

    def __str__(self) -> str:
        return f"{self.at:%F %T} {self.type}"
