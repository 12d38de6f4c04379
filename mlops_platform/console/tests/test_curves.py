"""The lines that say how full clusters were."""

from datetime import timedelta

import pytest
from django.utils import timezone

from clusters.tests.allocation import make_cluster
from mlops_platform.console.pages.curves import STEPS, curves_of
from scheduler.models import ClusterSample

pytestmark = pytest.mark.django_db


def sample(cluster, hours, waiting=0, **columns):
    amounts = {
        f"{word}_{name}": 0
        for word in ("total", "allocated", "closed")
        for name in ("cpu_milli", "ram_mib", "gpu")
    }
    at = (timezone.now() - timedelta(hours=hours)).replace(second=0, microsecond=0)
    ClusterSample.objects.create(
        cluster=cluster,
        at=at,
        waiting=waiting,
        running=0,
        waiting_by_priority={},
        **{**amounts, **columns},
    )


def test_the_lines_are_the_shares_of_gpus_and_what_waited(org):
    cluster = make_cluster(org)
    sample(cluster, 20, total_gpu=8, allocated_gpu=2, waiting=3)
    sample(cluster, 10, total_gpu=8, allocated_gpu=6, waiting=12)
    sample(cluster, 30, total_gpu=8, allocated_gpu=8, waiting=99)
    curve = curves_of([cluster.pk])[cluster.pk]
    points = [tuple(map(float, each.split(","))) for each in curve.share.split()]
    assert [y for _, y in points] == [75.0, 25.0]
    assert 0 < points[0][0] < points[1][0] < STEPS
    assert points[1][0] - points[0][0] == 40
    assert [each.split(",")[1] for each in curve.waiting.split()] == ["75.0", "0.0"]
    assert curve.most_waiting == 12
    assert curve.said.startswith(
        "In the last 24 hours 50% was allocated on average, at most 75% (at "
    )


def test_without_gpus_the_share_is_that_of_cores_and_of_an_empty_cluster_none(org):
    cores, empty, without = (make_cluster(org, name=name) for name in ("a", "b", "c"))
    sample(cores, 1, total_cpu_milli=8000, allocated_cpu_milli=4000)
    sample(empty, 1)
    found = curves_of([cores.pk, empty.pk, without.pk])
    assert found[cores.pk].share.endswith(",50.0")
    assert found[empty.pk].share.endswith(",100.0")
    assert without.pk not in found
    assert curves_of([]) == {}
