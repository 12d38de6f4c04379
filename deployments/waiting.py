"""Why deployments wait, and how many more of them may."""

from django.conf import settings
from django.db import models

from clusters.models import Cluster


class WaitReason(models.Model):
    """Why the queued workloads of a scheduling key wait, as of the cluster's last cycle.

    One row stands for thousands of equal workloads; a row that names a deployment stands for it
    alone (the blocked head of a strict queue). Each cycle replaces what has changed. Workloads for
    which nothing could come free have no row: the cycle does not read them (queries.reasons_for).
    """

    cluster = models.ForeignKey(
        Cluster, on_delete=models.CASCADE, related_name="wait_reasons", db_index=False
    )
    scheduling_key = models.CharField(max_length=120)
    deployment = models.ForeignKey(
        "deployments.Deployment", on_delete=models.CASCADE, null=True, related_name="+"
    )
    code = models.CharField(max_length=32)
    details = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster", "scheduling_key", "deployment"],
                nulls_distinct=False,
                name="one_reason_each",
            )
        ]

    def __str__(self) -> str:
        return f"{self.scheduling_key}: {self.code}"


class QueueAllowance(models.Model):
    """How many more deployments may be queued in a cluster, or, with `owner`, of that user in it:
    as of the last count, less those submitted since (services/queue_limits.py)."""

    cluster = models.ForeignKey(Cluster, on_delete=models.CASCADE, related_name="+", db_index=False)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, related_name="+"
    )
    most = models.PositiveIntegerField(help_text="The limit that was counted against.")
    remaining = models.PositiveIntegerField()
    counted_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["cluster", "owner"], nulls_distinct=False, name="one_allowance_each"
            )
        ]

    def __str__(self) -> str:
        return f"{self.remaining} of {self.most}"
