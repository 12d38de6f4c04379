"""The scheduler's figures for Prometheus.

Cycles run in worker processes on any host, while a web process answers /metrics. So the counters
are in Redis, which all processes share. After a flush of Redis they start at zero, which Prometheus
handles as a counter reset. Queue lengths are read at each request.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any
from uuid import UUID

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from redis.client import Pipeline
from redis.exceptions import RedisError

from clusters.models import Cluster
from deployments import redis_queues
from deployments.models import PriorityClass
from mlops_platform.coordination.redis import redis_client
from scheduler.cycle import CycleResult
from scheduler.start_times import records
from scheduler.start_times.turns import WANTED

logger = logging.getLogger(__name__)

HASH = "metrics:scheduler"
CYCLE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
WAIT_BUCKETS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)


def record(cluster_id: UUID, outcome: CycleResult | None) -> None:
    """Count one cycle, and note that its cluster wants a forecast. Redis failures are logged, not
    raised."""
    if outcome is None:
        return
    priority_of = {running.id: running.priority for running in outcome.snapshot.running}
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for phase, seconds in (
                ("load", outcome.load_s),
                ("plan", outcome.plan_s),
                ("apply", outcome.apply_s),
            ):
                _observe(pipe, f"cycle:{phase}", seconds, CYCLE_BUCKETS)
            pipe.hincrby(HASH, "cycles", 1)
            for priority, waited_s in outcome.waited_s:
                _observe(pipe, f"wait:{priority}", waited_s, WAIT_BUCKETS)
            for eviction in outcome.plan.evictions:
                if eviction.by:
                    pipe.hincrby(HASH, f"preemptions:{priority_of[eviction.workload_id]}", 1)
            pipe.zadd(WANTED, {str(cluster_id): 0}, nx=True)
            pipe.execute()
    except RedisError as error:
        logger.warning(
            "cycle not counted: redis is away",
            extra={"cluster_id": str(cluster_id), "error": str(error)},
        )


def _observe(pipe: Pipeline, name: str, value: float, buckets: Iterable[float]) -> None:
    bound = next((str(each) for each in buckets if value <= each), "+Inf")
    pipe.hincrby(HASH, f"{name}|{bound}", 1)
    pipe.hincrbyfloat(HASH, f"{name}|sum", value)


def collect() -> Iterator[Metric]:
    """The metric families with their present values. Three queries, two round trips to Redis."""
    try:
        counted = redis_client().hgetall(HASH)
    except RedisError:
        counted = {}
    priorities = list(PriorityClass.objects.order_by("-value").values_list("name", flat=True))
    yield CounterMetricFamily(
        "mlops_scheduler_cycles", "Scheduling cycles run.", value=float(counted.get("cycles", 0))
    )
    cycles = HistogramMetricFamily(
        "mlops_scheduler_cycle_seconds", "Seconds that a cycle's phases took.", labels=["phase"]
    )
    for phase in ("load", "plan", "apply"):
        cycles.add_metric([phase], *_histogram(counted, f"cycle:{phase}", CYCLE_BUCKETS))
    yield cycles
    admissions = CounterMetricFamily(
        "mlops_scheduler_admissions", "Workloads admitted.", labels=["priority"]
    )
    preemptions = CounterMetricFamily(
        "mlops_scheduler_preemptions",
        "Workloads preempted, by their own class.",
        labels=["priority"],
    )
    waits = HistogramMetricFamily(
        "mlops_scheduler_wait_seconds", "Seconds waited until admitted.", labels=["priority"]
    )
    for priority in priorities:
        buckets, total = _histogram(counted, f"wait:{priority}", WAIT_BUCKETS)
        admissions.add_metric([priority], buckets[-1][1])
        preemptions.add_metric([priority], float(counted.get(f"preemptions:{priority}", 0)))
        waits.add_metric([priority], buckets, total)
    yield admissions
    yield preemptions
    yield waits
    clusters = Cluster.objects.order_by("pk").values_list("pk", "organization__name", "name")
    named = {pk: (organization, name) for pk, organization, name in clusters}
    yield _queue_lengths(named, priorities)
    yield from _calibration(named)


def _histogram(
    counted: Mapping[Any, Any], name: str, buckets: Iterable[float]
) -> tuple[list[tuple[str, float]], float]:
    bounds = [*map(str, buckets), "+Inf"]
    running = accumulate(float(counted.get(f"{name}|{bound}", 0)) for bound in bounds)
    return list(zip(bounds, running, strict=True)), float(counted.get(f"{name}|sum", 0))


def _calibration(named: Mapping[UUID, tuple[str, str]]) -> Iterator[Metric]:
    """How good the latest forecasts of starts were, cluster by cluster."""
    kept = GaugeMetricFamily(
        "mlops_scheduler_forecast_p90_kept_ratio",
        "Share of the latest forecast starts that came by p90.",
        labels=["organization", "cluster"],
    )
    errors = GaugeMetricFamily(
        "mlops_scheduler_forecast_median_error_seconds",
        "Median absolute error of the latest forecast starts.",
        labels=["organization", "cluster"],
    )
    for cluster_id, found in records.calibrations(list(named)).items():
        if found.p90_kept is not None:
            kept.add_metric(named[cluster_id], found.p90_kept)
        if found.median_error_s is not None:
            errors.add_metric(named[cluster_id], found.median_error_s)
    yield kept
    yield errors


def _queue_lengths(named: Mapping[UUID, tuple[str, str]], priorities: list[str]) -> Metric:
    family = GaugeMetricFamily(
        "mlops_scheduler_queue_length",
        "Workloads waiting.",
        labels=["organization", "cluster", "priority"],
    )
    for cluster_id, lengths in redis_queues.lengths_of(list(named), priorities).items():
        for priority, length in lengths.items():
            family.add_metric([*named[cluster_id], priority], length)
    return family
