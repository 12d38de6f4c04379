"""Counts pulls of images for Prometheus: in Redis, as workers pull and a web process answers."""

from collections.abc import Iterator
from enum import StrEnum

from prometheus_client.core import CounterMetricFamily, Metric
from redis.exceptions import RedisError

from mlops_platform.coordination.redis import redis_client

HASH = "metrics:pulls"
YES_NO = {True: "yes", False: "no"}


class PullOutcome(StrEnum):
    PULLED = "pulled"
    BROKEN_OFF = "broken_off"  # no deployment wanted it any more, or it made way
    DELAYED = "delayed"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"  # the engine gave no usable answer


def count(outcome: PullOutcome, *, ahead: bool) -> None:
    redis_client().hincrby(HASH, f"{outcome}:{YES_NO[ahead]}", 1)


def collect() -> Iterator[Metric]:
    """One round trip to Redis; zeros where it is away."""
    try:
        counted = redis_client().hgetall(HASH)
    except RedisError:
        counted = {}
    family = CounterMetricFamily(
        "mlops_image_pulls", "Pulls of images that have ended.", labels=["outcome", "ahead"]
    )
    for outcome in PullOutcome:
        for ahead in YES_NO.values():
            value = float(counted.get(f"{outcome}:{ahead}", 0))
            family.add_metric([str(outcome), ahead], value)
    yield family
