"""The ledger, what one cycle leaves to the next, and when the timer has something to do."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from clusters.models import Cluster
from deployments.models import Deployment


class Trigger(models.TextChoices):
    """What asked for the cycle first; later requests before it begins join it."""

    SUBMITTED = "SUBMITTED"
    STOPPED = "STOPPED"
    FINISHED = "FINISHED"
    CHANGED = "CHANGED"
    OPERATOR = "OPERATOR"
    SWEEP = "SWEEP"
    TIMER = "TIMER", "A moment came at which it could decide differently"
    CONTINUED = "CONTINUED", "Went on from the cycle before"


class ReservationRecord(models.Model):
    """A waiting deployment for which its cluster reserves capacity since `since`; null if it did so
    before. `before_ms` is for how long in all, before that (engine/reservations/history.py).

    Cycles write it, under the cluster's lock. It counts for one wait with one request: the row of a
    deployment that has run since, or asks for something else by now, counts for nothing.
    """

    deployment = models.OneToOneField(
        Deployment, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+")
    queued_at = models.DateTimeField()
    request = models.CharField(max_length=120)
    before_ms = models.BigIntegerField()
    since = models.DateTimeField(null=True)

    class Meta:
        db_table = "scheduler_heldfor"  # the model's former name: no upgrade renames a table in use

    def __str__(self) -> str:
        """One query, none where its deployment is at hand."""
        return f"reservation of {self.deployment}"


class ImpossibleRequest(models.Model):
    """Not even the empty cluster could have run what waits with this scheduling key, since then
    (impossible.py)."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+", db_index=False)
    scheduling_key = models.CharField(max_length=120)
    since = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster", "scheduling_key"], name="impossible_request_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.scheduling_key} in {self.cluster_id} since {self.since:%F %T}"


class PeriodicJob(models.Model):
    """When a job of the timer's is due next, and when a worker last ran it, by the database's clock
    (timer/jobs.py)."""

    name = models.CharField(max_length=40, primary_key=True)
    next_at = models.DateTimeField()
    ran_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name


class NextCycle(models.Model):
    """The next moment, by the database's clock, at which a cycle of the cluster could decide
    differently though nothing else has happened (store/next_cycle.py).

    A row of its own, as a change of the cluster's row makes a cycle under way stale.
    """

    cluster = models.OneToOneField(
        Cluster, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    due_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        """One query, none where its cluster is at hand."""
        return f"{self.cluster} at {self.due_at:%F %T}"


class StartForecast(models.Model):
    """The first forecast of a deployment's start, and when it really started: null while it waits
    (start_times/records.py). All moments are in ms after `made_at`; `raw_p90_ms` is before the
    correction by earlier forecasts."""

    deployment = models.OneToOneField(
        Deployment, on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+", db_index=False)
    made_at = models.DateTimeField()
    basis = models.CharField(max_length=10)
    p50_ms = models.BigIntegerField()
    p90_ms = models.BigIntegerField(null=True)
    raw_p90_ms = models.BigIntegerField(null=True)
    waited_ms = models.BigIntegerField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["cluster", "-made_at"],
                condition=Q(waited_ms__isnull=False),
                name="forecast_by_outcome",
            ),
            models.Index(fields=["cluster", "waited_ms"], name="forecast_open"),  # and the key
            models.Index(fields=["made_at"], name="forecast_by_age"),
        ]

    def __str__(self) -> str:
        """One query, none where its deployment is at hand."""
        return f"forecast of {self.deployment}"


class Retention(models.Model):
    """What the retention has deleted of one kind (retention/kinds.py), for the operators' page."""

    kind = models.CharField(max_length=40, primary_key=True)
    ran_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True, help_text="When nothing was left to delete.")
    deleted = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "retention"

    def __str__(self) -> str:
        return self.kind


class AuditResult(models.Model):
    """What the last audit found (audits.py): one row. `sentences` are the first of the breaches."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    ran_at = models.DateTimeField(db_default=Now())
    took_ms = models.PositiveIntegerField()
    breach_count = models.PositiveIntegerField()
    sentences = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"{self.breach_count} breaches at {self.ran_at:%F %T}"


class DatabaseSize(models.Model):
    """The bytes of the whole database at one moment: one row for each hour (home/growth.py)."""

    at = models.DateTimeField(primary_key=True, db_default=Now())
    size = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.size} bytes at {self.at:%F %T}"


class ClusterSample(models.Model):
    """How full a cluster was in one minute, and how many waited and ran there (samples/).
    `waiting_by_priority` has the classes of which any waited."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+", db_index=False)
    at = models.DateTimeField()
    total_cpu_milli = models.BigIntegerField()
    total_ram_mib = models.BigIntegerField()
    total_gpu = models.IntegerField()
    allocated_cpu_milli = models.BigIntegerField()
    allocated_ram_mib = models.BigIntegerField()
    allocated_gpu = models.IntegerField()
    closed_cpu_milli = models.BigIntegerField()
    closed_ram_mib = models.BigIntegerField()
    closed_gpu = models.IntegerField()
    waiting = models.IntegerField()
    running = models.IntegerField()
    waiting_by_priority = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["cluster", "at"], name="one_sample_a_minute")
        ]
        indexes = [models.Index(fields=["at"], name="sample_by_age")]

    def __str__(self) -> str:
        """One query, none where its cluster is at hand."""
        return f"{self.cluster} at {self.at:%F %T}"


class SchedulingCycle(models.Model):
    """One cycle that changed something, written in the transaction that changed it.

    `snapshot` and `plan` are the engine's canonical JSON, deflated (engine/codec.py); running
    `engine_version` on the snapshot gives the very same plan.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    cluster = models.ForeignKey(
        Cluster, on_delete=models.CASCADE, related_name="cycles", db_index=False
    )
    trigger = models.CharField(max_length=10, choices=Trigger.choices)
    started_at = models.DateTimeField(default=timezone.now)
    load_ms = models.FloatField()
    plan_ms = models.FloatField()
    apply_ms = models.FloatField()
    evaluated_count = models.PositiveIntegerField()
    started_count = models.PositiveIntegerField()
    evicted_count = models.PositiveIntegerField()
    waiting_count = models.PositiveIntegerField()
    engine_version = models.CharField(max_length=16)
    snapshot = models.BinaryField()
    plan = models.BinaryField()

    class Meta:
        indexes = [
            models.Index(fields=["cluster", "-started_at", "-id"], name="cycle_by_cluster"),
            models.Index(fields=["started_at"], name="cycle_by_age"),
            models.Index(  # from here on for the operators' page: admin/changelist.py
                fields=["trigger", "-id"], include=["evicted_count"], name="cycle_of_trigger"
            ),
            models.Index(
                fields=["cluster", "trigger", "-id"],
                include=["evicted_count"],
                name="cycle_of_cluster",
            ),
            models.Index(
                fields=["trigger", "-id"],
                condition=Q(evicted_count__gt=0),
                name="evicting_cycle_of_trigger",
            ),
            models.Index(
                fields=["cluster", "trigger", "-id"],
                condition=Q(evicted_count__gt=0),
                name="evicting_cycle_of_cluster",
            ),
        ]

    def __str__(self) -> str:
        """One query, none where its cluster is at hand."""
        return f"{self.cluster} at {self.started_at:%F %T}"
