"""The sums of days: each interval counts once; and what an upgrade leaves, and time takes away."""

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.db import connection

from accounts.models import User
from clusters.models import Cluster
from deployments.models import AllocationInterval, Deployment, UsageOfDay
from deployments.tests.usage.test_usage import DAY, HOUR, record
from deployments.tests.workloads import make
from deployments.usage import rollups
from mlops_platform.api.ids import milliseconds
from mlops_platform.database.clock import database_now
from organizations.models import Organization
from scheduler import audit
from scheduler.retention.kinds import KINDS

pytestmark = pytest.mark.django_db
GPU_HOUR = 3_600_000


def gpu_hours() -> dict[str, float]:
    """By day, of the sums for all labels."""
    rows = UsageOfDay.objects.filter(labels__isnull=True).order_by("day")
    return {f"{row.day:%d}": row.gpu_ms / GPU_HOUR for row in rows}


def test_one_that_ends_late_counts_in_each_of_its_days_also_those_summed_before(
    org: Organization, dev: User
):
    record(org, dev, DAY, DAY + HOUR)
    late = record(org, dev, DAY + 20 * HOUR, None)
    rollups.take_turn(DAY + timedelta(days=1))
    assert gpu_hours() == {"02": 2}
    AllocationInterval.objects.filter(pk=late.pk).update(
        end_ms=milliseconds(DAY + 50 * HOUR), outcome="completed"
    )
    for _ in range(2):
        list(rollups.sum_up(DAY + timedelta(days=3)))
        assert gpu_hours() == {"02": 2 + 8, "03": 48, "04": 4}
    assert list(AllocationInterval.objects.values_list("is_summed", flat=True)) == [True, True]
    rows = UsageOfDay.objects.filter(labels__isnull=True)
    assert sum(rows.values_list("completed", flat=True)) == 2


def test_what_ended_today_is_not_summed_yet(org: Organization, dev: User):
    record(org, dev, DAY - HOUR, DAY + HOUR)
    assert list(rollups.sum_up(DAY + 23 * HOUR)) == []
    assert gpu_hours() == {}


def test_a_user_of_another_name_stays_one(org: Organization, dev: User):
    record(org, dev, DAY, DAY + HOUR)
    list(rollups.sum_up(DAY + 24 * HOUR))
    dev.username = "devon"
    record(org, dev, DAY, DAY + HOUR)
    list(rollups.sum_up(DAY + 24 * HOUR))
    [row] = UsageOfDay.objects.filter(labels__isnull=True)
    assert (row.username, row.gpu_ms) == ("devon", 4 * GPU_HOUR)


def test_what_a_process_of_the_version_before_starts_and_ends_is_mended(
    cluster: Cluster, dev: User
):
    """It moves the counters, and knows of no intervals."""
    begun, ended = make(cluster, dev, "RUNNING"), make(cluster, dev, "RUNNING")
    AllocationInterval.objects.filter(deployment_id=begun.pk).delete()
    at = database_now()
    Deployment.objects.filter(pk=ended.pk).update(
        status="COMPLETED", finished_at=at, placement=[], started_at=at - HOUR
    )
    Cluster.objects.filter(pk=cluster.pk).update(
        allocated_cpu_milli=1000, allocated_ram_mib=512, allocated_gpu=1
    )
    assert len(audit.breaches()) == 2
    assert rollups.mend() == 2
    assert audit.breaches() == []
    assert rollups.mend() == 0
    found = AllocationInterval.objects.get(deployment_id=ended.pk)
    assert (found.outcome, found.end_ms) == ("completed", milliseconds(at))
    assert begun.started_at is not None
    opened = AllocationInterval.objects.get(deployment_id=begun.pk)
    assert opened.begin_ms == milliseconds(begun.started_at)


def test_the_retention_takes_whole_days_of_both(org: Organization, dev: User, settings: Any):
    settings.USAGE_RETENTION_DAYS = 10
    now = database_now()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    kept = today - timedelta(days=10)
    record(org, dev, kept - 30 * HOUR, kept - HOUR)
    still = [record(org, dev, kept - HOUR, kept + HOUR), record(org, dev, kept - HOUR, None)]
    list(rollups.sum_up(now))
    [kind] = [each for each in KINDS if each.name == "usage"]
    assert sum(kind.forget()) == 1 + 2 * 2  # a row and the sums of two days, by label and without
    assert set(AllocationInterval.objects.all()) == set(still)
    assert gpu_hours() == {f"{kept:%d}": 2}
    assert list(kind.forget()) == []


def test_the_backfill_of_the_migration_opens_what_is_allocated(cluster: Cluster, dev: User):
    migration = import_module("deployments.migrations.0033_usage")
    rows = [make(cluster, dev, status) for status in ("RUNNING", "STARTING", "STOPPING")]
    make(cluster, dev, "QUEUED")
    make(cluster, dev, "COMPLETED")
    expected = set(AllocationInterval.objects.values_list("deployment_id", "gpu", "username"))
    assert {each for each, *_ in expected} == {row.pk for row in rows}
    AllocationInterval.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute(migration._BACKFILL)
    found = AllocationInterval.objects.values_list("deployment_id", "gpu", "username")
    assert set(found) == expected
    assert audit.breaches() == []
