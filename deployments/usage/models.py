"""The records of usage. They name what they are about by ids and by names of that time, without
foreign keys: a deployment, node, cluster or user may be deleted, and the record stays.

Times are whole milliseconds since 1970, as the scheduler's: so are all products and sums exact.
"""

from datetime import datetime

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from mlops_platform.api.ids import moment
from organizations.models import Organization

DAY_MS = 24 * 3600 * 1000


class Outcome(models.TextChoices):
    """How an allocation ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    EVICTED = "evicted"  # for another deployment, or for a drain
    STOPPED = "stopped"
    LOST = "lost"  # with its node


class Attribution(models.Model):
    """What usage is attributed to."""

    organization_id = models.UUIDField()
    cluster_id = models.UUIDField()
    cluster = models.CharField(max_length=100)
    user_id = models.UUIDField()
    username = models.CharField(max_length=150)
    priority_class = models.CharField(max_length=20)

    class Meta:
        abstract = True


class AllocationInterval(Attribution):
    """What one attempt of a deployment had allocated on one node, or in a pool, and for how long:
    `cpu_milli`, `ram_mib` and `gpu` are those of all its `replicas` there.

    It is open (`end_ms` is null) as long as the counters of the cluster include it. `lost_ms` is
    from when on its work was lost: from its last checkpoint, or its begin. The first interval of an
    attempt has `queued_ms`, since when the deployment had waited. A deployment that ended in the
    queue has an interval of no replicas and no time, with its wait.

    `is_summed` says that the intervals of its days (UsageOfDay) include it.
    """

    deployment_id = models.UUIDField()
    deployment = models.CharField(max_length=100)
    attempt = models.PositiveIntegerField()
    labels = models.JSONField(default=dict, blank=True)
    node_id = models.UUIDField(null=True, blank=True)
    node = models.CharField(max_length=100, blank=True)
    node_labels = models.JSONField(default=dict, blank=True)
    replicas = models.PositiveIntegerField()
    cpu_milli = models.BigIntegerField()
    ram_mib = models.BigIntegerField()
    gpu = models.BigIntegerField()
    queued_ms = models.BigIntegerField(null=True, blank=True)
    begin_ms = models.BigIntegerField()
    end_ms = models.BigIntegerField(null=True, blank=True)
    lost_ms = models.BigIntegerField(null=True, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome.choices, blank=True, default="")
    is_summed = models.BooleanField(default=False, db_default=False)

    class Meta:
        indexes = [
            models.Index(fields=["deployment_id", "begin_ms"], name="interval_by_deployment"),
            models.Index(  # what is open, and what has ended since the last sums
                fields=["organization_id", "end_ms"],
                condition=Q(is_summed=False),
                name="interval_not_summed",
            ),
            models.Index(  # for parts of days: most end within a day
                F("organization_id"),
                F("end_ms"),
                Coalesce(F("queued_ms"), F("begin_ms")),
                condition=Q(is_summed=True),
                name="interval_summed_from_to",
            ),
            models.Index(
                F("organization_id"),
                F("end_ms"),
                condition=Q(
                    is_summed=True, end_ms__gt=Coalesce(F("queued_ms"), F("begin_ms")) + DAY_MS
                ),
                name="interval_longer_than_a_day",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(end_ms__isnull=True, outcome="", lost_ms__isnull=True, is_summed=False)
                | Q(end_ms__gte=F("begin_ms"), outcome__in=Outcome.values),
                name="interval_is_open_or_ended",
            ),
            models.CheckConstraint(
                condition=(Q(queued_ms__isnull=True) | Q(queued_ms__lte=F("begin_ms")))
                & (Q(lost_ms__isnull=True) | Q(lost_ms__range=(F("begin_ms"), F("end_ms")))),
                name="interval_is_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deployment}, attempt {self.attempt}"

    @property
    def queued_at(self) -> datetime | None:
        return None if self.queued_ms is None else moment(self.queued_ms)

    @property
    def begin(self) -> datetime:
        return moment(self.begin_ms)

    @property
    def end(self) -> datetime | None:
        return None if self.end_ms is None else moment(self.end_ms)


class UsageOfDay(Attribution):
    """What the summed intervals of one group add up to within one day in UTC. Amounts are products
    with milliseconds: in all, and of what was lost, by outcome.

    There are two rows for what differs in labels alone: one for each set of `labels`, and one for
    all of them, whose `labels` is null.
    """

    day = models.DateField()
    labels = models.JSONField(null=True, blank=True)
    node_labels = models.JSONField(default=dict, blank=True)
    digest = models.UUIDField(editable=False)  # of what the rows of a day differ in
    cpu_milli_ms = models.BigIntegerField()
    ram_mib_ms = models.BigIntegerField()
    gpu_ms = models.BigIntegerField()
    evicted_cpu_milli_ms = models.BigIntegerField()
    evicted_ram_mib_ms = models.BigIntegerField()
    evicted_gpu_ms = models.BigIntegerField()
    failed_cpu_milli_ms = models.BigIntegerField()
    failed_ram_mib_ms = models.BigIntegerField()
    failed_gpu_ms = models.BigIntegerField()
    lost_cpu_milli_ms = models.BigIntegerField()
    lost_ram_mib_ms = models.BigIntegerField()
    lost_gpu_ms = models.BigIntegerField()
    waiting_ms = models.BigIntegerField()
    started = models.BigIntegerField()
    completed = models.BigIntegerField()
    failed = models.BigIntegerField()
    evicted = models.BigIntegerField()
    stopped = models.BigIntegerField()
    lost = models.BigIntegerField()

    class Meta:
        verbose_name_plural = "usage of days"
        constraints = [
            models.UniqueConstraint(
                fields=["organization_id", "day", "digest"], name="one_usage_of_day"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day}: {self.username} in {self.cluster}"


class Price(models.Model):
    """What an hour costs an organization on nodes with a label, in its own currency; with an empty
    `label` on any node. Of several that match a node the one of the lowest `rank` counts."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="prices", db_index=False
    )
    rank = models.PositiveSmallIntegerField()
    label = models.CharField(max_length=253, blank=True)
    value = models.CharField(max_length=253, blank=True)
    gpu_hour = models.DecimalField(max_digits=16, decimal_places=6)
    core_hour = models.DecimalField(max_digits=16, decimal_places=6)
    gib_hour = models.DecimalField(max_digits=16, decimal_places=6)

    class Meta:
        ordering = ["organization", "rank"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "rank"], name="one_price_of_a_rank")
        ]

    def __str__(self) -> str:
        return f"{self.label}={self.value}" if self.label else "any node"
