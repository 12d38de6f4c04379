"""Clusters and their nodes: capacity, what of it is allocated, and the scheduling policy."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.utils import timezone
from uuid_utils.compat import uuid7

from clusters.images import NodeImages as NodeImages
from clusters.images import Prepull as Prepull
from clusters.nodes.failed_starts import sentence as failed_starts_in_words
from clusters.nodes.maintenance import DEADLINE_INDEX, STRICTEST_FIRST, Drainable
from clusters.nodes.maintenance import DrainMode as DrainMode
from clusters.nodes.maintenance import NodeState as NodeState
from clusters.policy import Ordering as Ordering
from clusters.policy import Placement as Placement
from clusters.policy import Preemption as Preemption
from clusters.policy import Queueing as Queueing
from clusters.volumes import Volume as Volume
from clusters.volumes import VolumeKind as VolumeKind
from clusters.windows import MaintenanceWindow as MaintenanceWindow
from clusters.windows import WindowMode as WindowMode
from clusters.windows import WindowState as WindowState
from clusters.windows import sentence_of as window_in_words
from mlops_platform.api.resources import RESOURCES
from organizations.models import Organization

# Far above any machine that exists, far below what a 64-bit column or a double would distort.
MAX_CPU_MILLI = 10_000_000 * 1000
MAX_RAM_MIB = 10_000_000_000
MAX_GPU = 10_000_000


class State(models.TextChoices):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED", "Paused: what runs goes on, nothing starts"
    DRAINING = "DRAINING", "Draining: what runs is requeued, nothing starts"
    DELETING = "DELETING", "Deleting: what runs is stopped, then the cluster goes"


class Runtime(models.TextChoices):
    """What runs the deployments of a cluster; all but the simulated one need endpoints and
    nodes."""

    SIMULATED = "simulated"
    DOCKER = "docker"
    KUBERNETES = "kubernetes"


class LiveClusters(models.Manager["Cluster"]):
    """The clusters that have not been deleted."""

    def get_queryset(self) -> models.QuerySet["Cluster"]:
        return super().get_queryset().filter(deleted_at=None)


class Cluster(models.Model):
    """A pool of capacity. The counters change only under this row's lock; CHECKs keep them sound.

    Operators set `max_queued` and `max_queued_per_user`; None: MAX_QUEUED_PER_CLUSTER and
    MAX_QUEUED_PER_USER of the settings.

    `changed_at` is set when capacity is freed or the policy changes, `evaluated_at` by each cycle:
    a cluster whose first is later than its second needs a cycle (scheduler sweep). A cluster with
    `deleted_at` is found by `with_deleted` alone, until its rows are gone (services/deletion.py).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="clusters"
    )
    name = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    state_change = models.JSONField(null=True, editable=False)  # the last: "at", "by", "reason"
    runtime = models.CharField(max_length=12, choices=Runtime.choices, default=Runtime.SIMULATED)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    total_cpu_milli = models.BigIntegerField()
    total_ram_mib = models.BigIntegerField()
    total_gpu = models.BigIntegerField()
    allocated_cpu_milli = models.BigIntegerField(default=0, editable=False)
    allocated_ram_mib = models.BigIntegerField(default=0, editable=False)
    allocated_gpu = models.BigIntegerField(default=0, editable=False)

    queueing = models.CharField(
        max_length=16, choices=Queueing.choices, default=Queueing.BEST_EFFORT
    )
    ordering = models.CharField(
        max_length=16, choices=Ordering.choices, default=Ordering.GPU_WEIGHTED
    )
    preemption = models.CharField(
        max_length=16, choices=Preemption.choices, default=Preemption.LOWER_PRIORITY
    )
    placement = models.CharField(
        max_length=16,
        choices=Placement.choices,
        default=Placement.BINPACK,
        db_default=Placement.BINPACK,
    )
    preemption_within_quota = models.CharField(
        max_length=16,
        choices=Preemption.choices,
        default=Preemption.NEVER,
        db_default=Preemption.NEVER,
    )
    class_cost_ratio = models.PositiveIntegerField(default=0, db_default=0)
    preemption_delay_s = models.PositiveIntegerField(default=0, db_default=0)
    low_share_percent = models.PositiveIntegerField(default=0, db_default=0)
    assumed_runtime_s = models.PositiveIntegerField(default=14_400, db_default=14_400)
    prepull = models.CharField(
        max_length=8, choices=Prepull.choices, default=Prepull.OFF, db_default=Prepull.OFF
    )
    fail_impossible_after_s = models.PositiveIntegerField(null=True, blank=True)
    preempt_exempt_s = models.PositiveIntegerField(default=0)
    reserve_after_s = models.PositiveIntegerField(default=3600)
    max_preemptions = models.PositiveIntegerField(default=5)
    node_lost_after_s = models.PositiveIntegerField(default=300, db_default=300)
    has_quotas = models.BooleanField(default=False, db_default=False, editable=False)
    has_sweeps = models.BooleanField(default=False, db_default=False, editable=False)
    """Whether there may be a sweep with a limit of its own (max_parallel)."""
    has_local_volumes = models.BooleanField(default=False, db_default=False, editable=False)
    has_windows = models.BooleanField(default=False, db_default=False, editable=False)
    max_queued = models.PositiveIntegerField(null=True, blank=True)
    max_queued_per_user = models.PositiveIntegerField(null=True, blank=True)

    changed_at = models.DateTimeField(default=timezone.now, editable=False)
    evaluated_at = models.DateTimeField(null=True, editable=False)

    deleted_at = models.DateTimeField(null=True, editable=False)

    objects = LiveClusters()
    with_deleted = models.Manager()  # noqa: DJ012 - the check takes it for a column

    class Meta:
        constraints = [
            models.UniqueConstraint(
                F("organization"),
                Lower("name"),
                condition=Q(deleted_at=None),
                name="cluster_name_unique_in_any_case",
                violation_error_message="The organization has a cluster of that name already.",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"allocated_{resource}__gte": 0})
                    & Q(**{f"allocated_{resource}__lte": F(f"total_{resource}")}),
                    name=f"{resource}_never_overcommitted",
                )
                for resource in RESOURCES
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def by_owner(self) -> bool:
        """Whether its scheduler distinguishes the owners of workloads."""
        return self.has_quotas or self.ordering == Ordering.FAIR_SHARE

    @property
    def is_pool(self) -> bool:
        """Whether it is one pool of its totals; without totals, it will have nodes. One query."""
        totals = (getattr(self, f"total_{resource}") for resource in RESOURCES)
        return any(totals) and not self.nodes.exists()

    @property
    def free_cpu_milli(self) -> int:
        return self.total_cpu_milli - self.allocated_cpu_milli

    @property
    def free_ram_mib(self) -> int:
        return self.total_ram_mib - self.allocated_ram_mib

    @property
    def free_gpu(self) -> int:
        return self.total_gpu - self.allocated_gpu


