"""Capacity: what a cluster has, what of it is allocated, and the policy that shares it out."""

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from uuid_utils.compat import uuid7

from organizations.models import Organization

# Far above any machine that exists, far below what a 64-bit column or a double would distort.
MAX_CPU_MILLI = 10_000_000 * 1000
MAX_RAM_MIB = 10_000_000_000
MAX_GPU = 10_000_000


class State(models.TextChoices):
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED", "Paused: what runs goes on, nothing starts"
    DRAINING = "DRAINING", "Draining: what runs is requeued, nothing starts"


class Runtime(models.TextChoices):
    SIMULATED = "simulated"


class Queueing(models.TextChoices):
    BEST_EFFORT = "best_effort"
    STRICT = "strict"
    EASY_BACKFILL = "easy_backfill"


class Ordering(models.TextChoices):
    GPU_WEIGHTED = "gpu_weighted"
    FIFO = "fifo"


class Preemption(models.TextChoices):
    LOWER_PRIORITY = "lower_priority"
    NEVER = "never"


class Placement(models.TextChoices):
    BINPACK = "binpack"
    SPREAD = "spread"


class Cluster(models.Model):
    """A pool of capacity. The counters change only under this row's lock; CHECKs keep them sound.

    `changed_at` moves when capacity is freed or the policy changes, `evaluated_at` when a cycle
    has looked: a cluster whose first is later than its second needs a cycle (scheduler sweep).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="clusters"
    )
    name = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
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
        max_length=16, choices=Placement.choices, default=Placement.BINPACK
    )
    preempt_exempt_s = models.PositiveIntegerField(default=0)
    reserve_after_s = models.PositiveIntegerField(default=3600)
    max_preemptions = models.PositiveIntegerField(default=5)

    changed_at = models.DateTimeField(default=timezone.now, editable=False)
    evaluated_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="cluster_name_unique"),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"allocated_{resource}__gte": 0})
                    & Q(**{f"allocated_{resource}__lte": F(f"total_{resource}")}),
                    name=f"{resource}_never_overcommitted",
                )
                for resource in ("cpu_milli", "ram_mib", "gpu")
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def available_cpu_milli(self) -> int:
        return self.total_cpu_milli - self.allocated_cpu_milli

    @property
    def available_ram_mib(self) -> int:
        return self.total_ram_mib - self.allocated_ram_mib

    @property
    def available_gpu(self) -> int:
        return self.total_gpu - self.allocated_gpu


class NodeState(models.TextChoices):
    READY = "READY"
    CORDONED = "CORDONED"
    DRAINING = "DRAINING"
    NOT_READY = "NOT_READY"


class Node(models.Model):
    """One machine of a cluster. A cluster without nodes is one pool of its totals.

    `pending` is what becomes of it once it is empty (settling.py): `{"delete": true}`, or the
    columns to set.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="nodes")
    name = models.CharField(max_length=100)
    state = models.CharField(max_length=10, choices=NodeState.choices, default=NodeState.READY)
    labels = models.JSONField(default=dict, blank=True)
    cpu_milli = models.BigIntegerField()
    ram_mib = models.BigIntegerField()
    gpu = models.BigIntegerField()
    allocated_cpu_milli = models.BigIntegerField(default=0, editable=False)
    allocated_ram_mib = models.BigIntegerField(default=0, editable=False)
    allocated_gpu = models.BigIntegerField(default=0, editable=False)
    pending = models.JSONField(null=True, blank=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cluster", "name"], name="node_name_unique"),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"allocated_{resource}__gte": 0})
                    & Q(**{f"allocated_{resource}__lte": F(resource)}),
                    name=f"node_{resource}_never_overcommitted",
                )
                for resource in ("cpu_milli", "ram_mib", "gpu")
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def available_cpu_milli(self) -> int:
        return self.cpu_milli - self.allocated_cpu_milli

    @property
    def available_ram_mib(self) -> int:
        return self.ram_mib - self.allocated_ram_mib

    @property
    def available_gpu(self) -> int:
        return self.gpu - self.allocated_gpu
