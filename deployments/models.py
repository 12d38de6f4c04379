"""Deployments, their priority classes, timelines and logs."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import ExpressionWrapper, F, Q
from django.db.models.functions import Collate, Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from clusters.models import Cluster
from deployments.events import DeploymentEvent as DeploymentEvent
from deployments.events import EventType as EventType
from deployments.house_rules import HouseRules as HouseRules
from deployments.subscriptions import Webhook as Webhook
from deployments.sweep import INDEXES_OF_MEMBERS
from deployments.sweep import Sweep as Sweep
from deployments.usage.models import AllocationInterval as AllocationInterval
from deployments.usage.models import Price as Price
from deployments.usage.models import UsageOfDay as UsageOfDay
from deployments.waiting import QueueAllowance as QueueAllowance
from deployments.waiting import WaitReason as WaitReason
from deployments.whole_nodes import ASKED
from mlops_platform.api.resources import Amounts


class PriorityClass(models.Model):
    """A named urgency; the higher value goes first. LOW (0) and HIGH (1000) always exist."""

    name = models.CharField(max_length=20, unique=True)
    value = models.IntegerField(unique=True)
    may_preempt = models.BooleanField(default=True, help_text="May evict workloads of lower value.")
    preemptible = models.BooleanField(default=True, help_text="May be evicted by a higher value.")

    class Meta:
        ordering = ["-value"]
        verbose_name_plural = "priority classes"
        constraints = [
            models.CheckConstraint(
                condition=Q(name__regex=r"^[A-Z][A-Z0-9_]*$"), name="priority_name_in_capitals"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Status(models.TextChoices):
    QUEUED = "QUEUED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


# STARTING, RUNNING and STOPPING rows have a placement, the others have none.
PLACED = (Status.STARTING, Status.RUNNING, Status.STOPPING)
# Of them, a victim that has yielded has no allocation any more.
ALLOCATED = Q(status__in=PLACED, yielded=False)
ENDED = (Status.COMPLETED, Status.FAILED, Status.STOPPED)
UNENDED = (Status.QUEUED, *PLACED)


class Kind(models.TextChoices):
    JOB = "job"
    SERVICE = "service"


class OnPreempt(models.TextChoices):
    """What becomes of a deployment that is evicted for another one."""

    REQUEUE = "requeue"
    FAIL = "fail"


class Deployment(models.Model):
    """A container image with the resources it needs and a priority.

    Three writers move `status`, each along edges of its own: the services (a user's intent), the
    scheduler's store (a plan), and the reconciler (what a runtime shows). `id` is a UUIDv7 drawn at
    submit, by the database's clock, and `created_at` is its microsecond: the order of ids is that
    of submit times. `scheduling_key` names what the scheduler sees: workloads of one key are
    interchangeable. Each admission begins an attempt. The runtime stops a STOPPING deployment
    within its grace and kills it after `stop_by`; once its replicas have ended, its status becomes
    `next_status`. A preempted deployment has `yielded`: its preemptor has its allocation already.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(
        Cluster, on_delete=models.PROTECT, related_name="deployments", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    name = models.CharField(max_length=100)
    image = models.CharField(max_length=512)
    image_digest = models.CharField(
        max_length=71,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Of the last attempt that ran: in the image's registry, or else its own id.",
    )
    command = models.JSONField(default=list, blank=True)
    args = models.JSONField(default=list, blank=True)
    env = models.JSONField(default=list, blank=True)  # sealed: see env.py
    env_owner_id = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="Of the user whose env a rerun has; null: of the deployment's owner.",
    )
    container = models.JSONField(default=dict, db_default={}, blank=True)  # LaunchSpec.container
    volumes = models.JSONField(default=list, db_default=[], blank=True)  # api/volumes.py
    secrets = models.JSONField(default=list, db_default=[], blank=True)  # queries/secrets.py
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.JOB)

    cpu_milli = models.BigIntegerField()
    ram_mib = models.BigIntegerField()
    gpu = models.BigIntegerField()
    replicas = models.PositiveIntegerField(default=1)
    priority_class = models.ForeignKey(
        PriorityClass, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    whole = models.JSONField(default=dict, db_default={}, editable=False)  # whole_nodes.py
    scheduling_key = models.CharField(max_length=120, editable=False)

    labels = models.JSONField(default=dict, db_default={}, blank=True)
    node_selector = models.JSONField(default=dict, db_default={}, blank=True)
    sweep = models.ForeignKey(
        Sweep, on_delete=models.SET_NULL, related_name="members", null=True, db_index=False
    )
    sweep_index = models.SmallIntegerField(null=True, blank=True, editable=False)
    rerun_of_id = models.UUIDField(null=True, blank=True, editable=False)  # may be gone
    depends_on = models.ManyToManyField(
        "self", symmetrical=False, blank=True, related_name="dependents"
    )
    pending_dependencies = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Those it depends on that have not completed.",
    )

    max_runtime_s = models.PositiveIntegerField(null=True, blank=True)
    simulated_runtime_s = models.PositiveIntegerField(null=True, blank=True)
    simulated_runtime_extra_ms = models.SmallIntegerField(  # beyond the whole seconds
        default=0, db_default=0, editable=False
    )
    grace_s = models.PositiveIntegerField(default=30)
    max_retries = models.PositiveIntegerField(default=0)
    retry = models.JSONField(default=dict, db_default={}, blank=True)  # lifecycle/retry_rules.py
    on_preempt = models.CharField(
        max_length=7, choices=OnPreempt.choices, default=OnPreempt.REQUEUE, db_default="requeue"
    )
    readiness = models.JSONField(null=True, blank=True)

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    reason_code = models.CharField(max_length=32, blank=True, default="")
    reason_details = models.JSONField(default=dict, blank=True)
    placement = models.JSONField(default=list, blank=True)
    ran_on = ArrayField(models.UUIDField(), null=True, blank=True, editable=False)
    """The nodes of all its attempts, each once; null where it has been on none."""
    attempt = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    avoided_node_id = models.UUIDField(null=True, blank=True, editable=False)  # may be gone
    avoid_until = models.DateTimeField(null=True, blank=True, editable=False)
    next_status = models.CharField(
        max_length=10, blank=True, default="", db_default="", editable=False
    )
    yielded = models.BooleanField(default=False, db_default=False, editable=False)
    retry_count = models.PositiveIntegerField(default=0)
    preemption_count = models.PositiveIntegerField(default=0)
    exit_code = models.IntegerField(null=True, blank=True)

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    queued_at = models.DateTimeField(default=timezone.now, editable=False)
    retry_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Until then it is not looked at."
    )
    admitted_at = models.DateTimeField(null=True, blank=True, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    stop_told_at = models.DateTimeField(null=True, blank=True, editable=False)
    stop_by = models.DateTimeField(null=True, blank=True, editable=False)
    checkpoint_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="When it ends by itself.")
    finished_at = models.DateTimeField(null=True, blank=True)

    idempotency_key = models.CharField(max_length=255, null=True, blank=True)  # NULLs never collide
    idempotency_digest = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        indexes = [
            # Lists read these four alone (lists.py). They lead with the foreign keys, each of
            # which needs no index of its own then.
            models.Index(fields=["cluster", "-id"], name="deployment_by_cluster"),
            *INDEXES_OF_MEMBERS,
            models.Index(
                fields=["priority_class", "cluster", "status", "id"],
                include=["kind"],
                name="deployment_by_class",
            ),
            models.Index(
                fields=["owner", "cluster", "status", "priority_class", "id"],
                name="deployment_by_owner",
            ),
            models.Index(F("cluster"), Collate("name", "C"), F("id"), name="deployment_by_name"),
            models.Index(  # finds workloads that fit without reading those that do not
                F("cluster"),
                F("priority_class"),
                ExpressionWrapper(Q(replicas__gt=1), models.BooleanField()),
                F("gpu") * F("replicas"),
                F("cpu_milli") * F("replicas"),
                F("ram_mib") * F("replicas"),
                F("scheduling_key"),
                F("id"),
                condition=Q(status=Status.QUEUED, pending_dependencies=0, retry_at__isnull=True),
                name="deployment_ready",
            ),
            models.Index(
                fields=["cluster", "priority_class", "created_at", "id"],
                condition=Q(status=Status.QUEUED, pending_dependencies=0, retry_at__isnull=True),
                name="deployment_line",
            ),
            models.Index(  # passes over all workloads of an owner whose quota is used up
                F("cluster"),
                F("priority_class"),
                F("owner"),
                ExpressionWrapper(Q(gpu__gt=0), models.BooleanField()),
                F("queued_at"),
                F("id"),
                condition=Q(status=Status.QUEUED, pending_dependencies=0, retry_at__isnull=True),
                name="deployment_of_owner",
            ),
            models.Index(  # for the operators' page
                fields=["cluster", "status", "priority_class", "id"],
                condition=Q(kind=Kind.SERVICE),
                name="service_by_cluster",
            ),
            GinIndex(  # finds what uses a secret
                fields=["secrets"],
                opclasses=["jsonb_path_ops"],
                condition=~Q(secrets=[]) & Q(status__in=UNENDED),
                name="deployment_with_secrets",
            ),
            # The next five narrow lists (queries/conditions.py). Entries of the GIN indexes are
            # written at once: a list of pending ones is merged by whichever writer comes next, such
            # as a cycle that has locked its cluster.
            GinIndex(  # jsonb_ops: jsonb_path_ops does not find a name alone
                fields=["labels"],
                condition=~Q(labels={}),
                fastupdate=False,
                name="deployment_by_label",
            ),
            GinIndex(
                fields=["ran_on"],
                condition=Q(ran_on__isnull=False),
                fastupdate=False,
                name="deployment_by_node",
            ),
            models.Index(
                fields=["cluster", "reason_code", "id"],
                condition=Q(reason_code__gt=""),
                name="deployment_by_reason",
            ),
            models.Index(
                fields=["cluster", "started_at"],
                condition=Q(started_at__isnull=False),
                name="deployment_by_start",
            ),
            models.Index(
                fields=["cluster", "finished_at"],
                condition=Q(finished_at__isnull=False),
                name="deployment_by_cluster_end",
            ),
            models.Index(  # for the retention
                fields=["finished_at"],
                condition=Q(finished_at__isnull=False),
                name="deployment_by_end",
            ),
            models.Index(  # for the retention
                fields=["id"],
                condition=Q(idempotency_key__isnull=False),
                name="deployment_with_key",
            ),
            models.Index(  # for nodes that are avoided, and for the ends of that
                fields=["avoid_until"],
                include=["cluster", "avoided_node_id"],
                condition=Q(avoid_until__isnull=False),
                name="deployment_avoiding",
            ),
            models.Index(
                fields=["retry_at"],
                condition=Q(retry_at__isnull=False),
                name="deployment_retry",
            ),
            models.Index(
                fields=["stop_by"],
                condition=Q(status=Status.STOPPING),
                name="deployment_overdue",
            ),
            models.Index(
                fields=["cluster", "priority_class", "queued_at", "id"],
                condition=Q(status=Status.QUEUED),
                name="deployment_waiting",
            ),
            models.Index(
                fields=["cluster", "priority_class"],
                condition=Q(status__in=PLACED),
                name="deployment_holding",
            ),
            models.Index(
                fields=["due_at"],
                condition=Q(status=Status.RUNNING, due_at__isnull=False),
                name="deployment_due",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
                name="idempotency_key_unique_if_given",
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="known_status"),
            models.CheckConstraint(
                condition=Q(status=Status.STOPPING, next_status__gt="")
                | (~Q(status=Status.STOPPING) & Q(next_status="", yielded=False)),
                name="stopping_leads_somewhere",
            ),
            models.CheckConstraint(
                condition=Q(cpu_milli__gt=0, ram_mib__gt=0, gpu__gte=0, replicas__gte=1),
                name="request_is_sound",
            ),
        ]

    shown_secrets: Sequence[Mapping[str, Any]]
    """Those of `secrets` as a reader may see them: set for an answer alone (api/representation)."""
    shown_eta: Mapping[str, Any] | None
    """When it starts, by forecast: the same."""
    rerun_of_name: str
    dependency_names: Sequence[str]
    """What these deployments are called: set for an answer alone, too."""

    def __str__(self) -> str:
        return self.name

    @property
    def env_names(self) -> list[str]:
        """The names of its containers' variables. The values are sealed, and never shown."""
        return sorted(self.env) if isinstance(self.env, dict) else self.env[:-1]

    @property
    def simulated_for_s(self) -> int | float | None:
        """How long it runs before it completes by itself, with the milliseconds as decimals."""
        seconds, extra_ms = self.simulated_runtime_s, self.simulated_runtime_extra_ms
        return seconds if seconds is None or not extra_ms else seconds + extra_ms / 1000

    @property
    def asked(self) -> Amounts:
        """The CPU, RAM and GPUs that each replica asks for, or the least of them (`whole`)."""
        if (asked := self.whole.get(ASKED)) is not None:
            return Amounts(**asked)
        return Amounts(self.cpu_milli, self.ram_mib, self.gpu)

    @property
    def is_endless(self) -> bool:
        """Whether only a stop or an eviction ends it."""
        limits = (self.max_runtime_s, self.simulated_runtime_s)
        return self.kind == Kind.SERVICE and limits == (None, None)


class DeploymentLog(models.Model):
    """The end of a replica's log, kept when its container is removed."""

    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="kept_logs", db_index=False
    )
    attempt = models.PositiveIntegerField()
    replica = models.PositiveIntegerField()
    output = models.BinaryField()
    times = models.BinaryField(null=True, editable=False)
    """Of each line, its nanoseconds since 1970 in 8 bytes; null where they are unknown."""
    kept_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)

    class Meta:
        indexes = [models.Index(fields=["kept_at"], name="output_by_age")]
        constraints = [
            models.UniqueConstraint(
                fields=["deployment", "attempt", "replica"], name="one_log_of_a_replica"
            )
        ]

    def __str__(self) -> str:
        return f"{self.deployment_id}, attempt {self.attempt}, replica {self.replica}"