class Quota(models.Model):
    """The most of a cluster that the deployments of one user may have at once; without a user, the
    default for each user without a quota. None: no limit but the cluster's.

    `Cluster.has_quotas` says whether a cluster has any.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(
        Cluster, on_delete=models.CASCADE, related_name="quotas", db_index=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    max_cpu_milli = models.BigIntegerField(null=True, blank=True)
    max_ram_mib = models.BigIntegerField(null=True, blank=True)
    max_gpu = models.BigIntegerField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cluster", "user"], name="one_quota_of_a_user"),
            models.UniqueConstraint(
                fields=["cluster"], condition=Q(user=None), name="one_default_quota"
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"max_{resource}__gte": 0}),
                    name=f"quota_{resource}_not_negative",
                )
                for resource in RESOURCES
            ),
        ]

    def __str__(self) -> str:
        """Up to two queries, none where its user and its cluster are at hand."""
        return f"quota of {self.user or 'all others'} in {self.cluster}"


class Endpoint(models.Model):
    """Where a runtime is reached: a Docker engine, or the API server of a Kubernetes cluster.

    `secrets` is sealed (secrets.py) and is opened only for the runtime's client. An endpoint that
    an operator has attached is `trusted`: it may be this very host. `error` is why it does not
    answer now, and `away_since` since when.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="endpoints")
    url = models.CharField(max_length=300)
    namespace = models.CharField(max_length=63, blank=True, default="")
    secrets = models.TextField(blank=True, default="", editable=False)
    trusted = models.BooleanField(default=False, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False)
    error = models.CharField(max_length=500, blank=True, default="", editable=False)
    away_since = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return self.url


class Registry(models.Model):
    """Credentials for a cluster's images whose reference begins with `host`; `secret` is sealed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(
        Cluster, on_delete=models.CASCADE, related_name="registries", db_index=False
    )
    host = models.CharField(max_length=253)
    username = models.CharField(max_length=255)
    secret = models.TextField(editable=False)

    class Meta:
        verbose_name_plural = "registries"
        constraints = [
            models.UniqueConstraint(fields=["cluster", "host"], name="one_registry_of_a_host")
        ]

    def __str__(self) -> str:
        return self.host


class Sandbox(models.Model):
    """How far a cluster's containers are confined, where an operator has changed the defaults."""

    cluster = models.OneToOneField(Cluster, on_delete=models.CASCADE, related_name="sandbox")
    pids_limit = models.PositiveIntegerField(default=4096)
    add_capabilities = models.JSONField(default=list, blank=True)
    allow_privilege_escalation = models.BooleanField(default=False)
    read_only_root = models.BooleanField(default=False)
    network = models.CharField(max_length=100, default="bridge")

    class Meta:
        verbose_name_plural = "sandboxes"

    def __str__(self) -> str:
        """One query, none where its cluster is at hand."""
        return f"sandbox of {self.cluster}"


class Node(Drainable):
    """One machine of a cluster. A cluster without nodes is one pool of its totals.

    `state` is what users want, `observed` what its runtime reports, with its `observed_reason`,
    `judged` what the platform makes of its `failed_starts` (failed_starts.py), and
    `effective_state` the strictest of these. `not_ready_since` is when its loss began to be timed:
    None where only its API server is silent, which says nothing of the node. `discovered` names the
    sizes that its runtime reports because no user has given them, 0 until then; `cut_from` those
    that users have given and its engine does not have. `pending` is the
    change to make once the node is empty (changes.py): `{"delete": true}`, or the columns to
    set.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(
        Cluster, on_delete=models.CASCADE, related_name="nodes", db_index=False
    )
    name = models.CharField(max_length=100)
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, null=True, editable=False, related_name="nodes"
    )
    state = models.CharField(max_length=10, choices=NodeState.choices, default=NodeState.READY)
    observed = models.CharField(
        max_length=10,
        choices=NodeState.choices,
        default=NodeState.READY,
        db_default=NodeState.READY,
        editable=False,
    )
    observed_reason = models.CharField(
        max_length=500, blank=True, default="", db_default="", editable=False
    )
    not_ready_since = models.DateTimeField(null=True, editable=False)
    judged = models.CharField(
        max_length=10,
        choices=NodeState.choices,
        default=NodeState.READY,
        db_default=NodeState.READY,
        editable=False,
    )
    failed_starts = models.JSONField(null=True, blank=True, editable=False)
    labels = models.JSONField(default=dict, blank=True)
    cpu_milli = models.BigIntegerField()
    ram_mib = models.BigIntegerField()
    gpu = models.BigIntegerField()
    allocated_cpu_milli = models.BigIntegerField(default=0, editable=False)
    allocated_ram_mib = models.BigIntegerField(default=0, editable=False)
    allocated_gpu = models.BigIntegerField(default=0, editable=False)
    discovered = models.JSONField(default=list, db_default=[], blank=True, editable=False)
    cut_from = models.JSONField(null=True, blank=True, editable=False)
    pending = models.JSONField(null=True, blank=True, editable=False)

    class Meta:
        indexes = [DEADLINE_INDEX]
        constraints = [
            models.UniqueConstraint(fields=["cluster", "name"], name="node_name_unique"),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"allocated_{resource}__gte": 0})
                    & Q(**{f"allocated_{resource}__lte": F(resource)}),
                    name=f"node_{resource}_never_overcommitted",
                )
                for resource in RESOURCES
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def free_cpu_milli(self) -> int:
        return self.cpu_milli - self.allocated_cpu_milli

    @property
    def free_ram_mib(self) -> int:
        return self.ram_mib - self.allocated_ram_mib

    @property
    def free_gpu(self) -> int:
        return self.gpu - self.allocated_gpu

    @property
    def effective_state(self) -> str:
        """The strictest of `state`, `observed` and `judged`; a draining node drains, and a drained
        one is, whether it answers or not."""
        for strict in STRICTEST_FIRST:
            if strict in (self.state, self.observed, self.judged):
                return strict
        return NodeState.READY

    @property
    def reason(self) -> str:
        """Why it is not open, or has less than it was given; empty where there is nothing to say.
        Its endpoint is read with it."""
        if self.observed == NodeState.NOT_READY and self.endpoint is not None:
            if not self.endpoint.namespace:
                return "Its engine does not answer."
            if self.endpoint.error:
                return "The API server of its cluster does not answer."
        if sentence := failed_starts_in_words(self.failed_starts):
            return sentence
        if self.observed_reason:
            return self.observed_reason
        if sentence := window_in_words(self.drain or {}):
            return sentence
        if self.state in (NodeState.DRAINING, NodeState.DRAINED):
            return self.drain_sentence
        return "It is cordoned here." if self.state == NodeState.CORDONED else ""
